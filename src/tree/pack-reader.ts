/**
 * Reads blocks out of packs with synchronous calls, for writing threads, and verifies each. Blocks that follow each
 * other in a pack, as an import leaves them, come through a window: one system call for many small ones.
 */
import fs from 'node:fs'
import { CID_KEY_BYTES } from '../block/cid.ts'
import { blake3, DIGEST_BYTES } from '../block/hash.ts'

const WINDOW_BYTES = 1024 * 1024
/** A block this close after the last one read counts as its successor: entry headers lie between. */
const NEAR_BYTES = 4096
const MAX_OPEN_PACKS = 32

export interface PackReader {
  /** The block, valid until the next call; undefined when what lies there is not it. */
  read(pack: string, offset: number, lengthBytes: number, key: Uint8Array): Uint8Array | undefined
  close(): void
}

export function createPackReader(): PackReader {
  const open = new Map<string, number>()
  let window = Buffer.allocUnsafeSlow(WINDOW_BYTES)
  let windowPack = ''
  let windowStart = 0
  let windowEnd = 0
  let lastEnd = 0

  function fdOf(pack: string): number {
    let fd = open.get(pack)
    if (fd === undefined) {
      fd = fs.openSync(pack, 'r')
      for (const [oldest, oldFd] of open) {
        if (open.size < MAX_OPEN_PACKS) break
        fs.closeSync(oldFd)
        open.delete(oldest)
      }
      open.set(pack, fd)
    }
    return fd
  }

  function load(pack: string, offset: number, lengthBytes: number): boolean {
    const isNext = pack === windowPack && offset >= lastEnd && offset - lastEnd <= NEAR_BYTES
    const wanted = isNext ? Math.max(lengthBytes, WINDOW_BYTES) : lengthBytes
    if (wanted > window.length) window = Buffer.allocUnsafeSlow(wanted)
    windowPack = pack
    windowStart = offset
    windowEnd = offset
    const fd = fdOf(pack)
    while (windowEnd - offset < lengthBytes) {
      const at = windowEnd - offset
      const count = fs.readSync(fd, window, at, wanted - at, windowEnd)
      if (count === 0) return false
      windowEnd += count
    }
    return true
  }

  return {
    read(pack, offset, lengthBytes, key) {
      const isInside = pack === windowPack && offset >= windowStart && offset + lengthBytes <= windowEnd
      try {
        if (!isInside && !load(pack, offset, lengthBytes)) return undefined
      } catch (error) {
        // A pack that went away or cannot be read: the store decides what that means.
        if (typeof (error as NodeJS.ErrnoException).code === 'string') return undefined
        throw error
      }
      lastEnd = offset + lengthBytes
      const bytes = window.subarray(offset - windowStart, offset - windowStart + lengthBytes)
      return matchesKey(bytes, key) ? bytes : undefined
    },
    close() {
      for (const fd of open.values()) fs.closeSync(fd)
      open.clear()
    },
  }
}

/** Whether `bytes` have the digest in a block key. */
export function matchesKey(bytes: Uint8Array, key: Uint8Array): boolean {
  const digest = blake3.digest(bytes)
  for (let i = 0; i < DIGEST_BYTES; i++) if (digest[i] !== key[CID_KEY_BYTES - DIGEST_BYTES + i]) return false
  return true
}
