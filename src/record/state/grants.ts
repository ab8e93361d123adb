/**
 * What admins lend to other keys. A grant is a line of versions by (key, role, name). Each version says from which
 * record of the key on it decides; about what the key signed before that, the versions below still do. So taking a
 * grant back, or making it narrower, does not undo what was done by it: no pin is lifted and no tree disappears,
 * unless the admin says so by a version that decides from the key's first record on.
 *
 * The state has no clock: whether a record was signed in time is judged by the record's own. That binds honest keys; one
 * in wrong hands is ended by a revocation or a later version, behind which nobody can sign.
 */
import { coversPattern } from '../../base/names.ts'
import { type PeerId, peerIdOf } from '../key.ts'
import type { GrantBody, GrantRole, OperatorRight } from '../kinds/grant.ts'
import type { Cut } from '../kinds/revocation.ts'
import type { Grant } from '../mesh-state.ts'
import type { VerifiedRecord } from '../record.ts'
import { pushTo } from './chains.ts'
import { compareWriters, lastWriter, type Versioned } from './last-writer.ts'
import { originOf } from './origin.ts'

/** What a record needs a grant for. */
export type Wanted =
  | { readonly role: 'publisher'; readonly tree: string }
  /** `tree` may be a pattern; a drain is of no tree. */
  | { readonly role: 'operator'; readonly may: OperatorRight; readonly tree: string | undefined }

export interface Grants {
  learn(record: VerifiedRecord): void
  /** Why no grant of the record's issuer lets it say this; undefined when one does. */
  objection(record: VerifiedRecord, wanted: Wanted): string | undefined
  /** The newest version of each grant of the key, tombstones included, in the order of roles and names. */
  of(peer: PeerId): readonly Grant[]
  /** Keys that some grant names, whether or not it has effect. */
  peers(): Iterable<PeerId>
  /** Whether what the key signed is judged by where it stands in the key's chain. */
  hasCuts(peer: PeerId): boolean
}

interface Judges {
  adminObjection(record: VerifiedRecord): string | undefined
  cutObjection(record: VerifiedRecord): string | undefined
  isBeyond(cut: Omit<Cut, 'key'>, record: VerifiedRecord): boolean
}

interface Said extends Versioned {
  readonly body: GrantBody
}

export function createGrants({ adminObjection, cutObjection, isBeyond }: Judges): Grants {
  /** By key; within it by role and name. */
  const lines = new Map<PeerId, Map<string, Said[]>>()
  const cut = new Set<PeerId>()

  function valid(line: readonly Said[]): Said[] {
    return line.filter(({ record }) => adminObjection(record) === undefined)
  }

  /** The version that decides about the record. */
  function deciding(line: readonly Said[], record: VerifiedRecord): GrantBody | undefined {
    return valid(line)
      .toSorted((a, b) => compareWriters(b, a))
      .find(({ body }) => isBeyond(body, record))?.body
  }

  return {
    learn(record) {
      if (record.content.kind !== 'grant') return
      const { body } = record.content
      const peer = granteeOf(body)
      let own = lines.get(peer)
      if (own === undefined) {
        own = new Map()
        lines.set(peer, own)
      }
      pushTo(own, lineOf(body), { record, body, version: body.version })
      if (body.last !== null) cut.add(peer)
    },
    objection(record, wanted) {
      let reason = `${record.issuerPeer} is not an admin, and no grant makes it ${wanted.role} of ${wantedText(wanted)}`
      for (const line of lines.get(record.issuerPeer)?.values() ?? []) {
        const body = deciding(line, record)
        if (body === undefined || body.removed || !isFor(body, wanted)) continue
        if (body.expiresMs === null || record.timeMs <= body.expiresMs) return cutObjection(record)
        reason = `the grant ${JSON.stringify(body.name)} of ${record.issuerPeer} had expired`
      }
      return reason
    },
    of(peer) {
      return [...(lines.get(peer) ?? [])]
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .flatMap(([, line]) => {
          const last = lastWriter(valid(line))
          return last === undefined ? [] : [{ peer, body: last.body, origin: originOf(last.record) }]
        })
    },
    peers: () => lines.keys(),
    hasCuts: (peer) => cut.has(peer),
  }
}

export function granteeOf(body: GrantBody): PeerId {
  return peerIdOf(body.grants[0]!)
}

function lineOf({ role, name }: { readonly role: GrantRole; readonly name: string }): string {
  return `${role} ${name}`
}

function isFor(body: GrantBody, wanted: Wanted): boolean {
  if (body.role !== wanted.role) return false
  if (wanted.role === 'operator' && !body.may.includes(wanted.may)) return false
  const { tree } = wanted
  return tree === undefined || body.trees.some((scope) => coversPattern(scope, tree))
}

function wantedText(wanted: Wanted): string {
  if (wanted.role === 'publisher') return wanted.tree
  return wanted.tree === undefined ? wanted.may : `the ${wanted.may} of ${wanted.tree}`
}
