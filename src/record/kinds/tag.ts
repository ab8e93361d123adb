/**
 * tag: a name (`latest`, `ga`) that points at a snapshot of a tree, moved by an admin or an operator.
 *
 * | field | type | meaning |
 * |---|---|---|
 * | removed | bool | a tombstone: the tag points nowhere, whatever else it says |
 * | sequence | int >= 1 | of the head that published the snapshot |
 * | snapshot | CID | what it points at |
 * | tag | text, one segment | the tag's name |
 * | tree | text | the tree's name |
 * | version | int >= 1 | the highest counts |
 */
import { type Cid, DAG_CBOR } from '../../block/cid.ts'
import { readBoolean, readCid, readFields, readInteger, readSegment, readTreeName, wrong } from '../fields.ts'

export interface TagBody {
  readonly tree: string
  readonly tag: string
  readonly snapshot: Cid
  readonly sequence: number
  readonly version: number
  readonly removed: boolean
}

export function decodeTag(value: unknown): TagBody {
  const fields = readFields(value, 'tag', ['tree', 'tag', 'snapshot', 'sequence', 'version', 'removed'])
  const body = {
    tree: readTreeName(fields, 'tree'),
    tag: readSegment(fields, 'tag'),
    snapshot: readCid(fields, 'snapshot'),
    sequence: readInteger(fields, 'sequence', { min: 1 }),
    version: readInteger(fields, 'version', { min: 1 }),
    removed: readBoolean(fields, 'removed'),
  }
  if (body.snapshot.code !== DAG_CBOR) throw wrong('snapshot', 'is not a dag-cbor node')
  return body
}
