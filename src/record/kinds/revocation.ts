/**
 * revocation: an admin ends a key (a node's, a publisher's), for good. Records of that key up to `last` still count;
 * those after it, and those on another branch of its chain, do not. An admin's key is not ended this way but by an
 * admin-set, which takes the threshold: one stolen admin key cannot throw out the others.
 *
 * | field | type | meaning |
 * |---|---|---|
 * | counter | int >= 0 | of `last`; 0 when nothing of the key counts |
 * | key | 32 bytes | the key that ends |
 * | last | CID or null | the last record of the key that still counts; null exactly when counter is 0 |
 * | reason | text, 1-256 | for people |
 */
import type { Cid } from '../../block/cid.ts'
import { readBytes, readCidOrNull, readFields, readInteger, readText, wrong } from '../fields.ts'
import { KEY_BYTES, type PublicKey } from '../key.ts'

/** Where a key's chain ends. */
export interface Cut {
  readonly key: PublicKey
  readonly counter: number
  readonly last: Cid | null
}

export interface RevocationBody extends Cut {
  readonly reason: string
}

export function decodeRevocation(value: unknown): RevocationBody {
  const fields = readFields(value, 'revocation', ['key', 'counter', 'last', 'reason'])
  const { key, counter, last } = fields
  return { ...readCut({ key, counter, last }, 'revocation'), reason: readText(fields, 'reason', 256) }
}

export function readCut(value: unknown, what: string): Cut {
  const fields = readFields(value, what, ['key', 'counter', 'last'])
  const cut = {
    key: readBytes(fields, 'key', KEY_BYTES),
    counter: readInteger(fields, 'counter'),
    last: readCidOrNull(fields, 'last'),
  }
  if ((cut.last === null) !== (cut.counter === 0))
    throw wrong(what, 'must have counter 0 exactly when last is null')
  return cut
}
