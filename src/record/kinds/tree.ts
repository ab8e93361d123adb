/**
 * tree: an admin, or a publisher by a grant, declares a tree: who may read it and which keys may be named its publisher by an epoch.
 *
 * | field | type | meaning |
 * |---|---|---|
 * | name | text | the tree's name |
 * | publishers | [32 bytes] | keys that an epoch may name; rising strictly, at most 64 |
 * | readers | text | `members`: every member reads it; `granted`: its publishers and who has a reader's grant. A node that does not know a value ignores the record |
 * | removed | bool | a tombstone: no new heads are expected |
 * | version | int >= 1 | the highest counts |
 */
import { compareBytes } from '../../base/bytes.ts'
import {
  asBytes,
  checkRising,
  readBoolean,
  readFields,
  readInteger,
  readList,
  readTreeName,
  wrong,
} from '../fields.ts'
import { KEY_BYTES, type PublicKey } from '../key.ts'

export type TreeReaders = 'members' | 'granted'

export interface TreeBody {
  readonly name: string
  readonly readers: TreeReaders
  readonly publishers: readonly PublicKey[]
  readonly version: number
  readonly removed: boolean
}

export function decodeTree(value: unknown): TreeBody {
  const fields = readFields(value, 'tree', ['name', 'readers', 'publishers', 'version', 'removed'])
  if (fields.readers !== 'members' && fields.readers !== 'granted')
    throw wrong('readers', 'is of a form that this version does not know')
  const publishers = readList(fields, 'publishers', { max: 64 }, (key) =>
    asBytes(key, 'a publisher', KEY_BYTES),
  )
  checkRising(publishers, compareBytes, 'publishers')
  return {
    name: readTreeName(fields, 'name'),
    readers: fields.readers,
    publishers,
    version: readInteger(fields, 'version', { min: 1 }),
    removed: readBoolean(fields, 'removed'),
  }
}
