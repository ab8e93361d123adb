/**
 * A set of CIDs as 16-byte fingerprints in one open-addressing table: 25 to 50 bytes a CID where a Set of strings
 * takes about 150. Digests are uniform, so their own bits are the hash. Two CIDs with one fingerprint by chance:
 * never (2^-64 at 2^32 of them); made on purpose, it costs their maker's own snapshot (docs/formats.md, block index).
 */
import type { Cid } from '../block/cid.ts'

export interface FingerprintSet {
  /** True when the CID was not there before. */
  add(cid: Cid): boolean
  readonly size: number
}

const WORDS = 4
const FIRST_SLOTS = 1024

export function createFingerprintSet(): FingerprintSet {
  let slots = FIRST_SLOTS
  let table = new Uint32Array(slots * WORDS)
  let size = 0

  /** False when these four words are there already. All zero means a free slot. */
  function insert(a: number, b: number, c: number, d: number): boolean {
    for (let slot = a & (slots - 1); ; slot = (slot + 1) & (slots - 1)) {
      const at = slot * WORDS
      const [w, x, y, z] = [table[at]!, table[at + 1]!, table[at + 2]!, table[at + 3]!]
      if (w === a && x === b && y === c && z === d) return false
      if ((w | x | y | z) === 0) {
        table[at] = a
        table[at + 1] = b
        table[at + 2] = c
        table[at + 3] = d
        return true
      }
    }
  }

  function grow(): void {
    const old = table
    slots *= 2
    table = new Uint32Array(slots * WORDS)
    for (let at = 0; at < old.length; at += WORDS) {
      const [a, b, c, d] = [old[at]!, old[at + 1]!, old[at + 2]!, old[at + 3]!]
      if ((a | b | c | d) !== 0) insert(a, b, c, d)
    }
  }

  return {
    get size() {
      return size
    },
    add(cid) {
      if (size * 3 >= slots * 2) grow()
      const { digest } = cid.multihash
      // The codec is part of the CID, and a fingerprint is never all zero.
      const last = (wordAt(digest, 12) ^ Math.imul(cid.code, 0x9e3779b1)) >>> 0
      const isNew = insert(wordAt(digest, 0), wordAt(digest, 4), wordAt(digest, 8), last === 0 ? 1 : last)
      if (isNew) size++
      return isNew
    },
  }
}

/** Big-endian. Without a DataView, which would move each digest out of the heap. */
function wordAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
}
