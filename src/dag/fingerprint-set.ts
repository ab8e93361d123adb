/**
 * A set of CIDs as 16-byte fingerprints in one open-addressing table: 25 to 50 bytes a CID where a Set of strings
 * takes about 150. Digests are uniform, so their own bits are the hash. Two CIDs with one fingerprint by chance:
 * never (2^-64 at 2^32 of them); made on purpose, it costs their maker's own snapshot (docs/formats.md, block index).
 *
 * With a scratch its memory has a bound: when the table is full, what it holds goes there (fingerprint-runs.ts) and it
 * starts over. The answers are the same.
 */
import type { Cid } from '../block/cid.ts'
import type { FingerprintRuns } from './fingerprint-runs.ts'
import { createFingerprintRuns, FINGERPRINT_WORDS } from './fingerprint-runs.ts'
import type { Scratch } from './scratch.ts'

export interface FingerprintSet {
  /** True when the CID was not there before. */
  add(cid: Cid): boolean
  has(cid: Cid): boolean
  readonly size: number
  /** Gives the scratch back. */
  close(): void
}

export interface FingerprintSetOptions {
  /** Without one everything stays in memory. */
  readonly scratch?: Scratch | undefined
  /** A power of two: 16 bytes each. */
  readonly maxSlots?: number
  /** Of the filter before the scratch. */
  readonly filterBytes?: number
}

const FIRST_SLOTS = 1024
/** 8 MiB, for 350,000 CIDs. */
const MAX_SLOTS = 512 * 1024

export function createFingerprintSet({
  scratch,
  maxSlots = MAX_SLOTS,
  filterBytes,
}: FingerprintSetOptions = {}): FingerprintSet {
  let slots = Math.min(FIRST_SLOTS, maxSlots)
  let table = new Uint32Array(slots * FINGERPRINT_WORDS)
  let held = 0
  let size = 0
  let runs: FingerprintRuns | undefined

  /** Where these four words are, or -1 - the free slot where they belong. All zero means a free slot. */
  function find(a: number, b: number, c: number, d: number): number {
    for (let slot = a & (slots - 1); ; slot = (slot + 1) & (slots - 1)) {
      const at = slot * FINGERPRINT_WORDS
      const [w, x, y, z] = [table[at]!, table[at + 1]!, table[at + 2]!, table[at + 3]!]
      if (w === a && x === b && y === c && z === d) return at
      if ((w | x | y | z) === 0) return -1 - at
    }
  }

  function put(at: number, a: number, b: number, c: number, d: number): void {
    table[at] = a
    table[at + 1] = b
    table[at + 2] = c
    table[at + 3] = d
  }

  function grow(): void {
    const old = table
    slots *= 2
    table = new Uint32Array(slots * FINGERPRINT_WORDS)
    for (let at = 0; at < old.length; at += FINGERPRINT_WORDS) {
      const [a, b, c, d] = [old[at]!, old[at + 1]!, old[at + 2]!, old[at + 3]!]
      if ((a | b | c | d) !== 0) put(-1 - find(a, b, c, d), a, b, c, d)
    }
  }

  function spill(to: Scratch): void {
    // First word and slot in one double: sorts natively, without a call for each comparison.
    const order = new Float64Array(held)
    let count = 0
    for (let slot = 0; slot < slots; slot++) {
      const at = slot * FINGERPRINT_WORDS
      const isUsed = (table[at]! | table[at + 1]! | table[at + 2]! | table[at + 3]!) !== 0
      if (isUsed) order[count++] = table[at]! * slots + slot
    }
    order.sort()
    const sorted = new Uint32Array(held * FINGERPRINT_WORDS)
    for (let index = 0; index < held; index++) {
      const from = (order[index]! % slots) * FINGERPRINT_WORDS
      const at = index * FINGERPRINT_WORDS
      sorted[at] = table[from]!
      sorted[at + 1] = table[from + 1]!
      sorted[at + 2] = table[from + 2]!
      sorted[at + 3] = table[from + 3]!
    }
    runs ??= createFingerprintRuns(to, filterBytes)
    runs.add(sorted)
    table.fill(0)
    held = 0
  }

  function wordsOf({ code, multihash: { digest } }: Cid): [number, number, number, number] {
    // The codec is part of the CID, and a fingerprint is never all zero.
    const last = (wordAt(digest, 12) ^ Math.imul(code, 0x9e3779b1)) >>> 0
    return [wordAt(digest, 0), wordAt(digest, 4), wordAt(digest, 8), last === 0 ? 1 : last]
  }

  return {
    get size() {
      return size
    },
    add(cid) {
      const [a, b, c, d] = wordsOf(cid)
      let place = find(a, b, c, d)
      if (place >= 0 || runs?.has(a, b, c, d)) return false
      if (held * 3 >= slots * 2) {
        if (scratch === undefined || slots < maxSlots) grow()
        else spill(scratch)
        place = find(a, b, c, d)
      }
      put(-1 - place, a, b, c, d)
      held += 1
      size += 1
      return true
    },
    has(cid) {
      const [a, b, c, d] = wordsOf(cid)
      return find(a, b, c, d) >= 0 || runs?.has(a, b, c, d) === true
    },
    close() {
      runs?.close()
      runs = undefined
      table = new Uint32Array(FIRST_SLOTS * FINGERPRINT_WORDS)
      slots = FIRST_SLOTS
      held = 0
      size = 0
    },
  }
}

/** Big-endian. Without a DataView, which would move each digest out of the heap. */
function wordAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
}
