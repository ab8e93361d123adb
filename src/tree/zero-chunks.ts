/** Telling chunks of zeros by their CIDs. */
import type { Cid } from '../block/cid.ts'
import { cidOf, RAW } from '../block/cid.ts'

/** A file's holes are made of chunks of few lengths. */
const MAX_KNOWN = 64

/** Says of a chunk, without its bytes, whether it is all zeros; remembers the CID for each length it was asked for. */
export function createZeroTest(): (chunk: { readonly cid: Cid; readonly lengthBytes: number }) => boolean {
  const known = new Map<number, Cid>()
  return ({ cid, lengthBytes }) => {
    let zeros = known.get(lengthBytes)
    if (zeros === undefined) {
      zeros = cidOf(RAW, new Uint8Array(lengthBytes))
      if (known.size >= MAX_KNOWN) known.clear()
      known.set(lengthBytes, zeros)
    }
    return zeros.equals(cid)
  }
}
