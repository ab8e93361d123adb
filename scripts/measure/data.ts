/** Makes the trees that are measured. The same numbers give the same bytes. */
import { createCipheriv } from 'node:crypto'
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const PIECE_BYTES = 4 * 1024 * 1024

/** Bytes that no program can compress or deduplicate: AES-CTR of zeros under a fixed key. */
function byteStream(): (length: number) => Buffer {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16))
  return (length) => cipher.update(Buffer.alloc(length))
}

/** One file of `sizeBytes` in a new folder. */
export function makeLargeFile(folder: string, sizeBytes: number): void {
  mkdirSync(folder)
  const file = openSync(join(folder, 'large.bin'), 'w')
  const next = byteStream()
  for (let done = 0; done < sizeBytes; done += PIECE_BYTES)
    writeSync(file, next(Math.min(PIECE_BYTES, sizeBytes - done)))
  closeSync(file)
}

/** `count` files of 0.5 to 15.5 KiB (8 KiB on average), 100 a folder. @returns the sum of their sizes */
export function makeSmallFiles(folder: string, count: number): number {
  mkdirSync(folder)
  const next = byteStream()
  let total = 0
  for (let index = 0; index < count; index++) {
    const directory = join(folder, `d${String(Math.floor(index / 100)).padStart(4, '0')}`)
    if (index % 100 === 0) mkdirSync(directory)
    const sizeBytes = 512 + ((index * 7919) % 31) * 512
    writeFileSync(join(directory, `file-${index % 100}.dat`), next(sizeBytes))
    total += sizeBytes
  }
  return total
}
