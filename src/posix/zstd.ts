/**
 * The decoder of the system's libzstd, where there is one (on Debian dpkg needs it, so there is). Node's own zlib makes an
 * object, a stream and a context for each call: 20 us that a block of a few KiB, decoded in 3, is not worth.
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
}

/** Sizes over 2^53, as all error codes are, come as bigints. */
type Decompress = (...args: (object | number)[]) => number | bigint

interface Koffi {
  load(path: string): { func(declaration: string): (...args: (object | number)[]) => unknown }
}

const require = createRequire(import.meta.url)
let decoder: ZstdDecoder | null | undefined

/** null where the system has none. */
export function systemZstd(): ZstdDecoder | null {
  decoder ??= load()
  return decoder
}

function load(): ZstdDecoder | null {
  try {
    const library = (require('koffi') as Koffi).load('libzstd.so.1')
    return isMainThread ? withContext(library) : (withWorkspace(library) ?? withoutContext(library))
  } catch {
    return null
  }
}

type Library = ReturnType<Koffi['load']>

/** One context for all blocks: the process has one main thread, and ends with it. */
function withContext(library: Library): ZstdDecoder {
  const context = library.func('void *ZSTD_createDCtx()')() as object | null
  if (context === null) return withoutContext(library)
  const decompress = library.func(
    'size_t ZSTD_decompressDCtx(void *context, _Out_ uint8_t *into, size_t capacity, const uint8_t *bytes, size_t size)',
  ) as Decompress
  return {
    decode: (bytes, into) => made(decompress(context, into, into.length, bytes, bytes.length), into),
  }
}

/**
 * Threads come and go, and nothing would free a context when one is terminated: it lies in memory of the thread's own
 * heap, which goes with it. The call is one that zstd.h does not promise to keep, so it is done without where it is missing.
 */
function withWorkspace(library: Library): ZstdDecoder | undefined {
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
    return {
      decode: (bytes, into) => made(decompress(workspace, into, into.length, bytes, bytes.length), into),
    }
  } catch {
    return undefined
  }
}

/** 8 us for a context each time. */
function withoutContext(library: Library): ZstdDecoder {
  const decompress = library.func(
    'size_t ZSTD_decompress(_Out_ uint8_t *into, size_t capacity, const uint8_t *bytes, size_t size)',
  ) as Decompress
  return { decode: (bytes, into) => made(decompress(into, into.length, bytes, bytes.length), into) }
}

function made(result: number | bigint, into: Uint8Array): number | undefined {
  return typeof result === 'number' && result <= into.length ? result : undefined
}
