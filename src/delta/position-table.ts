/**
 * Which position a block has in a snapshot's index, for many blocks: 8 bytes of the digest and 4 of the position in one
 * open-addressing table, 18 to 36 bytes a block where a Map of strings takes 150 and more.
 *
 * Two blocks with the same 8 bytes answer for each other. By chance that does not happen (2^-22 at two million); made on
 * purpose it costs the maker a worse delta or none, never wrong bytes: what is found here is read by its position again.
 */
import type { Cid } from '../block/cid.ts'

export interface PositionTable {
  readonly size: number
  /** The first position of a block stays. */
  add(cid: Cid, position: number): void
  find(cid: Cid): number | undefined
}

const FIRST_SLOTS = 1024
const WORDS = 3
/** What positions fit: 256 TB in chunks of 64 KiB. */
export const MAX_POSITION = 2 ** 32 - 1

export function createPositionTable(): PositionTable {
  let slots = FIRST_SLOTS
  let table = new Uint32Array(slots * WORDS)
  let size = 0

  /** Where these two words are, or -1 - the free slot where they belong. Both zero means a free slot. */
  function place(a: number, b: number): number {
    for (let slot = a & (slots - 1); ; slot = (slot + 1) & (slots - 1)) {
      const at = slot * WORDS
      const [x, y] = [table[at]!, table[at + 1]!]
      if (x === a && y === b) return at
      if ((x | y) === 0) return -1 - at
    }
  }

  function put(at: number, a: number, b: number, position: number): void {
    table[at] = a
    table[at + 1] = b
    table[at + 2] = position
  }

  function grow(): void {
    const old = table
    slots *= 2
    table = new Uint32Array(slots * WORDS)
    for (let at = 0; at < old.length; at += WORDS) {
      const [a, b] = [old[at]!, old[at + 1]!]
      if ((a | b) !== 0) put(-1 - place(a, b), a, b, old[at + 2]!)
    }
  }

  return {
    get size() {
      return size
    },
    add(cid, position) {
      if ((size + 1) * 3 > slots * 2) grow()
      const [a, b] = keyOf(cid)
      const at = place(a, b)
      if (at >= 0) return
      put(-1 - at, a, b, position)
      size += 1
    },
    find(cid) {
      const at = place(...keyOf(cid))
      return at < 0 ? undefined : table[at + 2]!
    },
  }
}

/** Never both zero. The codec is part of a CID. */
function keyOf(cid: Cid): [number, number] {
  const { digest } = cid.multihash
  const a = wordAt(digest, 0)
  const b = (wordAt(digest, 4) ^ Math.imul(cid.code, 0x9e3779b1)) >>> 0
  return [a, a === 0 && b === 0 ? 1 : b]
}

function wordAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
}
