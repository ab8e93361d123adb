/**
 * The record log in a file. Integers are big-endian.
 *
 *   file header, 16 bytes             each record
 *   at  size                          at  size
 *    0   8  "MMRECS\r\n"               0   4  "MMr1"
 *    8   4  version, 1                 4   4  bytes of the record
 *   12   4  CRC-32 of bytes 0-11       8   4  CRC-32 of the record
 *                                     12   4  CRC-32 of bytes 0-11
 *                                     16      the record
 *
 * Records carry signatures: the CRCs tell where a torn write begins, and that a bit has flipped.
 *
 * A group of records is one write and one sync. When either fails the file is cut back and synced, so that nothing
 * refused is ever read back: a signer that was told "not written" may sign something else at that place. When even
 * that fails, the log refuses to grow until it is opened again, which settles what is there.
 */
import { crc32 } from 'node:zlib'
import type { ErrorFacts } from '../base/errors.ts'
import { asMirrorError, MirrorError } from '../base/errors.ts'
import type { CorruptBlock } from './block-store.ts'
import type { FileOps, StoreFile } from './files.ts'
import { groupCommit } from './group-commit.ts'
import { rewriteInPlace } from './packs/rewrite.ts'
import type { RecordLog } from './record-log.ts'
import { MAX_LOGGED_RECORD_BYTES } from './record-log.ts'

export interface FileRecordLog extends RecordLog {
  readonly sizeBytes: number
  close(): Promise<void>
}

export interface FileRecordLogCollaborators {
  readonly files: FileOps
  readonly log: (event: string, facts: ErrorFacts) => void
  readonly onCorrupt: (damage: CorruptBlock) => void
}

const FILE_HEADER_BYTES = 16
const RECORD_HEADER_BYTES = 16
const MAX_QUEUED_BYTES = 32 * 1024 * 1024
const FILE_MAGIC = Buffer.from('MMRECS\r\n', 'latin1')
const MARKER = Buffer.from('MMr1', 'latin1')
const WINDOW_BYTES = 2 * (MAX_LOGGED_RECORD_BYTES + RECORD_HEADER_BYTES)

interface Waiting {
  readonly bytes: Buffer
  failure: MirrorError | undefined
}

/** Opens or makes the log at `dir`/`name`, cutting a torn tail off. */
export async function openFileRecordLog(
  { files, log, onCorrupt }: FileRecordLogCollaborators,
  { dir, name = 'records.log' }: { readonly dir: string; readonly name?: string },
): Promise<FileRecordLog> {
  const path = `${dir}/${name}`
  const file = await openOrCreate(files, dir, name)
  let endBytes = FILE_HEADER_BYTES
  try {
    checkFileHeader(file, path)
    for await (const item of scanRecords(file, Number.POSITIVE_INFINITY)) {
      if (item.damagedFrom !== undefined) {
        onCorrupt({
          path,
          offset: item.damagedFrom,
          reason: 'a record is damaged; it is fetched again from a peer',
        })
      }
      endBytes = item.endOffset
    }
    const sizeBytes = file.sizeBytes()
    if (sizeBytes > endBytes) {
      log('store.records.cut', { cutBytes: sizeBytes - endBytes })
      file.truncate(endBytes)
    }
    // What was read may be in the page cache only; from here on it counts as durable. The last run never had more
    // than one queue in doubt.
    await rewriteInPlace(file, Math.max(FILE_HEADER_BYTES, endBytes - MAX_QUEUED_BYTES), endBytes)
    await file.sync()
  } catch (error) {
    file.close()
    throw asMirrorError(error, `open ${path}`)
  }

  let queue: Waiting[] = []
  let queuedBytes = 0
  let refusal: MirrorError | undefined

  async function writeQueue(): Promise<void> {
    const group = queue
    queue = []
    queuedBytes = 0
    if (group.length === 0) return
    let failure = refusal
    if (failure === undefined) {
      const bytes = Buffer.concat(group.map((waiting) => waiting.bytes))
      try {
        file.write(bytes, endBytes)
        await file.sync()
        endBytes += bytes.length
      } catch (error) {
        failure = asMirrorError(error, `append to ${path}`, {
          hint: 'Nothing of it was kept. Look after that disk, then try again.',
        })
        await cutBack(failure)
      }
    }
    for (const waiting of group) waiting.failure = failure
  }

  async function cutBack(cause: MirrorError): Promise<void> {
    try {
      file.truncate(endBytes)
      await file.sync()
    } catch {
      refusal = new MirrorError('io', `${path} takes no more records: a failed write could not be undone`, {
        hint: 'Check the disk, then start the daemon again.',
        cause,
      })
    }
  }

  const commit = groupCommit(writeQueue)

  return {
    get sizeBytes() {
      return endBytes
    },
    async append(records) {
      if (records.length === 0) return
      const parts = records.flatMap((record) => {
        if (record.length === 0 || record.length > MAX_LOGGED_RECORD_BYTES) {
          throw new MirrorError(
            'limit',
            `a record of ${record.length} bytes: 1 to ${MAX_LOGGED_RECORD_BYTES}`,
          )
        }
        return [encodeRecordHeader(record), record]
      })
      const waiting: Waiting = { bytes: Buffer.concat(parts), failure: undefined }
      if (queue.length > 0 && queuedBytes + waiting.bytes.length > MAX_QUEUED_BYTES) {
        throw new MirrorError('busy', 'too many records are waiting for the disk')
      }
      queue.push(waiting)
      queuedBytes += waiting.bytes.length
      await commit()
      if (waiting.failure !== undefined) throw waiting.failure
    },
    async *readAll() {
      for await (const { record } of scanRecords(file, endBytes)) yield record
    },
    async close() {
      await commit()
      refusal ??= new MirrorError('aborted', 'the store is closed')
      file.close()
    },
  }
}

/** Made beside and renamed, so that a crash never leaves a log without its header. */
async function openOrCreate(files: FileOps, dir: string, name: string): Promise<StoreFile> {
  try {
    if (!files.list(dir).includes(name)) {
      const temporary = `${dir}/${name}.new`
      files.remove(temporary)
      const file = files.open(temporary, 'create')
      try {
        file.write(encodeFileHeader(), 0)
        await file.sync()
      } finally {
        file.close()
      }
      files.rename(temporary, `${dir}/${name}`)
      await files.syncDir(dir)
    }
    return files.open(`${dir}/${name}`, 'write')
  } catch (error) {
    throw asMirrorError(error, `open ${dir}/${name}`)
  }
}

function encodeFileHeader(): Uint8Array {
  const bytes = Buffer.alloc(FILE_HEADER_BYTES)
  FILE_MAGIC.copy(bytes)
  bytes.writeUInt32BE(1, 8)
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 12)), 12)
  return bytes
}

function checkFileHeader(file: StoreFile, path: string): void {
  const bytes = Buffer.alloc(FILE_HEADER_BYTES)
  file.readNow(bytes, 0)
  if (!bytes.subarray(0, 8).equals(FILE_MAGIC) || bytes.readUInt32BE(12) !== crc32(bytes.subarray(0, 12))) {
    throw new MirrorError('corrupt', `${path} is not a record log: its header is damaged`, {
      hint: 'Restore the file from a copy, or move it aside: a site that joins again gets every record from its peers.',
    })
  }
  if (bytes.readUInt32BE(8) !== 1) {
    throw new MirrorError('unsupported', `${path} was written by a newer mirrormesh`)
  }
}

function encodeRecordHeader(record: Uint8Array): Buffer {
  const bytes = Buffer.alloc(RECORD_HEADER_BYTES)
  MARKER.copy(bytes)
  bytes.writeUInt32BE(record.length, 4)
  bytes.writeUInt32BE(crc32(record), 8)
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 12)), 12)
  return bytes
}

interface ScannedRecord {
  readonly record: Uint8Array
  readonly endOffset: number
  /** Where damage begins that ends at this record. */
  readonly damagedFrom?: number
}

/** Sound records in [header, endBytes); damage is passed over up to the next sound record. */
async function* scanRecords(file: StoreFile, endBytes: number): AsyncGenerator<ScannedRecord> {
  const window = Buffer.allocUnsafeSlow(WINDOW_BYTES)
  let at = FILE_HEADER_BYTES
  let soundEnd = at
  let windowStart = at
  let windowLength = 0
  let isFileEnd = false
  for (;;) {
    // The window always holds the largest record from `at` on, or reaches to the end of the file.
    if (!isFileEnd && at + WINDOW_BYTES / 2 > windowStart + windowLength) {
      windowStart = at
      windowLength = await file.read(window, at)
      isFileEnd = windowLength < window.length
    }
    const bytes = window.subarray(at - windowStart, Math.min(windowLength, endBytes - windowStart))
    if (bytes.length < RECORD_HEADER_BYTES) return
    const record = decodeRecord(bytes)
    if (record !== undefined) {
      const endOffset = at + RECORD_HEADER_BYTES + record.length
      yield at > soundEnd ? { record, endOffset, damagedFrom: soundEnd } : { record, endOffset }
      at = soundEnd = endOffset
    } else {
      const next = bytes.indexOf(MARKER, 1)
      at += next > 0 ? next : Math.max(1, bytes.length - MARKER.length + 1)
    }
  }
}

function decodeRecord(bytes: Buffer): Uint8Array | undefined {
  if (bytes.compare(MARKER, 0, 4, 0, 4) !== 0) return undefined
  if (bytes.readUInt32BE(12) !== crc32(bytes.subarray(0, 12))) return undefined
  const length = bytes.readUInt32BE(4)
  if (length === 0 || bytes.length < RECORD_HEADER_BYTES + length) return undefined
  const record = bytes.subarray(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + length)
  return crc32(record) === bytes.readUInt32BE(8) ? new Uint8Array(record) : undefined
}
