/**
 * genesis: the record that begins a mesh. Its id is the mesh's id. Signed by one of the first admins, counter 1, and
 * the only record whose `mesh` is null.
 *
 * | field | type | meaning |
 * |---|---|---|
 * | admins | {keys: [32 bytes], threshold: int} | the first admin set; keys rise strictly; 1 <= threshold <= keys |
 * | name | text, one segment | the mesh's name for people |
 * | nonce | 16 bytes | random: two meshes of one name and one admin differ |
 * | recovery | 32 bytes | offline key that may replace the admin set by itself; not an admin's key |
 */
import { compareBytes, equalBytes } from '../../base/bytes.ts'
import {
  asBytes,
  checkRising,
  type Fields,
  readBytes,
  readFields,
  readInteger,
  readList,
  readSegment,
  wrong,
} from '../fields.ts'
import { KEY_BYTES, type PublicKey } from '../key.ts'

export const MAX_ADMINS = 31

export interface AdminKeys {
  /** Rising strictly. */
  readonly keys: readonly PublicKey[]
  /** How many of them must sign a change of the set. */
  readonly threshold: number
}

export interface GenesisBody {
  readonly name: string
  readonly admins: AdminKeys
  readonly recovery: PublicKey
  readonly nonce: Uint8Array
}

export function decodeGenesis(value: unknown): GenesisBody {
  const fields = readFields(value, 'genesis', ['name', 'admins', 'recovery', 'nonce'])
  const body = {
    name: readSegment(fields, 'name'),
    admins: readAdminKeys(fields, 'admins'),
    recovery: readBytes(fields, 'recovery', KEY_BYTES),
    nonce: readBytes(fields, 'nonce', 16),
  }
  checkRecovery(body.admins, body.recovery)
  return body
}

export function readAdminKeys(parent: Fields, name: string): AdminKeys {
  const fields = readFields(parent[name], name, ['keys', 'threshold'])
  const keys = readList(fields, 'keys', { min: 1, max: MAX_ADMINS }, (key) =>
    asBytes(key, 'an admin key', KEY_BYTES),
  )
  checkRising(keys, compareBytes, 'keys')
  return { keys, threshold: readInteger(fields, 'threshold', { min: 1, max: keys.length }) }
}

/** The recovery key must not be one of those it is there to replace. */
export function checkRecovery(admins: AdminKeys, recovery: PublicKey): void {
  if (admins.keys.some((key) => equalBytes(key, recovery))) throw wrong('recovery', "is also an admin's key")
}
