/**
 * What a stat cache says of the files of a batch, held against the store: the cache is never believed that a block is
 * there. Memory is bounded by a run of keys and a flag a file.
 */
import { CID_KEY_BYTES, RAW } from '../../block/cid.ts'
import {
  encodeReadHeader,
  readPart,
  readReadExtras,
  readReadHeader,
  resultBodyBytes,
} from '../spool/read-results.ts'
import type { RecordReader, RecordWriter } from '../spool/record-bytes.ts'

const KEYS_PER_RUN = 4096
const COPY_BYTES = 64 * 1024

/**
 * For each result in `from`, whether all of its blocks are stored.
 * @param lookUp of 33 bytes a block: one byte a block, 1 when it is stored
 */
export function findStored(from: RecordReader, lookUp: (keys: Uint8Array) => Uint8Array): boolean[] {
  const isStored: boolean[] = []
  const keys = new Uint8Array(KEYS_PER_RUN * CID_KEY_BYTES)
  const owners = new Uint32Array(KEYS_PER_RUN)
  let count = 0

  function settle(): void {
    if (count === 0) return
    const stored = lookUp(keys.slice(0, count * CID_KEY_BYTES))
    for (let index = 0; index < count; index++) if (stored[index] !== 1) isStored[owners[index]!] = false
    count = 0
  }

  while (!from.isAtEnd) {
    const { parts, extras } = readReadHeader(from)
    readReadExtras(from, extras)
    const file = isStored.push(true) - 1
    for (let part = 0; part < parts; part++) {
      const at = count * CID_KEY_BYTES
      keys[at] = RAW
      keys.set(readPart(from).digest, at + 1)
      owners[count] = file
      count += 1
      if (count === KEYS_PER_RUN) settle()
    }
  }
  settle()
  return isStored
}

/** The next result of `from`: to `out`, or nowhere. */
export function copyResult(from: RecordReader, out: RecordWriter | undefined): void {
  const header = readReadHeader(from)
  out?.bytes(encodeReadHeader(header))
  for (let left = resultBodyBytes(header); left > 0; left -= COPY_BYTES) {
    const bytes = from.view(Math.min(left, COPY_BYTES))
    out?.bytes(bytes)
  }
}
