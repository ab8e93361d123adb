/** (types first; the implementation follows) */
import type { Cid } from '../block/cid.ts'
import type { PublicKey } from './key.ts'

export interface InviteToken {
  readonly mesh: Cid
  /** The admitter's key: whom to dial, and the only peer to show the secret to. */
  readonly peer: PublicKey
  /** `host:port` or multiaddr text, without the peer. */
  readonly addrs: readonly string[]
  /** 32 bytes. */
  readonly secret: Uint8Array
  readonly invite: Cid
  readonly site: string
  readonly region: string
  readonly expiresMs: number
}

export declare function encodeInviteToken(token: InviteToken): string
/** @throws MirrorError `invalid` saying what is wrong with it */
export declare function parseInviteToken(text: string): InviteToken
export declare function inviteSecretHash(secret: Uint8Array): Uint8Array
