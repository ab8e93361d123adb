/**
 * How a block rests on a disk or travels: as its plain bytes, or as one zstd frame of them (RFC 8878) where that is
 * worth it. The CID is always of the plain bytes, and whoever decodes checks them against it.
 *
 * Decoding is bounded before it begins: the frame's parts are walked, so that it is exactly one frame without a
 * dictionary, its window no larger than the largest block, its declared length (if any) the one that is expected; the
 * decoder then gives up after that many bytes. Skippable frames, frames that follow and bytes behind are refused.
 *
 * Measured on blocks of 128 KiB: making frames takes 2 to 3.6 CPU seconds a GB, decoding 0.7 to 1.7. Text is left a fifth
 * to a third of its size, programs 38 to 42 percent; of the blocks of packages none pays. A look at 1,024 bytes tells
 * those apart for 5 us (a trial takes 30 to 60), and missed none of 2,900 that pay.
 */
import { promisify } from 'node:util'
import zlib from 'node:zlib'
import { isMirrorError, MirrorError } from '../base/errors.ts'
import { nativeZstd, type ZstdDecoder } from '../posix/zstd.ts'
import { MAX_BLOCK_BYTES } from './block.ts'
import { runInCodecThread } from './codec-thread.ts'

export type BlockEncoding = 'plain' | 'zstd'

export interface EncodedBlock {
  readonly encoding: BlockEncoding
  /** As it rests or travels. */
  readonly bytes: Uint8Array
  /** Of the plain block. A zstd frame is always shorter than that. */
  readonly lengthBytes: number
}

/** On disks, where the import waits for it. Level 3 saves 2 to 7 percent more for up to twice the time. */
export const REST_LEVEL = 1
/** Between regions, where bytes cost most. */
export const WIRE_LEVEL = 3
/** Shorter blocks stay plain: headers weigh more than what there is to save. */
const SMALLEST_BYTES = 512
/** At least one byte in so many must go, or the block stays plain: reading it costs time, again and again. */
const LEAST_SAVING = 16
/** Of the look that comes before a trial. */
const SAMPLE_BYTES = 1024
const RANDOM_BITS = 7.8
/**
 * Shorter blocks are done on the spot: the way to another thread takes 20 us of this one, and 40 of that one. 8 KiB are
 * compressed in 75 us and decoded in 28; 64 KiB are decoded in 80.
 */
const COMPRESS_THERE_BYTES = 16 * 1024
const DECODE_THERE_BYTES = 64 * 1024

const { ZSTD_c_compressionLevel, ZSTD_c_windowLog, ZSTD_d_windowLogMax } = zlib.constants
const compressLater = promisify<Uint8Array, zlib.ZstdOptions, Buffer>(zlib.zstdCompress)
const MAX_WINDOW_LOG = Math.log2(MAX_BLOCK_BYTES)

/** A frame of `bytes`, or undefined where it does not pay. For threads that may be busy. */
export function tryZstd(bytes: Uint8Array, level: number): Uint8Array | undefined {
  if (bytes.length < SMALLEST_BYTES || looksRandom(bytes)) return undefined
  return ifItPays(zlib.zstdCompressSync(bytes, compressOptions(bytes, level)), bytes)
}

/** As `tryZstd`, in another thread where that is worth the way. `bytes` must stay as they are until it resolves. */
export async function tryZstdLater(bytes: Uint8Array, level: number): Promise<Uint8Array | undefined> {
  if (bytes.length < COMPRESS_THERE_BYTES) return tryZstd(bytes, level)
  if (looksRandom(bytes)) return undefined
  return runInCodecThread({ kind: 'compress', bytes, level })
}

/**
 * The plain bytes, not checked against a CID. For a plain block they are the ones given; else the caller's own.
 * @param native the decoder by direct calls; null does without
 * @param into gives the memory for so many plain bytes, which what is returned may lie in
 * @throws MirrorError `corrupt` unless `bytes` are exactly one frame of exactly `lengthBytes`
 */
export function decodeBlock(
  { encoding, bytes, lengthBytes }: EncodedBlock,
  native: ZstdDecoder | null = encoding === 'plain' ? null : nativeZstd(),
  into?: (lengthBytes: number) => Uint8Array,
): Uint8Array {
  checkEncoded(encoding, bytes, lengthBytes)
  if (encoding === 'plain') return bytes
  if (native !== null) {
    const plain = into?.(lengthBytes) ?? new Uint8Array(Buffer.allocUnsafeSlow(lengthBytes).buffer)
    if (native.decode(bytes, plain) === lengthBytes) return plain
  }
  try {
    return decoded(zlib.zstdDecompressSync(bytes, decompressOptions(lengthBytes)), lengthBytes)
  } catch (error) {
    throw asCorrupt(error)
  }
}

/** As `decodeBlock`, in another thread where that is worth the way. `bytes` must stay as they are until it resolves. */
export async function decodeBlockLater(block: EncodedBlock): Promise<Uint8Array> {
  const { encoding, bytes, lengthBytes } = block
  if (lengthBytes < DECODE_THERE_BYTES) return decodeBlock(block)
  checkEncoded(encoding, bytes, lengthBytes)
  if (encoding === 'plain') return bytes
  return (await runInCodecThread({ kind: 'decode', bytes, lengthBytes }))!
}

export interface DecodeTogether {
  /** Gives the memory for all that is decoded on the spot: it lies there side by side. Without it each has its own. */
  readonly arena?: (sizeBytes: number) => Uint8Array
  /**
   * So many plain bytes of larger blocks are decoded on the spot, too. A thread takes 0.1 s of processor time to start, and the
   * way there and back as much as 64 KiB take to decode: it pays where there is more than one thread can do.
   */
  readonly hereBytes?: number
}

/** As `decodeBlockLater`, of many blocks; undefined for those that are no encoded blocks. */
export async function decodeBlocksLater(
  blocks: readonly EncodedBlock[],
  { arena, hereBytes = 0 }: DecodeTogether = {},
): Promise<(Uint8Array | undefined)[]> {
  const plain: (Uint8Array | undefined)[] = blocks.map(() => undefined)
  const later: Promise<void>[] = []
  const here: number[] = []
  let leftBytes = hereBytes
  let arenaBytes = 0
  for (let i = 0; i < blocks.length; i++) {
    const block = blocks[i]!
    const { encoding, lengthBytes } = block
    if (encoding !== 'plain' && lengthBytes >= DECODE_THERE_BYTES) {
      if (lengthBytes > leftBytes) {
        later.push(decodeThere(block, i))
        continue
      }
      leftBytes -= lengthBytes
    }
    here.push(i)
    if (encoding !== 'plain' && lengthBytes <= MAX_BLOCK_BYTES) arenaBytes += lengthBytes
  }
  const memory = arena === undefined || arenaBytes === 0 ? undefined : arena(arenaBytes)
  let at = 0
  const into =
    memory &&
    ((sizeBytes: number) => {
      at += sizeBytes
      return memory.subarray(at - sizeBytes, at)
    })
  for (const i of here) {
    try {
      plain[i] = decodeBlock(blocks[i]!, undefined, into)
    } catch (error) {
      if (!isMirrorError(error, 'corrupt')) throw error
    }
  }
  async function decodeThere(block: EncodedBlock, i: number): Promise<void> {
    try {
      plain[i] = await decodeBlockLater(block)
    } catch (error) {
      if (!isMirrorError(error, 'corrupt')) throw error
    }
  }
  await Promise.all(later)
  return plain
}

/** A frame over bytes that a reader has already. */
export interface WindowedFrame {
  readonly bytes: Uint8Array
  /** The dictionary: raw content, at most MAX_BLOCK_BYTES. */
  readonly window: Uint8Array
  /** Of what it decodes to, at most MAX_BLOCK_BYTES. */
  readonly lengthBytes: number
}

/**
 * The plain bytes of a frame whose dictionary is `window`; the caller's own, and checked against nothing but their length.
 * @param native the decoder by direct calls; null does without
 * @param into gives the memory for so many plain bytes, which what is returned may lie in
 * @throws MirrorError `corrupt` unless `bytes` are exactly one frame of exactly `lengthBytes`
 */
export function decodeWindowed(
  frame: WindowedFrame,
  native: ZstdDecoder | null = nativeZstd(),
  into?: (lengthBytes: number) => Uint8Array,
): Uint8Array {
  const { bytes, window, lengthBytes } = frame
  checkWindowed(frame)
  if (native !== null) {
    const plain = into?.(lengthBytes) ?? new Uint8Array(Buffer.allocUnsafeSlow(lengthBytes).buffer)
    if (native.decodeOver(bytes, window, plain) === lengthBytes) return plain
  }
  try {
    const options = { ...decompressOptions(lengthBytes), dictionary: window }
    return decoded(zlib.zstdDecompressSync(bytes, options), lengthBytes)
  } catch (error) {
    throw asCorrupt(error)
  }
}

/**
 * A frame of `bytes` over `window`, for `decodeWindowed`; undefined where it saves less than a tenth. In a thread of the pool:
 * neither is to change until it resolves. For what is small and made for one asker; deltas of content have settings of
 * their own (delta/encode-delta.ts).
 */
export async function encodeWindowed(bytes: Uint8Array, window: Uint8Array): Promise<Uint8Array | undefined> {
  if (bytes.length === 0 || window.length === 0 || hasDictionaryForm(window)) return undefined
  const windowLog = Math.ceil(Math.log2(bytes.length + window.length))
  const frame = await compressLater(bytes, {
    dictionary: window,
    chunkSize: 16 * 1024,
    pledgedSrcSize: bytes.length,
    params: {
      [ZSTD_c_compressionLevel]: WIRE_LEVEL,
      [ZSTD_c_windowLog]: Math.min(MAX_WINDOW_LOG, Math.max(17, windowLog)),
    },
  })
  return frame.length <= bytes.length - bytes.length / 10 ? fitted(frame) : undefined
}

/**
 * As `decodeWindowed`, in another thread where that is worth the way. The window has to have a buffer of its own, and is the
 * caller's no longer.
 */
export async function decodeWindowedLater(frame: WindowedFrame): Promise<Uint8Array> {
  if (frame.lengthBytes + frame.window.length < DECODE_THERE_BYTES) return decodeWindowed(frame)
  checkWindowed(frame)
  const { bytes, window, lengthBytes } = frame
  return (await runInCodecThread({ kind: 'decode-windowed', bytes, window, lengthBytes }))!
}

function checkWindowed({ bytes, window, lengthBytes }: WindowedFrame): void {
  const lengths = [bytes.length, window.length, lengthBytes]
  if (!lengths.every((length) => Number.isSafeInteger(length) && length > 0 && length <= MAX_BLOCK_BYTES))
    throw corrupt(`a frame of ${bytes.length} bytes over ${window.length}, for ${lengthBytes}`)
  if (hasDictionaryForm(window)) throw corrupt('a window that has the form of a dictionary of its own')
  checkFrame(bytes, lengthBytes)
}

/** Then it would not be taken for raw content (RFC 8878, section 5). */
function hasDictionaryForm(window: Uint8Array): boolean {
  return window.length >= 4 && Buffer.from(window.buffer, window.byteOffset, 4).readUInt32LE(0) === 0xec30a437
}

/** True when lengths fit the encoding: what is checked of a header before anything is read. */
export function isEncodedLength(encoding: BlockEncoding, storedBytes: number, lengthBytes: number): boolean {
  if (lengthBytes > MAX_BLOCK_BYTES) return false
  return encoding === 'plain' ? storedBytes === lengthBytes : storedBytes > 0 && storedBytes < lengthBytes
}

function checkEncoded(encoding: BlockEncoding, bytes: Uint8Array, lengthBytes: number): void {
  if (!isEncodedLength(encoding, bytes.length, lengthBytes)) {
    throw corrupt(`${bytes.length} bytes (${encoding}) of a block of ${lengthBytes}`)
  }
  if (encoding === 'zstd') checkFrame(bytes, lengthBytes)
}

/** RFC 8878, section 3.1.1. Nothing is decoded: only headers are looked at, one for each 128 KiB at most. */
function checkFrame(bytes: Uint8Array, lengthBytes: number): void {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const descriptor = bytes[4] ?? 0
  const isSingleSegment = (descriptor & 0x20) !== 0
  const lengthFlag = descriptor >> 6
  const lengthFieldBytes = lengthFlag === 0 ? (isSingleSegment ? 1 : 0) : 1 << lengthFlag
  let at = isSingleSegment ? 5 : 6
  if (bytes.length < at + lengthFieldBytes + 3 || view.readUInt32LE(0) !== 0xfd2fb528) {
    throw corrupt('not a zstd frame')
  }
  if ((descriptor & 0x0b) !== 0) throw corrupt('a zstd frame with a dictionary, or of another kind')
  // The largest window of an exponent has 1.875 times its bytes.
  if (!isSingleSegment && 10 + (view[5]! >> 3) + (view[5]! & 7) / 8 > MAX_WINDOW_LOG) {
    throw corrupt('a zstd frame whose window is larger than a block may be')
  }
  if (lengthFieldBytes > 0) {
    const declared =
      lengthFieldBytes === 8
        ? view.readUInt32LE(at) + 2 ** 32 * view.readUInt32LE(at + 4)
        : view.readUIntLE(at, lengthFieldBytes) + (lengthFieldBytes === 2 ? 256 : 0)
    if (declared !== lengthBytes) throw corrupt(`a zstd frame of ${declared} bytes, not of ${lengthBytes}`)
    at += lengthFieldBytes
  }
  for (let isLast = false; !isLast; ) {
    if (at + 3 > bytes.length) throw corrupt('a zstd frame that is cut short')
    const header = view.readUIntLE(at, 3)
    isLast = (header & 1) === 1
    const kind = (header >> 1) & 3
    if (kind === 3) throw corrupt('a zstd frame with a block of an unknown kind')
    at += 3 + (kind === 1 ? 1 : header >> 3)
  }
  const checksumBytes = (descriptor & 0x04) === 0 ? 0 : 4
  if (at + checksumBytes !== bytes.length) throw corrupt('a zstd frame that ends before or after its bytes')
}

/**
 * Bits a byte of a sample spread over the block, with the correction for its size (Miller 1955): what is compressed or
 * encrypted has nearly 8. Blind to repeats of random bytes, which are rare and cost only space.
 */
export function looksRandom(bytes: Uint8Array): boolean {
  if (bytes.length < 4 * SAMPLE_BYTES) return false
  const step = Math.floor(bytes.length / SAMPLE_BYTES)
  const counts = new Uint16Array(256)
  for (let i = 0; i < SAMPLE_BYTES; i++) counts[bytes[i * step]!]!++
  let bits = Math.log2(SAMPLE_BYTES) + 255 / (2 * SAMPLE_BYTES * Math.LN2)
  for (const count of counts) if (count > 1) bits -= (count * Math.log2(count)) / SAMPLE_BYTES
  return bits >= RANDOM_BITS
}

function compressOptions(bytes: Uint8Array, level: number): zlib.ZstdOptions {
  // Told the length, zstd writes it into the frame and makes the window no larger.
  return {
    chunkSize: bytes.length + 1024,
    pledgedSrcSize: bytes.length,
    params: { [ZSTD_c_compressionLevel]: level },
  }
}

/** One piece of output that holds the whole block: measured a quarter less CPU than the default of 16 KiB pieces. */
function decompressOptions(lengthBytes: number): zlib.ZstdOptions {
  return {
    chunkSize: lengthBytes + 1024,
    maxOutputLength: lengthBytes,
    params: { [ZSTD_d_windowLogMax]: MAX_WINDOW_LOG },
  }
}

function ifItPays(frame: Buffer, plain: Uint8Array): Uint8Array | undefined {
  return frame.length <= plain.length - plain.length / LEAST_SAVING ? fitted(frame) : undefined
}

function decoded(bytes: Buffer, lengthBytes: number): Uint8Array {
  if (bytes.length !== lengthBytes)
    throw corrupt(`a zstd frame of ${bytes.length} bytes, not of ${lengthBytes}`)
  return fitted(bytes)
}

/** A result that lies in a much larger buffer would keep it, or share it with others. */
function fitted(bytes: Buffer): Uint8Array {
  if (bytes.buffer.byteLength > bytes.length + 2048) return new Uint8Array(bytes)
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
}

function corrupt(what: string): MirrorError {
  return new MirrorError('corrupt', `not an encoded block: ${what}`)
}

function asCorrupt(error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ZSTD_error_memory_allocation') return error
  const isDecoder = code === 'ERR_BUFFER_TOO_LARGE' || code === 'Z_BUF_ERROR' || code?.startsWith('ZSTD_')
  return isDecoder ? corrupt(`zstd says ${code}`) : error
}
