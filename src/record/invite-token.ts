/**
 * The text that an operator carries from one site to another: `mm1.` and base64url of dag-cbor
 * { addrs: [text], expiresMs, invite: CID, mesh: CID, peer: 32 bytes, region, secret: 32 bytes, site, v: 1 }.
 *
 * It holds a secret and is worth one admission. It is unsigned: whoever changes it can only send the joiner to a peer
 * whose key the joiner then sees is not `peer`, or to another mesh.
 */
import { concatBytes, equalBytes, utf8 } from '../base/bytes.ts'
import { isMirrorError, MirrorError } from '../base/errors.ts'
import type { Cid } from '../block/cid.ts'
import { decodeCbor, encodeCbor } from '../block/codec.ts'
import { blake3 } from '../block/hash.ts'
import { readBytes, readCid, readFields, readInteger, readList, readSegment, wrong } from './fields.ts'
import { KEY_BYTES, type PublicKey } from './key.ts'

export interface InviteToken {
  readonly mesh: Cid
  /** The admitter's key: whom to dial, and the only peer to show the secret to. */
  readonly peer: PublicKey
  /** `host:port` or multiaddr text, without the peer. At most 16. */
  readonly addrs: readonly string[]
  /** 32 bytes. */
  readonly secret: Uint8Array
  readonly invite: Cid
  readonly site: string
  readonly region: string
  readonly expiresMs: number
}

export const INVITE_SECRET_BYTES = 32

const PREFIX = 'mm1.'
const MAX_TOKEN_CHARACTERS = 4096
const SECRET_DOMAIN = utf8('mirrormesh/invite/1\0')

/** What the invite record holds in place of the secret. */
export function inviteSecretHash(secret: Uint8Array): Uint8Array {
  return blake3.digest(concatBytes([SECRET_DOMAIN, secret]))
}

export function encodeInviteToken(token: InviteToken): string {
  const { mesh, peer, addrs, secret, invite, site, region, expiresMs } = token
  const bytes = encodeCbor({ v: 1, mesh, peer, addrs, secret, invite, site, region, expiresMs })
  const text = PREFIX + Buffer.from(bytes).toString('base64url')
  parseInviteToken(text)
  return text
}

/** White space at the ends is ignored. @throws MirrorError `invalid` saying what is wrong with it */
export function parseInviteToken(text: string): InviteToken {
  const trimmed = text.trim()
  const hint = 'Copy the whole line that "mirrormesh invite" printed; it begins with mm1.'
  if (!trimmed.startsWith(PREFIX)) {
    const isLater = /^mm[0-9]+\./.test(trimmed)
    throw isLater
      ? new MirrorError('unsupported', 'this invite was made by a later version of mirrormesh', {
          hint: 'Upgrade mirrormesh on this machine.',
        })
      : new MirrorError('invalid', `not an invite: it does not begin with ${PREFIX}`, { hint })
  }
  const encoded = trimmed.slice(PREFIX.length)
  if (trimmed.length > MAX_TOKEN_CHARACTERS || !/^[A-Za-z0-9_-]+$/.test(encoded)) {
    throw new MirrorError(
      'invalid',
      'not an invite: it holds characters that do not belong there, or is too long',
      {
        hint,
      },
    )
  }
  try {
    return readToken(new Uint8Array(Buffer.from(encoded, 'base64url')))
  } catch (error) {
    if (!isMirrorError(error)) throw error
    throw new MirrorError('invalid', `this invite is damaged or incomplete: ${error.message}`, {
      hint,
      cause: error,
    })
  }
}

function readToken(bytes: Uint8Array): InviteToken {
  const value = decodeCbor(bytes, 'the invite', MAX_TOKEN_CHARACTERS)
  if (!equalBytes(encodeCbor(value), bytes)) throw wrong('the invite', 'is not canonical')
  const fields = readFields(value, 'the invite', [
    'v',
    'mesh',
    'peer',
    'addrs',
    'secret',
    'invite',
    'site',
    'region',
    'expiresMs',
  ])
  readInteger(fields, 'v', { min: 1, max: 1 })
  return {
    mesh: readCid(fields, 'mesh'),
    peer: readBytes(fields, 'peer', KEY_BYTES),
    addrs: readList(fields, 'addrs', { min: 1, max: 16 }, readAddress),
    secret: readBytes(fields, 'secret', INVITE_SECRET_BYTES),
    invite: readCid(fields, 'invite'),
    site: readSegment(fields, 'site'),
    region: readSegment(fields, 'region'),
    expiresMs: readInteger(fields, 'expiresMs', { min: 1 }),
  }
}

function readAddress(value: unknown): string {
  if (typeof value !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(value))
    throw wrong('addrs', 'holds what is not an address')
  return value
}
