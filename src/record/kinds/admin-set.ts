/**
 * admin-set: replaces the mesh's admins. Each names the set before it, so the sets form a chain from genesis, and is
 * signed (issuer and cosigners together) by the threshold of the set before, or by the recovery key alone.
 *
 * | field | type | meaning |
 * |---|---|---|
 * | admins | {keys, threshold} | the new set, as in genesis |
 * | cuts | [{counter, key, last}] | one for each key that leaves: its last record that still counts; keys rise strictly |
 * | previous | CID | the admin-set or genesis that this replaces |
 * | recovery | 32 bytes | the recovery key from now on; only the recovery key itself may change it |
 *
 * A key that has left never comes back: its chain is cut for good.
 */
import { compareBytes } from '../../base/bytes.ts'
import type { Cid } from '../../block/cid.ts'
import { checkRising, readBytes, readCid, readFields, readList } from '../fields.ts'
import { KEY_BYTES, type PublicKey } from '../key.ts'
import { type AdminKeys, checkRecovery, MAX_ADMINS, readAdminKeys } from './genesis.ts'
import { type Cut, readCut } from './revocation.ts'

export interface AdminSetBody {
  readonly previous: Cid
  readonly admins: AdminKeys
  readonly recovery: PublicKey
  readonly cuts: readonly Cut[]
}

export function decodeAdminSet(value: unknown): AdminSetBody {
  const fields = readFields(value, 'admin-set', ['previous', 'admins', 'recovery', 'cuts'])
  const body = {
    previous: readCid(fields, 'previous'),
    admins: readAdminKeys(fields, 'admins'),
    recovery: readBytes(fields, 'recovery', KEY_BYTES),
    cuts: readList(fields, 'cuts', { max: MAX_ADMINS }, (cut) => readCut(cut, 'a cut')),
  }
  checkRising(body.cuts, (a, b) => compareBytes(a.key, b.key), 'cuts')
  checkRecovery(body.admins, body.recovery)
  return body
}
