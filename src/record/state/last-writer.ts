/**
 * Last writer wins, without clocks: the higher version, then the higher issuer key, then the higher record id. A
 * total order over records, so every node picks the same one whatever it saw first.
 */
import { compareBytes } from '../../base/bytes.ts'
import type { VerifiedRecord } from '../record.ts'

export interface Versioned {
  readonly record: VerifiedRecord
  readonly version: number
}

export function compareWriters(a: Versioned, b: Versioned): number {
  return (
    a.version - b.version ||
    compareBytes(a.record.issuer, b.record.issuer) ||
    compareBytes(a.record.id.multihash.digest, b.record.id.multihash.digest)
  )
}

export function lastWriter<T extends Versioned>(candidates: Iterable<T>): T | undefined {
  let last: T | undefined
  for (const candidate of candidates) {
    if (last === undefined || compareWriters(candidate, last) > 0) last = candidate
  }
  return last
}
