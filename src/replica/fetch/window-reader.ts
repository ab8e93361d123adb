/**
 * Reads the window of a delta out of packs, and out of files that hold blocks in place, with synchronous calls, into one piece
 * of memory. Nothing is verified here: what is made over the window is. Blocks that lie near each other come with one call.
 */
import fs from 'node:fs'
import { decodeBlock } from '../../block/encoding.ts'
import { openBeneath } from '../../posix/open-beneath.ts'
import { nativeZstd } from '../../posix/zstd.ts'
import type { BlockPlace } from '../../store/block-store.ts'

export interface WindowReader {
  /**
   * All of them one after the other, as they are when decoded; valid until the next call. Undefined where one does not lie there.
   * @throws as fs does; MirrorError `corrupt`
   */
  read(places: readonly BlockPlace[]): Uint8Array | undefined
}

/** What lies between two blocks is read with them up to here: cheaper than another call. */
const MAX_GAP_BYTES = 16 * 1024
const MAX_STRETCH_BYTES = 512 * 1024
const MAX_OPEN_FILES = 32
const GRAIN_BYTES = 1024 * 1024

export function createWindowReader(): WindowReader {
  const open = new Map<string, number>()
  let window = new Uint8Array()
  let stretch = Buffer.allocUnsafeSlow(MAX_STRETCH_BYTES)

  function fdOf({ path, root }: BlockPlace): number {
    let fd = open.get(path)
    if (fd === undefined) {
      fd = openStored(path, root)
      for (const [oldest, oldFd] of open) {
        if (open.size < MAX_OPEN_FILES) break
        fs.closeSync(oldFd)
        open.delete(oldest)
      }
      open.set(path, fd)
    }
    return fd
  }

  function readBetween(place: BlockPlace, end: number): boolean {
    const lengthBytes = end - place.offset
    if (stretch.length < lengthBytes) stretch = Buffer.allocUnsafeSlow(lengthBytes)
    const fd = fdOf(place)
    for (let at = 0; at < lengthBytes; ) {
      const count = fs.readSync(fd, stretch, at, lengthBytes - at, place.offset + at)
      if (count === 0) return false
      at += count
    }
    return true
  }

  function readAll(places: readonly BlockPlace[]): boolean {
    let at = 0
    for (const [first, end] of stretchesOf(places)) {
      const { offset: start } = places[first]!
      const { offset, storedBytes } = places[end - 1]!
      if (!readBetween(places[first]!, offset + storedBytes)) return false
      for (const place of places.slice(first, end)) {
        const from = place.offset - start
        const into = window.subarray(at, at + place.lengthBytes)
        unpack(stretch.subarray(from, from + place.storedBytes), place, into)
        at += place.lengthBytes
      }
    }
    return true
  }

  return {
    read(places) {
      const lengthBytes = places.reduce((sum, place) => sum + place.lengthBytes, 0)
      if (window.length < lengthBytes)
        window = new Uint8Array(new ArrayBuffer(Math.ceil(lengthBytes / GRAIN_BYTES) * GRAIN_BYTES))
      try {
        return readAll(places) ? window.subarray(0, lengthBytes) : undefined
      } finally {
        // A pack that a collection removes would keep its space.
        for (const fd of open.values()) fs.closeSync(fd)
        open.clear()
      }
    },
  }
}

function openStored(path: string, root: string | undefined): number {
  if (root === undefined) return fs.openSync(path, 'r')
  return openBeneath(Buffer.from(root), Buffer.from(path).subarray(Buffer.byteLength(root) + 1))
}

/** Blocks that follow each other in one file: from the first to past the last. */
function* stretchesOf(places: readonly BlockPlace[]): Generator<[number, number], void, undefined> {
  let first = 0
  for (let at = 1; at <= places.length; at++) {
    const [start, before, next] = [places[first]!, places[at - 1]!, places[at]]
    const isNext =
      next !== undefined &&
      next.path === before.path &&
      next.offset >= before.offset + before.storedBytes &&
      next.offset <= before.offset + before.storedBytes + MAX_GAP_BYTES &&
      next.offset + next.storedBytes - start.offset <= MAX_STRETCH_BYTES
    if (isNext) continue
    yield [first, at]
    first = at
  }
}

function unpack(stored: Uint8Array, { encoding, lengthBytes }: BlockPlace, into: Uint8Array): void {
  if (encoding === 'plain') {
    into.set(stored)
    return
  }
  const plain = decodeBlock({ encoding, bytes: stored, lengthBytes }, nativeZstd(), () => into)
  if (plain !== into) into.set(plain)
}
