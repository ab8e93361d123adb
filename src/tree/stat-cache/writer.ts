/**
 * Writes what an import found out into the next stat cache: its spool and the results of reading, side by side, in walk
 * order. What is not certain is left out, so that it is looked at again: entries younger than the clock's grain, files
 * that changed between the scan and the reading or could not be read, whatever was reported.
 *
 * One record an entry; docs/formats.md has the table.
 */
import { equalBytes } from '../../base/bytes.ts'
import type { ReadHeader } from '../spool/read-results.ts'
import {
  encodeReadHeader,
  READ_HEADER_BYTES,
  readReadHeader,
  resultBodyBytes,
} from '../spool/read-results.ts'
import type { RecordReader, RecordWriter } from '../spool/record-bytes.ts'
import { createRecordWriter } from '../spool/record-bytes.ts'
import type { Inode, SpoolRecord } from '../spool/spool.ts'
import { readSpoolRecord, writeSpoolRecord } from '../spool/spool.ts'
import type { TrustLimits } from '../spool/stat-key.ts'
import { isTrusted, STAT_KEY_BYTES } from '../spool/stat-key.ts'
import { CACHE_KIND, HAS_RESULT, IS_TRUSTED } from './records.ts'

const COPY_BYTES = 64 * 1024
const BODY_BYTES = 4 * 1024

type NamedRecord = Exclude<SpoolRecord, { kind: 'leave' | 'uncaptured' }>

export interface StatCacheWriter {
  /** A batch of the scan and the results of its files, from their starts. */
  add(records: RecordReader, results: RecordReader | undefined): void
  end(): void
}

export function createStatCacheWriter(out: RecordWriter, limits: TrustLimits): StatCacheWriter {
  /** The entry that was reported last: something about it is not in the snapshot. */
  let reported: Uint8Array | undefined
  // Memory of its own for the key and the body of one entry after another: buffers of each would be garbage off the heap.
  const key = Buffer.allocUnsafeSlow(STAT_KEY_BYTES)
  let held = Buffer.allocUnsafeSlow(BODY_BYTES)
  let bodyBytes = 0
  const body = createRecordWriter((bytes) => {
    if (bodyBytes + bytes.length > held.length) {
      held = Buffer.concat([held.subarray(0, bodyBytes)], 2 * (bodyBytes + bytes.length))
    }
    held.set(bytes, bodyBytes)
    bodyBytes += bytes.length
  })

  function writeEntry(record: NamedRecord, isSure: boolean, header?: ReadHeader): void {
    key.set(record.stat)
    const isDirectory = record.kind === 'enter'
    const flags =
      (isSure && isTrusted(key, limits) ? IS_TRUSTED : 0) | (header === undefined ? 0 : HAS_RESULT)
    bodyBytes = 0
    writeSpoolRecord(body, record)
    body.flush()
    out.u8(isDirectory ? CACHE_KIND.directory : CACHE_KIND.other)
    out.u8(flags)
    out.u16(record.name.length)
    out.u32(bodyBytes)
    out.whole(header === undefined ? 0 : READ_HEADER_BYTES + resultBodyBytes(header))
    out.bytes(record.stat)
    out.bytes(record.name)
    out.bytes(held.subarray(0, bodyBytes))
    if (header !== undefined) out.bytes(encodeReadHeader(header))
  }

  function addFile(record: Extract<SpoolRecord, { kind: 'file' }>, results: RecordReader | undefined): void {
    if (!record.isRead) {
      if (!isReported(record.name)) writeEntry(record, true)
      return
    }
    const header = readReadHeader(results!)
    let left = resultBodyBytes(header)
    // What is not trusted now would be read again all the same: its chunks are only passed over.
    const isSure =
      header.status === 'captured' &&
      header.sizeBytes === record.sizeBytes &&
      isSameInode(header.inode, record.inode) &&
      !isReported(record.name) &&
      isOld(record.stat)
    if (isSure) writeEntry(record, true, header)
    for (; left > 0; left -= COPY_BYTES) {
      const bytes = results!.view(Math.min(left, COPY_BYTES))
      if (isSure) out.bytes(bytes)
    }
  }

  function isOld(stat: Uint8Array): boolean {
    key.set(stat)
    return isTrusted(key, limits)
  }

  function isReported(name: Uint8Array): boolean {
    return reported !== undefined && equalBytes(reported, name)
  }

  return {
    add(records, results) {
      while (!records.isAtEnd) {
        const record = readSpoolRecord(records)
        if (record.kind === 'uncaptured') {
          reported = record.name
          continue
        }
        if (record.kind === 'leave') out.u8(CACHE_KIND.leave)
        else if (record.kind === 'file') addFile(record, results)
        else if (record.kind === 'enter' || !isReported(record.name)) {
          writeEntry(record, !isReported(record.name))
        }
        reported = undefined
      }
    },
    end() {
      out.u8(CACHE_KIND.end)
      out.flush()
    },
  }
}

function isSameInode(a: Inode, b: Inode): boolean {
  return (
    a.mode === b.mode &&
    a.mtimeSec === b.mtimeSec &&
    a.mtimeNsec === b.mtimeNsec &&
    a.uid === b.uid &&
    a.gid === b.gid
  )
}
