/**
 * verdict: an admin's yes or no to a snapshot that its publisher's node holds back because it drops much. The node then
 * publishes it, or lets go of it. It is about that one snapshot after that one head: what is published meanwhile makes it
 * mean nothing.
 *
 * | field | type | meaning |
 * |---|---|---|
 * | accepted | bool | it may be published |
 * | previous | CID | the head record that it was compared with, and is to follow |
 * | snapshot | CID | what is held back |
 * | tree | text | the tree's name |
 * | version | int >= 1 | the highest of a tree counts |
 */
import { type Cid, DAG_CBOR } from '../../block/cid.ts'
import { readBoolean, readCid, readFields, readInteger, readTreeName, wrong } from '../fields.ts'

export interface VerdictBody {
  readonly tree: string
  readonly previous: Cid
  readonly snapshot: Cid
  readonly accepted: boolean
  readonly version: number
}

export function decodeVerdict(value: unknown): VerdictBody {
  const fields = readFields(value, 'verdict', ['tree', 'previous', 'snapshot', 'accepted', 'version'])
  const body = {
    tree: readTreeName(fields, 'tree'),
    previous: readCid(fields, 'previous'),
    snapshot: readCid(fields, 'snapshot'),
    accepted: readBoolean(fields, 'accepted'),
    version: readInteger(fields, 'version', { min: 1 }),
  }
  if (body.snapshot.code !== DAG_CBOR) throw wrong('snapshot', 'is not a dag-cbor node')
  return body
}
