/**
 * zstd's decoder by direct calls. Node's own zlib makes an object, a stream and a context for each call: 20 us that a block
 * of a few KiB, decoded in 3, is not worth.
 *
 * It is the zstd that the process has already: Node exports the one it was built with, or was linked with the system's. Another
 * one beside it would be mixed with it: what libzstd.so calls of itself goes to Node's functions of the same names, of another
 * version, and its contexts with it. Only where the process has none is the system's loaded.
 *
 * It only says what it made: whoever gets nothing asks Node, which knows what is wrong. Loaded on first use, once a thread.
 */
import { createRequire } from 'node:module'
import { isMainThread } from 'node:worker_threads'

export interface ZstdDecoder {
  /**
   * Decodes the one frame that `bytes` are into `into`. Its window is the caller's to bound.
   * @returns how many bytes it made; undefined when it could not, or they did not fit: then `into` holds anything
   */
  decode(bytes: Uint8Array, into: Uint8Array): number | undefined
  /** As zstd writes it: 10507 is 1.5.7. */
  readonly version: number
}

/** Sizes over 2^53, as all error codes are, come as bigints. */
type Decompress = (...args: (object | number)[]) => number | bigint

interface Koffi {
  load(path: string | null): { func(declaration: string): (...args: (object | number)[]) => unknown }
}

const require = createRequire(import.meta.url)
let decoder: ZstdDecoder | null | undefined

/** null where there is none. */
export function nativeZstd(): ZstdDecoder | null {
  decoder ??= load()
  return decoder
}

function load(): ZstdDecoder | null {
  try {
    const koffi = require('koffi') as Koffi
    const library = ofProcess(koffi) ?? koffi.load('libzstd.so.1')
    const decode = isMainThread ? withContext(library) : (withWorkspace(library) ?? withoutContext(library))
    return { decode, version: library.func('int ZSTD_versionNumber()')() as number }
  } catch {
    return null
  }
}

function ofProcess(koffi: Koffi): Library | undefined {
  const library = koffi.load(null)
  try {
    library.func('void *ZSTD_createDCtx()')
    return library
  } catch {
    return undefined
  }
}

type Decode = ZstdDecoder['decode']
type Library = ReturnType<Koffi['load']>

/** One context for all blocks: the process has one main thread, and ends with it. */
function withContext(library: Library): Decode {
  const context = library.func('void *ZSTD_createDCtx()')() as object | null
  if (context === null) return withoutContext(library)
  const decompress = library.func(
    'size_t ZSTD_decompressDCtx(void *context, _Out_ uint8_t *into, size_t capacity, const uint8_t *bytes, size_t size)',
  ) as Decompress
  return (bytes, into) => made(decompress(context, into, into.length, bytes, bytes.length), into)
}

/**
 * Threads come and go, and nothing would free a context when one is terminated: it lies in memory of the thread's own
 * heap, which goes with it. The call is one that zstd.h does not promise to keep, so it is done without where it is missing.
 */
function withWorkspace(library: Library): Decode | undefined {
  try {
    const sizeBytes = library.func('size_t ZSTD_estimateDCtxSize()')() as number
    const workspace = Buffer.allocUnsafeSlow(sizeBytes)
    const init = library.func('void *ZSTD_initStaticDCtx(uint8_t *workspace, size_t size)')
    const context = init(workspace, sizeBytes) as object | null
    if (context === null) return undefined
    const decompress = library.func(
      'size_t ZSTD_decompressDCtx(uint8_t *context, _Out_ uint8_t *into, size_t capacity, const uint8_t *bytes, size_t size)',
    ) as Decompress
    // What is returned is the workspace's own address: passing the array keeps it alive as long as the decoder is.
    return (bytes, into) => made(decompress(workspace, into, into.length, bytes, bytes.length), into)
  } catch {
    return undefined
  }
}

/** 8 us for a context each time. */
function withoutContext(library: Library): Decode {
  const decompress = library.func(
    'size_t ZSTD_decompress(_Out_ uint8_t *into, size_t capacity, const uint8_t *bytes, size_t size)',
  ) as Decompress
  return (bytes, into) => made(decompress(into, into.length, bytes, bytes.length), into)
}

function made(result: number | bigint, into: Uint8Array): number | undefined {
  return typeof result === 'number' && result <= into.length ? result : undefined
}
