/**
 * The records by which somebody who knows nothing but the mesh's id can tell what a tree's heads and tags are: those that the
 * state of the tree rests on (src/record/state/evidence.ts), and all that come before each in its issuer's chain, for without
 * them it would not be kept.
 *
 * They prove what they say, and not that nothing newer was said: whoever asks several nodes folds the records of all.
 */
import { MirrorError } from '../../base/errors.ts'
import { cidKey } from '../../block/cid.ts'
import type { TreeState } from '../../record/mesh-state.ts'
import type { VerifiedRecord } from '../../record/record.ts'
import type { Ledger } from './ledger.ts'

/** What a proof takes at most; the one who gets it counts as well. */
export const MAX_PROOF_BYTES = 64 * 1024 * 1024
export const MAX_PROOF_RECORDS = 262_144

/**
 * Each record after those that it depends on.
 * @throws MirrorError `limit` when they are more than a proof may be
 */
export function proofOf(
  ledger: Pick<Ledger, 'record' | 'evidence'>,
  { name }: Pick<TreeState, 'name'>,
): VerifiedRecord[] {
  const taken = new Map<string, VerifiedRecord>()
  let bytes = 0
  for (const last of ledger.evidence(name)) {
    const chain: VerifiedRecord[] = []
    for (let record: VerifiedRecord | undefined = last; record !== undefined; ) {
      if (taken.has(cidKey(record.id))) break
      chain.push(record)
      record = record.prev === null ? undefined : ledger.record(record.prev)
    }
    for (const record of chain.reverse()) {
      taken.set(cidKey(record.id), record)
      bytes += record.bytes.length
      if (bytes > MAX_PROOF_BYTES || taken.size > MAX_PROOF_RECORDS) {
        throw new MirrorError(
          'limit',
          `what proves the heads of ${name} is over ${MAX_PROOF_BYTES} bytes or ${MAX_PROOF_RECORDS} records`,
          {
            hint: 'Make the machine a member of the mesh instead.',
          },
        )
      }
    }
  }
  return [...taken.values()]
}
