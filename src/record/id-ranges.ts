/** A sorted set of 32-byte ids, side by side in one buffer, so that the fingerprint of a range is one hash. */
import { compareBytes, equalBytes } from '../base/bytes.ts'
import { MirrorError } from '../base/errors.ts'
import { blake3 } from '../block/hash.ts'
import { type Bound, FINGERPRINT_BYTES, ID_BYTES } from './reconcile-message.ts'

export interface IdRanges {
  readonly start: Bound
  readonly end: Bound
  at(index: number): Uint8Array
  has(id: Uint8Array): boolean
  compare(id: Uint8Array, index: number): number
  /** First index at or after `lower`, and first at or after `upper`. */
  within(lower: Bound, upper: Bound): readonly [first: number, end: number]
  slice(first: number, end: number): Uint8Array[]
  fingerprint(first: number, end: number): Uint8Array
  hasFingerprint(first: number, end: number, fingerprint: Uint8Array): boolean
  /** The shortest bound that lies between the ids at `index` - 1 and `index`. */
  boundBefore(index: number): Uint8Array
}

/** @throws MirrorError `internal` when the ids are not 32 bytes or do not rise strictly */
export function createIdRanges(ids: readonly Uint8Array[]): IdRanges {
  const flat = new Uint8Array(ids.length * ID_BYTES)
  ids.forEach((id, i) => {
    if (id.length !== ID_BYTES || (i > 0 && compareBytes(ids[i - 1]!, id) >= 0)) {
      throw new MirrorError('internal', 'ids to reconcile are 32 bytes and rise strictly')
    }
    flat.set(id, i * ID_BYTES)
  })

  function search(bound: Bound): number {
    if (bound === null) return ids.length
    let low = 0
    let high = ids.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compareBytes(ids[middle]!, bound) < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  function fingerprint(first: number, end: number): Uint8Array {
    return blake3.digest(flat.subarray(first * ID_BYTES, end * ID_BYTES)).subarray(0, FINGERPRINT_BYTES)
  }

  return {
    start: new Uint8Array(0),
    end: null,
    at: (index) => ids[index]!,
    has(id) {
      const at = search(id)
      return at < ids.length && equalBytes(ids[at]!, id)
    },
    compare: (id, index) => compareBytes(id, ids[index]!),
    within: (lower, upper) => [search(lower), search(upper)],
    slice: (first, end) => ids.slice(first, end),
    fingerprint,
    hasFingerprint: (first, end, other) => equalBytes(fingerprint(first, end), other),
    boundBefore(index) {
      const id = ids[index]!
      const before = ids[index - 1]
      let shared = 0
      while (before !== undefined && before[shared] === id[shared]) shared++
      return id.subarray(0, before === undefined ? ID_BYTES : shared + 1)
    },
  }
}
