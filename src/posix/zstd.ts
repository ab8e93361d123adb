/**
 * zstd's decoder by direct calls (zstd-library.ts). Node's own zlib makes an object, a stream and a context for each call: 20 us
 * that a block of a few KiB, decoded in 3, is not worth; and it copies a window of megabytes that it is given as a dictionary,
 * for as long again as the decoding takes.
 *
 * It only says what it made: whoever gets nothing asks Node, which knows what is wrong. Loaded on first use, once a thread.
 */
import { isMainThread } from 'node:worker_threads'
import { type Library, zstdLibrary } from './zstd-library.ts'

export interface ZstdDecoder {
  /**
   * Decodes the one frame that `bytes` are into `into`. Its window is the caller's to bound.
   * @returns how many bytes it made; undefined when it could not, or they did not fit: then `into` holds anything
   */
  decode(bytes: Uint8Array, into: Uint8Array): number | undefined
  /** The same of a frame whose dictionary is `window`: raw content, which must not have the form of a dictionary. */
  decodeOver(bytes: Uint8Array, window: Uint8Array, into: Uint8Array): number | undefined
  /** As zstd writes it: 10507 is 1.5.7. */
  readonly version: number
}

/** Sizes over 2^53, as all error codes are, come as bigints. */
type Decompress = (...args: (object | number)[]) => number | bigint

let decoder: ZstdDecoder | null | undefined

/** null where there is none. */
export function nativeZstd(): ZstdDecoder | null {
  decoder ??= load()
  return decoder
}

function load(): ZstdDecoder | null {
  try {
    const library = zstdLibrary()
    const calls = isMainThread ? withContext(library) : (withWorkspace(library) ?? withoutContext(library))
    return { ...calls, version: library.func('int ZSTD_versionNumber()')() as number }
  } catch {
    return null
  }
}

type Calls = Pick<ZstdDecoder, 'decode' | 'decodeOver'>

/** One context for all blocks: the process has one main thread, and ends with it. */
function withContext(library: Library): Calls {
  const context = library.func('void *ZSTD_createDCtx()')() as object | null
  return context === null ? withoutContext(library) : callsOf(library, 'void *', context)
}

/**
 * Threads come and go, and nothing would free a context when one is terminated: it lies in memory of the thread's own
 * heap, which goes with it. The call is one that zstd.h does not promise to keep, so it is done without where it is missing.
 */
function withWorkspace(library: Library): Calls | undefined {
  try {
    const sizeBytes = library.func('size_t ZSTD_estimateDCtxSize()')() as number
    const workspace = Buffer.allocUnsafeSlow(sizeBytes)
    const init = library.func('void *ZSTD_initStaticDCtx(uint8_t *workspace, size_t size)')
    const context = init(workspace, sizeBytes) as object | null
    // What is returned is the workspace's own address: passing the array keeps it alive as long as the decoder is.
    return context === null ? undefined : callsOf(library, 'uint8_t *', workspace)
  } catch {
    return undefined
  }
}

/** What is decoded over a window is referred to, and not copied. */
function callsOf(library: Library, type: string, context: object): Calls {
  const frame = '_Out_ uint8_t *into, size_t capacity, const uint8_t *bytes, size_t size'
  const decode = library.func(`size_t ZSTD_decompressDCtx(${type}context, ${frame})`) as Decompress
  const decodeOver = library.func(
    `size_t ZSTD_decompress_usingDict(${type}context, ${frame}, const uint8_t *window, size_t windowSize)`,
  ) as Decompress
  return {
    decode: (bytes, into) => made(decode(context, into, into.length, bytes, bytes.length), into),
    decodeOver: (bytes, window, into) =>
      made(decodeOver(context, into, into.length, bytes, bytes.length, window, window.length), into),
  }
}

/** 8 us for a context each time. */
function withoutContext(library: Library): Calls {
  const decompress = library.func(
    'size_t ZSTD_decompress(_Out_ uint8_t *into, size_t capacity, const uint8_t *bytes, size_t size)',
  ) as Decompress
  return {
    decode: (bytes, into) => made(decompress(into, into.length, bytes, bytes.length), into),
    decodeOver: () => undefined,
  }
}

function made(result: number | bigint, into: Uint8Array): number | undefined {
  return typeof result === 'number' && result <= into.length ? result : undefined
}
