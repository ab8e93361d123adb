/**
 * Reads a pack from front to back without the index: for recovery and rebuilding. Every entry it gives has been
 * checked against its digest. Behind damage it looks for the next entry header, so that one flipped bit costs one
 * block and not the rest of the pack.
 */
import { MAX_BLOCK_BYTES } from '../../block/block.ts'
import { cidFromKeyBytes, verifyBlock } from '../../block/cid.ts'
import { decodeBlock } from '../../block/encoding.ts'
import type { PackedEntry } from '../block-store.ts'
import type { StoreFile } from '../files.ts'
import type { EntryHeader } from '../pack.ts'
import { decodeEntryHeader, ENTRY_HEADER_BYTES, ENTRY_MARKER } from '../pack.ts'

export type ScanItem =
  | { readonly type: 'entry'; readonly entry: PackedEntry; readonly endOffset: number }
  /** Bytes [offset, endOffset) are no sound entry, and sound entries follow. What ends the file unsound is no item. */
  | { readonly type: 'damage'; readonly offset: number; readonly endOffset: number }

const WINDOW_BYTES = 2 * (MAX_BLOCK_BYTES + ENTRY_HEADER_BYTES)

/** Items from `startOffset` on, which is where an entry starts or would. */
export async function* scanPack(file: StoreFile, startOffset: number): AsyncGenerator<ScanItem> {
  const window = Buffer.allocUnsafeSlow(WINDOW_BYTES)
  let windowStart = startOffset
  let windowLength = 0
  let isFileEnd = false

  /** Makes [offset, offset + length) part of the window; returns how many of those bytes the file has. */
  async function reach(offset: number, length: number): Promise<number> {
    if (offset + length > windowStart + windowLength && !isFileEnd) {
      window.copyWithin(0, offset - windowStart, windowLength)
      windowLength -= offset - windowStart
      windowStart = offset
      const count = await file.read(window.subarray(windowLength), windowStart + windowLength)
      isFileEnd = windowLength + count < window.length
      windowLength += count
    }
    return Math.min(length, windowStart + windowLength - offset)
  }

  let soundEnd = startOffset
  let at = startOffset
  for (;;) {
    const available = await reach(at, ENTRY_HEADER_BYTES)
    if (available < ENTRY_HEADER_BYTES) return
    const header = decodeEntryHeader(window, at - windowStart)
    if (header !== undefined) {
      const offset = at + ENTRY_HEADER_BYTES
      const { storedBytes } = header
      if ((await reach(at, ENTRY_HEADER_BYTES + storedBytes)) === ENTRY_HEADER_BYTES + storedBytes) {
        const from = offset - windowStart
        if (isSound(header, window.subarray(from, from + storedBytes))) {
          if (at > soundEnd) yield { type: 'damage', offset: soundEnd, endOffset: at }
          at = soundEnd = offset + storedBytes
          yield { type: 'entry', entry: { ...header, offset }, endOffset: soundEnd }
          continue
        }
      }
    }
    at = nextMarker(at + 1)
  }

  /** Where the next marker may start: one that straddles the window's end is found after the window moves. */
  function nextMarker(from: number): number {
    const found = window.subarray(0, windowLength).indexOf(ENTRY_MARKER, from - windowStart)
    return found >= 0
      ? windowStart + found
      : Math.max(from, windowStart + windowLength - ENTRY_MARKER.length + 1)
  }
}

function isSound({ key, encoding, lengthBytes }: EntryHeader, bytes: Uint8Array): boolean {
  try {
    verifyBlock(cidFromKeyBytes(key), decodeBlock({ encoding, bytes, lengthBytes }))
    return true
  } catch {
    return false
  }
}
