/** The bodies of what admins sign about keys, as the command line makes them. */
import type { GrantDocument } from '../../api/routes/grant-routes.ts'
import type { AdminsDocument } from '../../api/schema/member-answers.ts'
import { compareBytes, linkOf, publicKeyOf, type Value } from '../signing/encode.ts'
import type { Chain } from '../signing/record.ts'

export type GrantTerms = Pick<GrantDocument, 'peer' | 'role' | 'name' | 'trees' | 'may' | 'expiresMs'>

export interface GrantVersion {
  readonly version: number
  /** Of the key that it is given to: what it signed up to here is judged by the versions before. Null: by this one too. */
  readonly chain: Pick<Chain, 'counter' | 'prev'> | null
  readonly isRemoved?: boolean
}

export function grantBody(terms: GrantTerms, { version, chain, isRemoved = false }: GrantVersion): Value {
  return {
    grants: [publicKeyOf(terms.peer)],
    name: terms.name,
    role: terms.role,
    trees: [...new Set(terms.trees)].toSorted(),
    may: terms.may.toSorted(),
    expiresMs: terms.expiresMs,
    counter: chain?.counter ?? 0,
    last: chain?.prev == null ? null : linkOf(chain.prev),
    version,
    removed: isRemoved,
  }
}

export interface NewAdmins {
  readonly keys: readonly string[]
  readonly threshold: number
  readonly recovery: string
}

/** @param cuts where the chains of those end who leave, by PeerId */
export function adminSetBody(
  before: AdminsDocument,
  after: NewAdmins,
  cuts: ReadonlyMap<string, Pick<Chain, 'counter' | 'prev'>>,
): Value {
  const rising = (peers: Iterable<string>): Uint8Array[] => [...peers].map(publicKeyOf).toSorted(compareBytes)
  const cutOf = (peer: string) => {
    const { counter, prev } = cuts.get(peer)!
    return { key: publicKeyOf(peer), counter, last: prev === null ? null : linkOf(prev) }
  }
  return {
    previous: linkOf(before.record),
    admins: { keys: rising(after.keys), threshold: after.threshold },
    recovery: publicKeyOf(after.recovery),
    cuts: [...cuts.keys()].map(cutOf).toSorted((a, b) => compareBytes(a.key, b.key)),
  }
}
