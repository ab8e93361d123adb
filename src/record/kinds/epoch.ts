/**
 * epoch: an admin gives a tree its one active publisher key, and says after which head that publisher goes on. A new
 * epoch is the way out of a lost key, of a publisher restored from an old backup, and of a fork.
 *
 * The first epoch of a tree that a publisher created by a grant is that publisher's own record.
 *
 * | field | type | meaning |
 * |---|---|---|
 * | base | CID or null | the head record that the epoch goes on from; null when it begins the tree's history |
 * | epoch | int >= 1 | one more than that of `previous`; 1 when that is null |
 * | previous | CID or null | the epoch record before |
 * | publisher | 32 bytes | the key whose heads count; listed by the tree's record |
 * | tree | text | the tree's name |
 */
import type { Cid } from '../../block/cid.ts'
import { readBytes, readCidOrNull, readFields, readInteger, readTreeName, wrong } from '../fields.ts'
import { KEY_BYTES, type PublicKey } from '../key.ts'

export interface EpochBody {
  readonly tree: string
  readonly epoch: number
  readonly previous: Cid | null
  readonly publisher: PublicKey
  readonly base: Cid | null
}

export function decodeEpoch(value: unknown): EpochBody {
  const fields = readFields(value, 'epoch', ['tree', 'epoch', 'previous', 'publisher', 'base'])
  const body = {
    tree: readTreeName(fields, 'tree'),
    epoch: readInteger(fields, 'epoch', { min: 1 }),
    previous: readCidOrNull(fields, 'previous'),
    publisher: readBytes(fields, 'publisher', KEY_BYTES),
    base: readCidOrNull(fields, 'base'),
  }
  if ((body.previous === null) !== (body.epoch === 1)) {
    throw wrong('epoch', 'must be 1 exactly when previous is null')
  }
  return body
}
