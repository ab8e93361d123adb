/** Reads a block the way a worker thread does: with sync calls, from the place that `locate` gave. */
import fs from 'node:fs'
import type { BlockPlace } from '../../src/store/block-store.ts'

export function readPlace({ path, offset, storedBytes }: BlockPlace): Uint8Array {
  const fd = fs.openSync(path, 'r')
  try {
    const bytes = new Uint8Array(storedBytes)
    fs.readSync(fd, bytes, 0, storedBytes, offset)
    return bytes
  } finally {
    fs.closeSync(fd)
  }
}
