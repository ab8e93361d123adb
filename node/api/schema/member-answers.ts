/** Who is in the mesh, who may come, and who said what, as the API answers. Plain types: the CLI loads this file too. */

export interface MemberDocument {
  readonly peer: string
  readonly site: string
  readonly region: string
  readonly roles: readonly string[]
  readonly state: 'active' | 'expired' | 'revoked'
  /** To this node, which is connected to itself. */
  readonly isConnected: boolean
  readonly expiresMs: number | null
  /** The key that signed the record of membership. */
  readonly admittedBy: string
  /** CID of the invite it came by. */
  readonly invite: string | null
  readonly timeMs: number
  readonly record: string
  /** Of the record. Absent from nodes of a version before. */
  readonly version?: number
  /** Trees whose active publisher it is. */
  readonly publishes: readonly string[]
  /** The last record of its key that this node knows: where a revocation cuts. */
  readonly chain: { readonly counter: number; readonly last: string | null }
}

export interface AdminsDocument {
  readonly keys: readonly string[]
  /** How many of them must sign a change of the set. */
  readonly threshold: number
  readonly recovery: string
  /** CID of the genesis or admin-set record that made it so. */
  readonly record: string
  readonly timeMs: number
}

export interface InviteDocument {
  readonly id: string
  readonly site: string
  readonly region: string
  readonly roles: readonly string[]
  readonly admitter: string
  readonly expiresMs: number
  readonly state: 'open' | 'used' | 'expired' | 'withdrawn'
  readonly usedBy: string | null
  readonly issuer: string
  readonly timeMs: number
}

/** A signed record as an audit shows it. */
export interface RecordDocument {
  readonly id: string
  readonly kind: string
  /** What it is about: a tree, a pin, a site or a key. */
  readonly subject: string
  readonly text: string
  readonly issuer: string
  /** Of the issuer, when it is a member. */
  readonly issuerSite: string | null
  /** Whether the issuer is an admin now. */
  readonly isAdmin: boolean
  readonly counter: number
  /** By the issuer's clock. */
  readonly timeMs: number
  /** False when it was replaced or never counted; null for kinds of which each record stands for itself. */
  readonly isInForce: boolean | null
}

export interface RecordPage {
  /** Newest first. */
  readonly records: readonly RecordDocument[]
  /** For the next page; null at the end. */
  readonly cursor: string | null
}
