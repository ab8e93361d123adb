/** Writes blocks to a file in full, by synchronous calls: for writing threads. */
import fs from 'node:fs'
import { holesWithin } from '../../dag/holes.ts'
import { isZeros } from '../zeros.ts'

/** Blocks that follow each other, in one call where the system takes them all. */
export function writeAll(fd: number, blocks: readonly Uint8Array[], position: number): void {
  // A short write, as before a full disk: the rest one by one, to the error or the end.
  let done = blocks.length > 1 ? fs.writevSync(fd, blocks, position) : 0
  let start = position
  for (const block of blocks) {
    if (done < block.length) writeFully(fd, block.subarray(done), start + done)
    start += block.length
    done = Math.max(0, done - block.length)
  }
}

/** Leaves holes where the bytes are zeros, and nowhere else. @param holes offset and length of each, in the file */
export function writeAround(fd: number, bytes: Uint8Array, position: number, holes: readonly number[]): void {
  const within = holesWithin(holes, position, position + bytes.length)
  let written = 0
  for (let at = 0; at < within.length; at += 2) {
    const start = within[at]! - position
    const end = start + within[at + 1]!
    if (!isZeros(bytes.subarray(start, end))) continue
    writeFully(fd, bytes.subarray(written, start), position + written)
    written = end
  }
  writeFully(fd, bytes.subarray(written), position + written)
}

function writeFully(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += fs.writeSync(fd, bytes, done, bytes.length - done, position + done)
  }
}
