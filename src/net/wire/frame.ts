/**
 * Frames: how messages lie in a stream.
 *
 *   offset  bytes  field
 *   0       4      length of type and body, big-endian (1 to 1 + the type's limit)
 *   4       1      type
 *   5       n      body
 *
 * A reader knows, for each type that may come on its stream, how long the body may be; any other type, and any longer
 * body, is an error before a byte of the body is kept. Example: `00 00 00 03 02 61 62` is type 2 with the body "ab".
 */
import { MirrorError } from '../../base/errors.ts'

export const FRAME_HEADER_BYTES = 5

export interface Frame {
  readonly type: number
  /** The receiver's own bytes. */
  readonly body: Uint8Array
}

/** Accepted types with the longest body of each, in bytes. */
export type FrameLimits = Readonly<Record<number, number>>

export function encodeFrame(type: number, parts: readonly Uint8Array[]): Uint8Array {
  let length = 1
  for (const part of parts) length += part.length
  const bytes = unfilled(FRAME_HEADER_BYTES - 1 + length)
  new DataView(bytes.buffer).setUint32(0, length)
  bytes[4] = type
  let at = FRAME_HEADER_BYTES
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

/** All of it is written: large ones are not filled with zeros before. */
function unfilled(length: number): Uint8Array {
  return length < 4096 ? new Uint8Array(length) : new Uint8Array(Buffer.allocUnsafeSlow(length).buffer)
}

export interface FrameDecoder {
  /** Whole frames that `chunk` completes. @throws MirrorError `corrupt` | `limit` */
  push(chunk: Uint8Array): Frame[]
  /** Bytes of the frame that has begun and is not complete: how many are there, and how many there will be. */
  partial(): { readonly received: number; readonly expected: number }
}

export function createFrameDecoder(limits: FrameLimits): FrameDecoder {
  let chunks: Uint8Array[] = []
  let buffered = 0
  /** Bytes of the whole frame, once its header is known. */
  let expected = 0

  /** Takes `length` bytes off the front, as a copy. */
  const take = (length: number): Uint8Array => {
    const out = unfilled(length)
    let filled = 0
    let used = 0
    while (filled < length) {
      const chunk = chunks[used]!
      const wanted = length - filled
      if (chunk.length <= wanted) {
        out.set(chunk, filled)
        filled += chunk.length
        used++
      } else {
        out.set(chunk.subarray(0, wanted), filled)
        chunks[used] = chunk.subarray(wanted)
        filled = length
      }
    }
    if (used > 0) chunks = chunks.slice(used)
    buffered -= length
    return out
  }

  const peek = (at: number): number => {
    for (const chunk of chunks) {
      if (at < chunk.length) return chunk[at]!
      at -= chunk.length
    }
    return 0
  }

  const readHeader = (): void => {
    const length = ((peek(0) << 24) | (peek(1) << 16) | (peek(2) << 8) | peek(3)) >>> 0
    const type = peek(4)
    const limit = Object.hasOwn(limits, type) ? limits[type]! : undefined
    if (limit === undefined)
      throw new MirrorError('corrupt', `frame of type ${type} does not belong on this stream`)
    if (length < 1) throw new MirrorError('corrupt', 'frame without a type')
    if (length - 1 > limit) {
      throw new MirrorError(
        'limit',
        `frame of type ${type} declares ${length - 1} bytes, over its limit of ${limit}`,
      )
    }
    expected = FRAME_HEADER_BYTES - 1 + length
  }

  return {
    push(chunk) {
      if (chunk.length > 0) {
        chunks.push(chunk)
        buffered += chunk.length
      }
      const frames: Frame[] = []
      for (;;) {
        if (expected === 0) {
          if (buffered < FRAME_HEADER_BYTES) return frames
          readHeader()
        }
        if (buffered < expected) return frames
        const type = peek(4)
        take(FRAME_HEADER_BYTES)
        frames.push({ type, body: take(expected - FRAME_HEADER_BYTES) })
        expected = 0
      }
    },
    partial: () => ({ received: buffered, expected: buffered === 0 ? 0 : expected || FRAME_HEADER_BYTES }),
  }
}
