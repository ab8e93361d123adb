/**
 * head: a publisher says that a snapshot is now the tree. Heads form a chain: each names the head before it and is
 * one higher in sequence, across epochs as well, so a sequence names one snapshot of the tree for ever and nothing can
 * jump ahead.
 *
 * | field | type | meaning |
 * |---|---|---|
 * | counts | {text: int} | what the snapshot holds, for display only: files, bytes, blocks...; at most 16 |
 * | epoch | int >= 1 | number of the epoch that it is published under |
 * | previous | CID or null | the head record before; the epoch's `base` for the first of an epoch |
 * | sequence | int >= 1 | that of `previous` + 1; 1 when that is null |
 * | snapshot | CID | the snapshot's block |
 * | tree | text | the tree's name |
 */
import { type Cid, DAG_CBOR } from '../../block/cid.ts'
import {
  isPlainMap,
  readCid,
  readCidOrNull,
  readFields,
  readInteger,
  readTreeName,
  wrong,
} from '../fields.ts'

export interface HeadBody {
  readonly tree: string
  readonly epoch: number
  readonly sequence: number
  readonly previous: Cid | null
  readonly snapshot: Cid
  /** Advisory: never relied on for anything but display and plans. */
  readonly counts: Readonly<Record<string, number>>
}

export function decodeHead(value: unknown): HeadBody {
  const fields = readFields(value, 'head', ['tree', 'epoch', 'sequence', 'previous', 'snapshot', 'counts'])
  const body = {
    tree: readTreeName(fields, 'tree'),
    epoch: readInteger(fields, 'epoch', { min: 1 }),
    sequence: readInteger(fields, 'sequence', { min: 1 }),
    previous: readCidOrNull(fields, 'previous'),
    snapshot: readCid(fields, 'snapshot'),
    counts: readCounts(fields.counts),
  }
  if (body.snapshot.code !== DAG_CBOR) throw wrong('snapshot', 'is not a dag-cbor node')
  if ((body.previous === null) !== (body.sequence === 1)) {
    throw wrong('sequence', 'must be 1 exactly when previous is null')
  }
  return body
}

function readCounts(value: unknown): Record<string, number> {
  if (!isPlainMap(value)) throw wrong('counts', 'is not a map')
  const names = Object.keys(value)
  if (names.length > 16) throw wrong('counts', 'holds more than 16')
  const counts: Record<string, number> = {}
  for (const name of names) {
    if (!/^[a-zA-Z]{1,32}$/.test(name)) throw wrong('counts', 'holds a name that is not 1 to 32 letters')
    counts[name] = readInteger(value, name)
  }
  return counts
}
