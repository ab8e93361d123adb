/**
 * withdrawal: an admin takes an invite back. It admits nobody from then on; a node that it had admitted, where the two
 * crossed, is a member no more: of two orders in which they may arrive there is one meaning.
 *
 * | field | type | meaning |
 * |---|---|---|
 * | invite | CID | the record of the invite |
 */
import type { Cid } from '../../block/cid.ts'
import { readCid, readFields } from '../fields.ts'

export interface WithdrawalBody {
  readonly invite: Cid
}

export function decodeWithdrawal(value: unknown): WithdrawalBody {
  return { invite: readCid(readFields(value, 'withdrawal', ['invite']), 'invite') }
}
