/**
 * Reads blocks out of packs, and out of files that hold blocks in place, with synchronous calls, for writing threads,
 * and verifies each. Blocks that follow each other in a pack, as an import leaves them, come through a window: one
 * system call for many small ones.
 */
import fs from 'node:fs'
import { isMirrorError } from '../../base/errors.ts'
import { decodeBlock } from '../../block/encoding.ts'
import { blake3, DIGEST_BYTES } from '../../block/hash.ts'
import { CID_KEY_BYTES } from '../../block/key-bytes.ts'
import { openBeneath } from '../../posix/open-beneath.ts'
import { readAhead } from '../../posix/read-ahead.ts'
import { nativeZstd } from '../../posix/zstd.ts'
import type { BlockPlace } from '../../store/block-store.ts'

const WINDOW_BYTES = 512 * 1024
/** A block this close after the last one read counts as its successor: entry headers lie between. */
const NEAR_BYTES = 4096
const MAX_OPEN_PACKS = 32
/** So much of a pack is on its way once this much of it was read in order: a check-out out of order asks for nothing. */
const AHEAD_BYTES = 4 * 1024 * 1024
const IN_ORDER_BYTES = 2 * WINDOW_BYTES
/** Of decoded blocks: memory of its own for each costs more than decoding a small one. */
const ARENA_BYTES = 1024 * 1024

/** A pack, or a file below a folder in which others write. */
export type StoredFile = Pick<BlockPlace, 'path' | 'root'>

export interface PackedBlock {
  readonly pack: StoredFile
  readonly offset: number
  readonly storedBytes: number
  /** Of the plain block: less is stored of one that rests as zstd, and of no other. */
  readonly lengthBytes: number
}

export interface PackReader {
  /** The plain block, valid until something is read that was not `isAtHand`; undefined when what lies there is not it. */
  read(place: PackedBlock, key: Uint8Array): Uint8Array | undefined
  /** Whether `read` of this place needs no system call, and so leaves the blocks before it valid. */
  isAtHand(place: PackedBlock): boolean
  close(): void
}

export function createPackReader(): PackReader {
  const open = new Map<string, number>()
  let window = Buffer.allocUnsafeSlow(WINDOW_BYTES)
  let windowPack = ''
  let windowStart = 0
  let windowEnd = 0
  let lastEnd = 0
  /** Where the reading in order began, and how far the kernel was asked to read. */
  let orderStart = 0
  let askedByte = 0
  let arena = new Uint8Array()
  let arenaUsed = 0

  /** Room for a decoded block, as long as the window stays. */
  function takeArena(lengthBytes: number): Uint8Array {
    if (arena.length === 0) arena = new Uint8Array(Buffer.allocUnsafeSlow(ARENA_BYTES).buffer)
    if (lengthBytes > arena.length - arenaUsed)
      return new Uint8Array(Buffer.allocUnsafeSlow(lengthBytes).buffer)
    arenaUsed += lengthBytes
    return arena.subarray(arenaUsed - lengthBytes, arenaUsed)
  }

  function fdOf(pack: StoredFile): number {
    let fd = open.get(pack.path)
    if (fd === undefined) {
      fd = openStored(pack)
      for (const [oldest, oldFd] of open) {
        if (open.size < MAX_OPEN_PACKS) break
        fs.closeSync(oldFd)
        open.delete(oldest)
      }
      open.set(pack.path, fd)
    }
    return fd
  }

  function load(pack: StoredFile, offset: number, lengthBytes: number): boolean {
    const isNext = pack.path === windowPack && offset >= lastEnd && offset - lastEnd <= NEAR_BYTES
    const wanted = isNext ? Math.max(lengthBytes, WINDOW_BYTES) : lengthBytes
    if (wanted > window.length) window = Buffer.allocUnsafeSlow(wanted)
    arenaUsed = 0
    windowPack = pack.path
    windowStart = offset
    windowEnd = offset
    const fd = fdOf(pack)
    if (!isNext) {
      orderStart = offset
      askedByte = 0
    } else if (offset - orderStart >= IN_ORDER_BYTES && askedByte < offset + AHEAD_BYTES) {
      const from = Math.max(askedByte, offset)
      askedByte = from + AHEAD_BYTES
      readAhead(fd, from, AHEAD_BYTES)
    }
    while (windowEnd - offset < lengthBytes) {
      const at = windowEnd - offset
      const count = fs.readSync(fd, window, at, wanted - at, windowEnd)
      if (count === 0) return false
      windowEnd += count
    }
    return true
  }

  function isAtHand({ pack, offset, storedBytes }: PackedBlock): boolean {
    return pack.path === windowPack && offset >= windowStart && offset + storedBytes <= windowEnd
  }

  return {
    isAtHand,
    read(place, key) {
      const { pack, offset, storedBytes, lengthBytes } = place
      try {
        if (!isAtHand(place) && !load(pack, offset, storedBytes)) return undefined
      } catch (error) {
        // A pack that went away or cannot be read: the store decides what that means.
        if (typeof (error as NodeJS.ErrnoException).code === 'string') return undefined
        throw error
      }
      lastEnd = offset + storedBytes
      const stored = window.subarray(offset - windowStart, offset - windowStart + storedBytes)
      const bytes = storedBytes === lengthBytes ? stored : unpack(stored, lengthBytes, takeArena)
      return bytes !== undefined && matchesKey(bytes, key) ? bytes : undefined
    },
    close() {
      for (const fd of open.values()) fs.closeSync(fd)
      open.clear()
    },
  }
}

function openStored({ path, root }: StoredFile): number {
  if (root === undefined) return fs.openSync(path, 'r')
  return openBeneath(Buffer.from(root), Buffer.from(path).subarray(Buffer.byteLength(root) + 1))
}

function unpack(
  bytes: Uint8Array,
  lengthBytes: number,
  into: (lengthBytes: number) => Uint8Array,
): Uint8Array | undefined {
  try {
    return decodeBlock({ encoding: 'zstd', bytes, lengthBytes }, nativeZstd(), into)
  } catch (error) {
    if (isMirrorError(error, 'corrupt')) return undefined
    throw error
  }
}

/** Whether `bytes` have the digest in a block key. */
export function matchesKey(bytes: Uint8Array, key: Uint8Array): boolean {
  const digest = blake3.digest(bytes)
  for (let i = 0; i < DIGEST_BYTES; i++) if (digest[i] !== key[CID_KEY_BYTES - DIGEST_BYTES + i]) return false
  return true
}
