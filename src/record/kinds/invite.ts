/**
 * invite: an admin lets one new node in, through one member (the admitter) who checks the secret. See
 * docs/decisions/0003-records-and-admission.md for why admission is a record of the admitter's and not of the newcomer's.
 *
 * | field | type | meaning |
 * |---|---|---|
 * | admitter | 32 bytes | key of the node that may admit under this invite |
 * | expiresMs | int | the admitter must not admit after this time |
 * | region | text, one segment | of the new node |
 * | roles | [text] | of the new node; rising strictly, 1 to 16 |
 * | secretHash | 32 bytes | `inviteSecretHash` of the secret in the token |
 * | site | text, one segment | of the new node |
 */
import { readBytes, readFields, readInteger, readSegment } from '../fields.ts'
import { KEY_BYTES, type PublicKey } from '../key.ts'
import { readRoles } from './member.ts'

export interface InviteBody {
  readonly admitter: PublicKey
  readonly secretHash: Uint8Array
  readonly site: string
  readonly region: string
  readonly roles: readonly string[]
  readonly expiresMs: number
}

export function decodeInvite(value: unknown): InviteBody {
  const fields = readFields(value, 'invite', [
    'admitter',
    'secretHash',
    'site',
    'region',
    'roles',
    'expiresMs',
  ])
  return {
    admitter: readBytes(fields, 'admitter', KEY_BYTES),
    secretHash: readBytes(fields, 'secretHash', 32),
    site: readSegment(fields, 'site'),
    region: readSegment(fields, 'region'),
    roles: readRoles(fields, 'roles'),
    expiresMs: readInteger(fields, 'expiresMs', { min: 1 }),
  }
}
