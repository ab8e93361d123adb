/**
 * Little-endian records in the temporary files that threads of one process pass to each other. Never on a wire and
 * never kept, so there is no version: a reader trusts what a writer of the same build wrote. What keeps records all the
 * same (stat-cache/file.ts) gives them a version and checksums of its own.
 */
import fs from 'node:fs'

const FLUSH_BYTES = 256 * 1024

/** Appends records to a range of a file of the writer's own, through a buffer. */
export interface RecordWriter {
  /** Where the next byte goes, in the file. */
  readonly position: number
  u8(value: number): void
  u16(value: number): void
  u32(value: number): void
  u64(value: bigint): void
  /** Any whole number that a double holds. */
  whole(value: number): void
  bytes(bytes: Uint8Array): void
  /** Overwrites bytes written before. */
  patch(position: number, bytes: Uint8Array): void
  /** Forgets everything from `position` on. */
  rewind(position: number): void
  /** After it other threads can read everything written so far. */
  flush(): void
}

/** @param to a file, or what takes the bytes of each flush, where nothing before a flush can be patched any more */
export function createRecordWriter(to: number | ((bytes: Uint8Array) => void)): RecordWriter {
  const write = typeof to === 'number' ? (bytes: Uint8Array, at: number) => writeFully(to, bytes, at) : to
  let buffer = Buffer.allocUnsafeSlow(2 * FLUSH_BYTES)
  let start = 0
  let used = 0

  function flush(): void {
    write(buffer.subarray(0, used), start)
    start += used
    used = 0
  }

  function reserve(size: number): number {
    if (used > 0 && used + size > buffer.length) flush()
    if (size > buffer.length) buffer = Buffer.allocUnsafeSlow(size)
    const at = used
    used += size
    return at
  }

  return {
    get position() {
      return start + used
    },
    u8: (value) => void buffer.writeUInt8(value, reserve(1)),
    u16: (value) => void buffer.writeUInt16LE(value, reserve(2)),
    u32: (value) => void buffer.writeUInt32LE(value, reserve(4)),
    u64: (value) => void buffer.writeBigUInt64LE(value, reserve(8)),
    whole: (value) => void buffer.writeDoubleLE(value, reserve(8)),
    bytes(bytes) {
      const at = reserve(bytes.length)
      buffer.set(bytes, at)
    },
    patch(position, bytes) {
      if (position >= start) buffer.set(bytes, position - start)
      else {
        flush()
        write(bytes, position)
      }
    },
    rewind(position) {
      if (position < start) {
        start = position
        used = 0
      } else used = position - start
    },
    flush,
  }
}

function writeFully(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += fs.writeSync(fd, bytes, done, bytes.length - done, position + done)
  }
}

/** Reads records from [start, end) of a file through a window that grows to the largest record. */
export interface RecordReader {
  readonly isAtEnd: boolean
  u8(): number
  u16(): number
  u32(): number
  u64(): bigint
  whole(): number
  /** A copy, so it stays valid. */
  bytes(length: number): Uint8Array
  /** A view that the next call may overwrite. */
  view(length: number): Buffer
}

/** Memory that readers use one after the other: only the one that was made last may be read. */
export interface RecordWindow {
  buffer?: Buffer
}

/**
 * @param from a file, or what fills `into` from `offset` with the next bytes, at most `length`, and says how many
 * @param shared for whoever makes many: a window each is garbage that waits for a full collection (measured)
 */
export function createRecordReader(
  from: number | ((into: Uint8Array, offset: number, length: number) => number),
  startByte: number,
  endByte: number,
  shared?: RecordWindow,
): RecordReader {
  let window =
    shared?.buffer ??
    Buffer.allocUnsafeSlow(
      shared === undefined ? Math.max(1, Math.min(FLUSH_BYTES, endByte - startByte)) : FLUSH_BYTES,
    )
  if (shared !== undefined) shared.buffer = window
  let filled = 0
  let at = 0
  let position = startByte

  function fill(into: Buffer, offset: number, length: number): number {
    return typeof from === 'number'
      ? fs.readSync(from, into, offset, length, position)
      : from(into, offset, length)
  }

  /** Index in the window of the next `size` bytes. */
  function take(size: number): number {
    if (filled - at < size) {
      const kept = filled - at
      const target = size > window.length ? Buffer.allocUnsafeSlow(size) : window
      window.copy(target, 0, at, filled)
      window = target
      if (shared !== undefined) shared.buffer = window
      at = 0
      filled = kept
      while (filled < size) {
        const wanted = Math.min(window.length - filled, endByte - position)
        const count = wanted <= 0 ? 0 : fill(window, filled, wanted)
        if (count === 0) throw new RangeError('a temporary record file ends in the middle of a record')
        filled += count
        position += count
      }
    }
    const index = at
    at += size
    return index
  }

  // `take` may replace the window, so it runs before the window is looked at.
  return {
    get isAtEnd() {
      return at === filled && position >= endByte
    },
    u8() {
      const index = take(1)
      return window.readUInt8(index)
    },
    u16() {
      const index = take(2)
      return window.readUInt16LE(index)
    },
    u32() {
      const index = take(4)
      return window.readUInt32LE(index)
    },
    u64() {
      const index = take(8)
      return window.readBigUInt64LE(index)
    },
    whole() {
      const index = take(8)
      return window.readDoubleLE(index)
    },
    bytes(length) {
      const index = take(length)
      return new Uint8Array(window.subarray(index, index + length))
    },
    view(length) {
      const index = take(length)
      return window.subarray(index, index + length)
    },
  }
}

/** A file for records that has no name: whatever kills the process, nothing is left behind. */
export function openUnnamedFile(dir: string, name: string): number {
  const path = `${dir}/${name}-${process.pid}-${Math.random().toString(36).slice(2)}`
  const fd = fs.openSync(path, 'wx+', 0o600)
  fs.unlinkSync(path)
  return fd
}
