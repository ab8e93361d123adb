import { utf8 } from '../../base/bytes.ts'
import type { Cid } from '../../block/cid.ts'
import { cidOf, RAW } from '../../block/cid.ts'

/**
 * The name under which sites tell each other what they hold of the deltas of one pair of snapshots, however the set grows. No
 * block has it: it stands where a snapshot's CID stands in a watch, and is raw, which no snapshot is.
 */
export function encodingsName(tree: string, snapshot: Cid, base: Cid): Cid {
  return cidOf(RAW, utf8(`mirrormesh/encodings/1\0${tree}\0${snapshot.toString()}\0${base.toString()}`))
}
