/**
 * The records by which somebody who knows nothing but the mesh's id can tell what a tree's heads and tags are: those that the
 * state of the tree rests on, and all that come before each in its issuer's chain, for without them it would not be kept. The
 * whole chains of everybody who was ever an admin are among them, so no revocation is left out.
 *
 * They prove what they say, and not that nothing newer was said: whoever asks several nodes folds the records of all.
 */
import { MirrorError } from '../base/errors.ts'
import type { Cid } from '../block/cid.ts'
import { cidKey } from '../block/cid.ts'
import type { PublicKey } from '../record/key.ts'
import type { TreeState } from '../record/mesh-state.ts'
import type { VerifiedRecord } from '../record/record.ts'
import type { Ledger } from './ledger.ts'

/** What a proof takes at most; the one who gets it counts as well. */
export const MAX_PROOF_BYTES = 64 * 1024 * 1024
export const MAX_PROOF_RECORDS = 262_144

/**
 * Each record after those that it depends on.
 * @throws MirrorError `limit` when they are more than a proof may be
 */
export function proofOf(
  ledger: Pick<Ledger, 'state' | 'record' | 'tip' | 'mesh'>,
  tree: Pick<TreeState, 'name' | 'body' | 'origin' | 'epoch' | 'history' | 'tags' | 'fork'>,
): VerifiedRecord[] {
  const taken = new Map<string, VerifiedRecord>()
  let bytes = 0

  /** The record, and its issuer's chain up to it. */
  function take(id: Cid | null | undefined): void {
    const chain: VerifiedRecord[] = []
    for (let next = id; next !== null && next !== undefined; ) {
      const record = ledger.record(next)
      if (record === undefined || taken.has(cidKey(record.id))) break
      chain.push(record)
      next = record.prev
    }
    for (const record of chain.reverse()) {
      taken.set(cidKey(record.id), record)
      bytes += record.bytes.length
      if (bytes > MAX_PROOF_BYTES || taken.size > MAX_PROOF_RECORDS) {
        throw new MirrorError(
          'limit',
          `what proves the heads of ${tree.name} is over ${MAX_PROOF_BYTES} bytes`,
          {
            hint: 'Make the machine a member of the mesh instead.',
          },
        )
      }
    }
  }

  take(ledger.mesh)
  // An admin-set needs the one before; the keys of all of them may have signed what counts.
  const adminSets: VerifiedRecord[] = []
  for (let next: Cid | undefined = ledger.state().admins?.origin.record; next !== undefined; ) {
    const record: VerifiedRecord | undefined = ledger.record(next)
    if (record === undefined) break
    adminSets.unshift(record)
    next = record.content.kind === 'admin-set' ? record.content.body.previous : undefined
  }
  for (const record of adminSets) take(record.id)
  for (const record of adminSets) for (const key of keysOf(record)) take(ledger.tip(key)?.id)

  take(tree.origin.record)
  take(tree.epoch?.origin.record)
  // Each by itself: where a publisher's chain forks, one head's records do not lead to another's.
  for (const { id } of tree.history) take(id)
  for (const tag of tree.tags.values()) take(tag.origin.record)
  for (const id of tree.fork?.records ?? []) take(id)
  for (const { id } of tree.fork?.tips ?? []) take(id)
  return [...taken.values()]
}

function keysOf({ content }: VerifiedRecord): readonly PublicKey[] {
  if (content.kind === 'genesis') return [...content.body.admins.keys, content.body.recovery]
  return content.kind === 'admin-set' ? [...content.body.admins.keys, content.body.recovery] : []
}
