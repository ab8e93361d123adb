/**
 * zstd's encoder by direct calls, in threads of libuv's pool: for frames over a window of megabytes. Node's own zlib copies the
 * window, makes tables of the copy and copies these for each frame: of level 3 that takes three times as long as all else. Here the
 * window is referred to, and tables and context stay from one frame to the next.
 */
import { type NativeCall, zstdLibrary } from './zstd-library.ts'

/** What zstd is told, by the numbers of its ZSTD_cParameter. */
export type ZstdParameters = ReadonlyMap<number, number>

/** Makes one frame at a time. */
export interface ZstdEncoder {
  /**
   * One frame of `bytes` in `into`, which says its length. None of what is given is to change until it resolves; `bytes` and
   * `window` lie apart, or zstd leaves the window aside.
   * @returns its length; undefined where it does not fit, or zstd cannot make it: then `into` holds anything
   */
  encode(
    bytes: Uint8Array,
    into: Uint8Array,
    parameters: ZstdParameters,
    window?: Uint8Array,
  ): Promise<number | undefined>
  /** Frees it. No frame may be under way. */
  close(): void
}

const RESET_ALL = 3
/** What zstd reads and writes just now: nothing else may refer to it, and a collection of the heap would take it. */
const inUse = new Set<readonly (Uint8Array | undefined)[]>()

/** undefined where there is none. */
export function createZstdEncoder(): ZstdEncoder | undefined {
  const calls = load()
  const context = calls?.create() as object | null | undefined
  if (calls === undefined || context === undefined || context === null) return undefined
  let isOpen = true
  return {
    async encode(bytes, into, parameters, window) {
      if (!isOpen) throw new Error('the encoder is closed')
      const { reset, setParameter, refPrefix, compress } = calls
      const set = [reset(context, RESET_ALL)]
      for (const [name, value] of parameters) set.push(setParameter(context, name, value))
      if (window !== undefined) set.push(refPrefix(context, window, window.length))
      if (set.some(isError)) return undefined
      const held = [bytes, into, window]
      inUse.add(held)
      const made = await new Promise<unknown>((resolve, reject) =>
        compress.async(context, into, into.length, bytes, bytes.length, (error, result) => {
          inUse.delete(held)
          if (error === null) resolve(result)
          else reject(error)
        }),
      )
      return isError(made) || (made as number) > into.length ? undefined : (made as number)
    },
    close() {
      if (isOpen) calls.free(context)
      isOpen = false
    },
  }
}

interface Calls {
  readonly create: NativeCall
  readonly free: NativeCall
  readonly reset: NativeCall
  readonly setParameter: NativeCall
  readonly refPrefix: NativeCall
  readonly compress: NativeCall
}

let loaded: Calls | null | undefined

/** Declared once: koffi keeps what it is told. */
function load(): Calls | undefined {
  if (loaded === undefined) {
    try {
      const library = zstdLibrary()
      loaded = {
        create: library.func('void *ZSTD_createCCtx()'),
        free: library.func('size_t ZSTD_freeCCtx(void *context)'),
        reset: library.func('size_t ZSTD_CCtx_reset(void *context, int what)'),
        setParameter: library.func('size_t ZSTD_CCtx_setParameter(void *context, int name, int value)'),
        refPrefix: library.func(
          'size_t ZSTD_CCtx_refPrefix(void *context, const uint8_t *bytes, size_t size)',
        ),
        compress: library.func(
          'size_t ZSTD_compress2(void *context, uint8_t *into, size_t capacity, const uint8_t *bytes, size_t size)',
        ),
      }
    } catch {
      loaded = null
    }
  }
  return loaded ?? undefined
}

/** All error codes are sizes over 2^53, and come as bigints. */
function isError(result: unknown): boolean {
  return typeof result !== 'number'
}
