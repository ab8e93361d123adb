/**
 * The manifest of a check-out: what was written into it, in walk order, and what each file looked like then
 * (file-state.ts). A file beside the check-out, `.<name>.mirrormesh.files-<inode of the root>-<its time of birth>`, both in hexadecimal digits.
 *
 * | bytes | |
 * |---|---|
 * | 0-7 | `MMMANI\r\n` |
 * | then frames | payload bytes (4), CRC-32 of the payload (4), payload |
 *
 * The first frame is JSON: version, root (identity, as in the marker), ownerMode, uid, gid. A frame of 0 bytes ends the
 * file. All others hold whole records: kind (1: 1 directory, 2 file, 3 other), bytes of the path shared with the record
 * before it in the frame (2), bytes that follow (2), those; a file has the digest of its entry (32: BLAKE3-256 of the
 * entry as a directory holds it) and its state (48) after that.
 *
 * Nothing rests on it but speed and knowing what is local: a reader stops at the first frame that is not whole, and
 * what it has not read is written anew.
 */
import fs from 'node:fs'
import { crc32 } from 'node:zlib'
import { FILE_STATE_BYTES } from './file-state.ts'
import type { OwnerMode } from './owner-mode.ts'

const MAGIC = Buffer.from('MMMANI\r\n')
const VERSION = 1
const FRAME_BYTES = 64 * 1024
/** A record may be longer than a frame wants to be. */
const MAX_FRAME_BYTES = 4 * FRAME_BYTES
const FRAME_HEADER_BYTES = 8
export const ENTRY_DIGEST_BYTES = 32

export const DIRECTORY = 1
export const FILE = 2
export const OTHER = 3
export type ManifestKind = typeof DIRECTORY | typeof FILE | typeof OTHER

export interface ManifestHead {
  readonly root: string
  readonly ownerMode: OwnerMode
  readonly uid: number
  readonly gid: number
}

export interface ManifestRecord {
  readonly kind: ManifestKind
  /** Below the root; empty for the root. */
  readonly path: Buffer
  /** Of a file. */
  readonly digest?: Buffer
  readonly state?: Buffer
}

export interface ManifestWriter {
  add(record: ManifestRecord): void
  /** Writes what is left and the end; the descriptor stays open. */
  end(): void
}

export function createManifestWriter(fd: number, head: ManifestHead): ManifestWriter {
  const frame = Buffer.allocUnsafeSlow(MAX_FRAME_BYTES)
  let used = FRAME_HEADER_BYTES
  let before: Uint8Array = new Uint8Array()

  function flush(): void {
    const payload = frame.subarray(FRAME_HEADER_BYTES, used)
    frame.writeUInt32LE(payload.length, 0)
    frame.writeUInt32LE(crc32(payload), 4)
    for (let done = 0; done < used; ) done += fs.writeSync(fd, frame, done, used - done)
    used = FRAME_HEADER_BYTES
    before = new Uint8Array()
  }

  fs.writeSync(fd, MAGIC)
  used += frame.write(JSON.stringify({ version: VERSION, ...head }), used)
  flush()
  return {
    add({ kind, path, digest, state }) {
      if (used >= FRAME_BYTES) flush()
      const shared = sharedPrefix(before, path)
      frame.writeUInt8(kind, used)
      frame.writeUInt16LE(shared, used + 1)
      frame.writeUInt16LE(path.length - shared, used + 3)
      used += 5
      used += path.copy(frame, used, shared)
      if (kind === FILE) {
        frame.set(digest!, used)
        frame.set(state!, used + ENTRY_DIGEST_BYTES)
        used += ENTRY_DIGEST_BYTES + FILE_STATE_BYTES
      }
      before = path
    },
    end() {
      if (used > FRAME_HEADER_BYTES) flush()
      flush()
    },
  }
}

function sharedPrefix(a: Uint8Array, b: Uint8Array): number {
  const most = Math.min(a.length, b.length)
  let length = 0
  while (length < most && a[length] === b[length]) length++
  return length
}

export interface ManifestReader {
  readonly head: ManifestHead
  /** The next record without taking it; undefined at the end, and where the file is damaged. */
  peek(): ManifestRecord | undefined
  take(): void
  close(): void
}

/** Undefined when there is none for this root. Synchronous: for threads. */
export function openManifest(path: Uint8Array, root: string): ManifestReader | undefined {
  let fd: number
  try {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants
    fd = fs.openSync(Buffer.from(path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ELOOP') return undefined
    throw error
  }
  try {
    const reader = createManifestReader((bytes, position) =>
      fs.readSync(fd, bytes, 0, bytes.length, position),
    )
    if (reader?.head.root === root) return { ...reader, close: () => fs.closeSync(fd) }
  } catch (error) {
    fs.closeSync(fd)
    throw error
  }
  fs.closeSync(fd)
  return undefined
}

function createManifestReader(
  read: (bytes: Buffer, position: number) => number,
): Omit<ManifestReader, 'close'> | undefined {
  let position = MAGIC.length
  let records: ManifestRecord[] = []
  let next = 0
  let isOver = false

  function fill(bytes: Buffer): boolean {
    for (let done = 0; done < bytes.length; ) {
      const count = read(bytes.subarray(done), position)
      if (count === 0) return false
      done += count
      position += count
    }
    return true
  }

  /** Undefined at the end or where it is not whole. */
  function readFrame(): Buffer | undefined {
    const header = Buffer.alloc(FRAME_HEADER_BYTES)
    if (!fill(header)) return undefined
    const length = header.readUInt32LE(0)
    if (length === 0 || length > MAX_FRAME_BYTES) return undefined
    const payload = Buffer.allocUnsafeSlow(length)
    return fill(payload) && crc32(payload) === header.readUInt32LE(4) ? payload : undefined
  }

  const magic = Buffer.alloc(MAGIC.length)
  if (read(magic, 0) !== MAGIC.length || !magic.equals(MAGIC)) return undefined
  const head = parseHead(readFrame())
  if (head === undefined) return undefined
  return {
    head,
    peek() {
      while (next === records.length && !isOver) {
        const payload = readFrame()
        isOver = payload === undefined
        records = payload === undefined ? [] : parseRecords(payload)
        next = 0
      }
      return records[next]
    },
    take() {
      next += 1
    },
  }
}

function parseHead(payload: Buffer | undefined): ManifestHead | undefined {
  if (payload === undefined) return undefined
  try {
    const { version, root, ownerMode, uid, gid } = JSON.parse(payload.toString()) as Record<string, unknown>
    if (version !== VERSION || typeof root !== 'string' || typeof uid !== 'number' || typeof gid !== 'number')
      return undefined
    if (ownerMode !== 'set' && ownerMode !== 'report' && ownerMode !== 'leave') return undefined
    return { root, ownerMode, uid, gid }
  } catch {
    return undefined
  }
}

/** The CRC has been checked: what is here is what was written. */
function parseRecords(payload: Buffer): ManifestRecord[] {
  const records: ManifestRecord[] = []
  let before: Buffer = Buffer.alloc(0)
  for (let at = 0; at < payload.length; ) {
    const kind = payload.readUInt8(at) as ManifestKind
    const shared = payload.readUInt16LE(at + 1)
    const length = payload.readUInt16LE(at + 3)
    const rest = payload.subarray(at + 5, at + 5 + length)
    const path: Buffer = shared === 0 ? rest : Buffer.concat([before.subarray(0, shared), rest])
    at += 5 + length
    before = path
    if (kind !== FILE) records.push({ kind, path })
    else {
      const digest = payload.subarray(at, at + ENTRY_DIGEST_BYTES)
      at += ENTRY_DIGEST_BYTES
      records.push({ kind, path, digest, state: payload.subarray(at, at + FILE_STATE_BYTES) })
      at += FILE_STATE_BYTES
    }
  }
  return records
}

/** Walk order: a directory before what it holds, that before the directory's next sibling. */
export function compareWalk(a: Uint8Array, b: Uint8Array): number {
  const most = Math.min(a.length, b.length)
  for (let i = 0; i < most; i++) {
    const x = a[i]!
    const y = b[i]!
    // No name holds a zero: the slash sorts below every byte of a name.
    if (x !== y) return (x === 0x2f ? 0 : x) - (y === 0x2f ? 0 : y)
  }
  return a.length - b.length
}
