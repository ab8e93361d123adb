/**
 * encodings: the publisher of a head says which deltas there are for its snapshot against an older one of the tree (the
 * base), or that they are being made. As they grow a record of a higher version names the larger set.
 *
 * | field | type | meaning |
 * |---|---|---|
 * | base | CID | the older snapshot |
 * | bytes | int >= 0 | of all deltas so far; advisory |
 * | isComplete | bool | no more deltas will come |
 * | sequence | int >= 1 | that of the head |
 * | set | CID or null | the set's node; null when there are no deltas (yet) |
 * | snapshot | CID | that of the head |
 * | targetBytes | int >= 0 | of the blocks that the deltas give, plain; advisory |
 * | tree | text | the tree's name |
 * | version | int >= 1 | the highest counts |
 */
import { type Cid, DAG_CBOR } from '../../block/cid.ts'
import {
  readBoolean,
  readCid,
  readCidOrNull,
  readFields,
  readInteger,
  readTreeName,
  wrong,
} from '../fields.ts'

export interface EncodingsBody {
  readonly tree: string
  readonly snapshot: Cid
  readonly base: Cid
  readonly sequence: number
  readonly set: Cid | null
  readonly version: number
  readonly isComplete: boolean
  readonly bytes: number
  readonly targetBytes: number
}

const FIELDS = [
  'tree',
  'snapshot',
  'base',
  'sequence',
  'set',
  'version',
  'isComplete',
  'bytes',
  'targetBytes',
] as const

export function decodeEncodingsBody(value: unknown): EncodingsBody {
  const fields = readFields(value, 'encodings', FIELDS)
  const body = {
    tree: readTreeName(fields, 'tree'),
    snapshot: readCid(fields, 'snapshot'),
    base: readCid(fields, 'base'),
    sequence: readInteger(fields, 'sequence', { min: 1 }),
    set: readCidOrNull(fields, 'set'),
    version: readInteger(fields, 'version', { min: 1 }),
    isComplete: readBoolean(fields, 'isComplete'),
    bytes: readInteger(fields, 'bytes', { min: 0 }),
    targetBytes: readInteger(fields, 'targetBytes', { min: 0 }),
  }
  for (const name of ['snapshot', 'base', 'set'] as const) {
    const cid = body[name]
    if (cid !== null && cid.code !== DAG_CBOR) throw wrong(name, 'is not a dag-cbor node')
  }
  if (body.snapshot.equals(body.base)) throw wrong('base', 'is the snapshot itself')
  return body
}
