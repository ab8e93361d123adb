/** An invite, made in the page: the record that admins sign, and the token that its secret is in (docs/formats.md). */
import type { SelfDocument } from '../../api/answers.ts'
import { blake3OfBlock } from './blake3.ts'
import { encodeCbor, joined, linkOf, publicKeyOf, toBase64Url, type Value } from './encode.ts'

const SECRET_DOMAIN = new TextEncoder().encode('mirrormesh/invite/1\0')

export interface Invitation {
  readonly site: string
  readonly region: string
  readonly expiresMs: number
  /** 32 bytes. */
  readonly secret: Uint8Array<ArrayBuffer>
  /** The node that lets the newcomer in: the one that serves this page. */
  readonly self: Pick<SelfDocument, 'mesh' | 'peer' | 'addresses'>
}

export function inviteBody({ site, region, expiresMs, secret, self }: Invitation): Value {
  return {
    admitter: publicKeyOf(self.peer),
    secretHash: blake3OfBlock(joined([SECRET_DOMAIN, secret])),
    site,
    region,
    roles: ['site'],
    expiresMs,
  }
}

/** @param record its id. A newcomer cannot come through a relay: that lets members through only. */
export function inviteToken({ site, region, expiresMs, secret, self }: Invitation, record: string): string {
  const addrs = self.addresses.filter((address) => !address.includes('/p2p-circuit')).slice(0, 16)
  const value = {
    v: 1,
    mesh: linkOf(self.mesh.id),
    peer: publicKeyOf(self.peer),
    addrs,
    secret,
    invite: linkOf(record),
    site,
    region,
    expiresMs,
  }
  return `mm1.${toBase64Url(encodeCbor(value))}`
}
