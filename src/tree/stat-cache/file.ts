/**
 * The file of one stat cache (docs/formats.md): frames, each with a checksum over the file's nonce, the frame's number
 * and its bytes, so that a byte that changed, a frame of another file or a cut is seen before anything in it is used.
 *
 * | part | bytes |
 * |---|---|
 * | frame | u32 length, 16 bytes of BLAKE3, payload |
 * | first frame | JSON: what the cache is of |
 * | data frames | one stream of records (stat-cache/writer.ts), cut anywhere |
 * | last frame | 33 bytes: key of the snapshot's CID; u32: number of data frames |
 *
 * Written from start to end, renamed into place when the last frame is synced. Whatever is wrong with a file makes it
 * useless, never wrong: readers return undefined or end early.
 */
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import { equalBytes, hex } from '../../base/bytes.ts'
import type { ChunkerParams } from '../../block/chunker.ts'
import type { Cid } from '../../block/cid.ts'
import { CID_KEY_BYTES, cidFromKeyBytes, cidToKeyBytes } from '../../block/cid.ts'
import { blake3 } from '../../block/hash.ts'
import type { RecordReader, RecordWriter } from '../spool/record-bytes.ts'
import { createRecordReader, createRecordWriter } from '../spool/record-bytes.ts'

const FORMAT = 'mirrormesh-stat-cache'
/** To be raised when records of the spool or results of reading change their layout: the cache holds both. */
export const STAT_CACHE_VERSION = 2

const CHECK_BYTES = 16
const FRAME_HEADER_BYTES = 4 + CHECK_BYTES
const NONCE_BYTES = 16
const PREFIX_BYTES = NONCE_BYTES + 8
const MAX_FRAME_BYTES = 16 * 1024 * 1024
const MAX_HEADER_BYTES = 1024 * 1024
const TRAILER_BYTES = CID_KEY_BYTES + 4

/** What a cache is of: it is used for nothing else. */
export interface CacheSubject {
  readonly tree: string
  /** Absolute path of the source. */
  readonly root: Uint8Array
  readonly chunker: ChunkerParams
}

export interface CacheFileWriter {
  readonly records: RecordWriter
  /** After the last record. The snapshot's name comes later: `finishCacheFile`. */
  end(): CacheEnd
}

/** What the last frame needs to know. */
export interface CacheEnd {
  readonly nonce: Uint8Array
  readonly frames: number
  readonly sizeBytes: number
}

export function createCacheFile(fd: number, subject: CacheSubject): CacheFileWriter {
  const nonce = Uint8Array.from(randomBytes(NONCE_BYTES))
  const memory: FrameMemory = {}
  let position = writeFrame(fd, 0, encodeHeader(subject, nonce), new Uint8Array(NONCE_BYTES), 0, memory)
  let frames = 0
  const records = createRecordWriter((bytes) => {
    if (bytes.length === 0) return
    frames += 1
    position = writeFrame(fd, position, bytes, nonce, frames, memory)
  })
  return {
    records,
    end() {
      records.flush()
      return { nonce, frames, sizeBytes: position }
    },
  }
}

/** Adds the last frame. The caller syncs. */
export function finishCacheFile(fd: number, { nonce, frames, sizeBytes }: CacheEnd, snapshot: Cid): void {
  const trailer = Buffer.alloc(TRAILER_BYTES)
  trailer.set(cidToKeyBytes(snapshot))
  trailer.writeUInt32LE(frames, CID_KEY_BYTES)
  writeFrame(fd, sizeBytes, trailer, nonce, frames + 1, {})
}

export interface CacheFile {
  /** The snapshot that the source became. */
  readonly snapshot: Cid
  /** From the first record. A frame that is not as it was written ends it with a RangeError. */
  read(): RecordReader
}

/** Undefined when it is of something else, of another version, cut short or damaged. */
export function openCacheFile(fd: number, subject: CacheSubject): CacheFile | undefined {
  const sizeBytes = fs.fstatSync(fd).size
  const header = readFrame(fd, 0, sizeBytes, new Uint8Array(NONCE_BYTES), 0, MAX_HEADER_BYTES, {})
  const nonce = header && decodeHeader(header, subject)
  if (header === undefined || nonce === undefined) return undefined
  const dataAt = FRAME_HEADER_BYTES + header.length
  const trailerAt = sizeBytes - FRAME_HEADER_BYTES - TRAILER_BYTES
  if (trailerAt < dataAt) return undefined
  const frames = readCount(fd, sizeBytes - 4)
  const trailer = readFrame(fd, trailerAt, sizeBytes, nonce, frames + 1, TRAILER_BYTES, {})
  if (trailer?.length !== TRAILER_BYTES) return undefined
  return {
    snapshot: cidFromKeyBytes(trailer),
    read() {
      const memory: FrameMemory = {}
      let position = dataAt
      let number = 0
      let frame: Uint8Array = new Uint8Array()
      let used = 0
      const fill = (into: Uint8Array, offset: number, length: number): number => {
        if (used === frame.length) {
          if (number === frames) return 0
          number += 1
          const next = readFrame(fd, position, trailerAt, nonce, number, MAX_FRAME_BYTES, memory)
          if (next === undefined) return 0
          frame = next
          position += FRAME_HEADER_BYTES + next.length
          used = 0
        }
        const count = Math.min(length, frame.length - used)
        into.set(frame.subarray(used, used + count), offset)
        used += count
        return count
      }
      return createRecordReader(fill, 0, Number.POSITIVE_INFINITY)
    },
  }
}

function encodeHeader({ tree, root, chunker }: CacheSubject, nonce: Uint8Array): Uint8Array {
  const { kind, minBytes, avgBytes, maxBytes, inlineBytes = 0 } = chunker
  return Buffer.from(
    JSON.stringify({
      format: FORMAT,
      version: STAT_CACHE_VERSION,
      tree,
      root: hex(root),
      chunker: [kind, minBytes, avgBytes, maxBytes, inlineBytes],
      nonce: hex(nonce),
    }),
  )
}

/** The nonce of a header that is exactly the one that `subject` would get today. */
function decodeHeader(bytes: Uint8Array, subject: CacheSubject): Uint8Array | undefined {
  let nonce: unknown
  try {
    nonce = (JSON.parse(Buffer.from(bytes).toString()) as { nonce?: unknown }).nonce
  } catch {
    return undefined
  }
  if (typeof nonce !== 'string' || !/^[0-9a-f]{32}$/.test(nonce)) return undefined
  const known = Uint8Array.from(Buffer.from(nonce, 'hex'))
  return Buffer.compare(encodeHeader(subject, known), bytes) === 0 ? known : undefined
}

/**
 * Of one frame after another: buffers of each would be garbage off the heap, of which a thread with a small heap held
 * 200 MB before it collected them (measured on a million files).
 */
interface FrameMemory {
  buffer?: Buffer
}

/** Room for a payload and, before it, for what its checksum is over or for the frame's header. */
function roomFor(payloadBytes: number, memory: FrameMemory): Buffer {
  const wanted = PREFIX_BYTES + payloadBytes
  if (memory.buffer === undefined || memory.buffer.length < wanted)
    memory.buffer = Buffer.allocUnsafeSlow(wanted)
  return memory.buffer.subarray(0, wanted)
}

/** Returns the position after the frame. */
function writeFrame(
  fd: number,
  at: number,
  payload: Uint8Array,
  nonce: Uint8Array,
  number: number,
  memory: FrameMemory,
): number {
  const room = roomFor(payload.length, memory)
  room.set(payload, PREFIX_BYTES)
  const check = checkOf(room, nonce, number)
  const bytes = room.subarray(PREFIX_BYTES - FRAME_HEADER_BYTES)
  bytes.writeUInt32LE(payload.length)
  bytes.set(check, 4)
  for (let done = 0; done < bytes.length; ) {
    done += fs.writeSync(fd, bytes, done, bytes.length - done, at + done)
  }
  return at + bytes.length
}

/** The payload: a view that the next frame in the same memory overwrites. */
function readFrame(
  fd: number,
  at: number,
  endByte: number,
  nonce: Uint8Array,
  number: number,
  maxBytes: number,
  memory: FrameMemory,
): Uint8Array | undefined {
  if (at + FRAME_HEADER_BYTES > endByte) return undefined
  const length = readCount(fd, at)
  if (length > maxBytes || at + FRAME_HEADER_BYTES + length > endByte) return undefined
  const room = roomFor(length, memory)
  const bytes = room.subarray(PREFIX_BYTES - CHECK_BYTES)
  if (fs.readSync(fd, bytes, 0, bytes.length, at + 4) !== bytes.length) return undefined
  const check = new Uint8Array(bytes.subarray(0, CHECK_BYTES))
  return equalBytes(check, checkOf(room, nonce, number)) ? room.subarray(PREFIX_BYTES) : undefined
}

function readCount(fd: number, at: number): number {
  const bytes = Buffer.alloc(4)
  fs.readSync(fd, bytes, 0, 4, at)
  return bytes.readUInt32LE()
}

/** @param room overwritten before the payload that it ends with */
function checkOf(room: Buffer, nonce: Uint8Array, number: number): Uint8Array {
  room.set(nonce)
  room.writeBigUInt64LE(BigInt(number), NONCE_BYTES)
  return blake3.digest(room).subarray(0, CHECK_BYTES)
}
