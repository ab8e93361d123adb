/**
 * Messages of `/mirrormesh/1/records`, and the RECORDS of `/mirrormesh/1/join`.
 *
 *   type  from    body
 *   0x01  both    RECONCILE: a message of the set reconciliation (src/record/reconcile-message.ts), each answered by one
 *   0x02  both    RECORDS: records one after the other, each u32 length and bytes (64 KiB at most)
 *   0x03  first   WANT: u16 count, count x 32-byte record id
 *   0x04  both    DONE: this side's turn is over
 */
import { concatBytes } from '../../base/bytes.ts'
import { MirrorError } from '../../base/errors.ts'
import {
  MAX_IDS_PER_FRAME,
  MAX_RECONCILE_BYTES,
  MAX_RECORD_BYTES,
  MAX_RECORDS_FRAME_BYTES,
} from '../limits.ts'
import { FieldReader, u16, u32 } from './fields.ts'
import type { FrameLimits } from './frame.ts'
import { encodeFrame } from './frame.ts'

export const RECONCILE = 0x01
export const RECORDS = 0x02
export const WANT = 0x03
export const DONE = 0x04

const ID_BYTES = 32

export const RECORDS_FRAMES: FrameLimits = {
  [RECONCILE]: MAX_RECONCILE_BYTES,
  [RECORDS]: MAX_RECORDS_FRAME_BYTES,
  [WANT]: 2 + MAX_IDS_PER_FRAME * ID_BYTES,
  [DONE]: 0,
}

/** Packs records into as few frames as their limit allows. @throws MirrorError `limit` for a record over 64 KiB */
export function* recordsFrames(records: Iterable<Uint8Array>): Generator<Uint8Array> {
  let parts: Uint8Array[] = []
  let sizeBytes = 0
  for (const record of records) {
    if (record.length > MAX_RECORD_BYTES) throw new MirrorError('limit', `a record of ${record.length} bytes`)
    if (sizeBytes + 4 + record.length > MAX_RECORDS_FRAME_BYTES) {
      yield encodeFrame(RECORDS, parts)
      parts = []
      sizeBytes = 0
    }
    parts.push(u32(record.length), record)
    sizeBytes += 4 + record.length
  }
  if (parts.length > 0) yield encodeFrame(RECORDS, parts)
}

/** Each record is a copy of its own. */
export function decodeRecords(body: Uint8Array): Uint8Array[] {
  const reader = new FieldReader(body, 'records')
  const records: Uint8Array[] = []
  while (reader.left > 0) {
    const length = reader.u32()
    if (length < 1 || length > MAX_RECORD_BYTES) throw new MirrorError('limit', `a record of ${length} bytes`)
    records.push(reader.bytes(length).slice())
  }
  return records
}

export function* wantFrames(ids: readonly Uint8Array[]): Generator<Uint8Array> {
  for (let at = 0; at < ids.length; at += MAX_IDS_PER_FRAME) {
    const some = ids.slice(at, at + MAX_IDS_PER_FRAME)
    yield encodeFrame(WANT, [u16(some.length), concatBytes(some)])
  }
}

export function decodeWant(body: Uint8Array): Uint8Array[] {
  const reader = new FieldReader(body, 'want')
  const count = reader.u16()
  if (count * ID_BYTES !== reader.left) throw new MirrorError('corrupt', 'malformed want message: ids')
  return Array.from({ length: count }, () => reader.bytes(ID_BYTES))
}
