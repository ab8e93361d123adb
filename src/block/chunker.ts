/**
 * Content-defined chunking: where a file is cut depends on the bytes around the cut, so an insertion moves the cuts
 * near it and no others. A gear hash in WebAssembly (chunker-wasm/) over a window that callers read files into.
 *
 * Owns the parameters, their bounds and the window. Cut points are part of the format: equal bytes and parameters
 * give equal chunks on every node and in every version (golden test). docs/formats.md defines the algorithm.
 */
import { readFileSync } from 'node:fs'
import { MirrorError } from '../base/errors.ts'
import { MAX_BLOCK_BYTES } from './block.ts'

export interface ChunkerParams {
  readonly kind: 'gear64'
  readonly minBytes: number
  /** A power of two. */
  readonly avgBytes: number
  readonly maxBytes: number
  /** Files up to this size are no chunks of their own: they lie in their directories' nodes. Absent: none. */
  readonly inlineBytes?: number
}

/** Of `inlineBytes`: larger files gain nothing, and a directory's node holds several. */
export const MAX_INLINE_BYTES = 16 * 1024

/** Chosen by tables of consecutive builds: docs/decisions/0006-chunk-size.md, and 0022-small-files-in-directories.md. */
export const DEFAULT_CHUNKER: ChunkerParams = {
  kind: 'gear64',
  minBytes: 16 * 1024,
  avgBytes: 64 * 1024,
  maxBytes: 256 * 1024,
  inlineBytes: 4096,
}

export interface Chunker {
  /** Window in the memory of the WASM instance: callers read file bytes straight into it. Stable for the chunker's life. */
  readonly buffer: Uint8Array
  /**
   * Length of the next chunk in `buffer[start, end)`. Returns 0 when there is no cut in less than `maxBytes` and the
   * content goes on (`isEnd` false): call again with more bytes after them. It starts over then, so callers that
   * want the full speed keep `maxBytes` or more in the window.
   */
  nextCut(start: number, end: number, isEnd: boolean): number
}

const WASM_PAGE_BYTES = 64 * 1024
/** WebAssembly's 4 GiB less the page before the window. */
const MAX_CAPACITY_BYTES = 2 ** 32 - 2 * WASM_PAGE_BYTES
const SMALLEST_MIN_BYTES = 64
const SMALLEST_AVG_BYTES = 256
/** The table of gear64 is SplitMix64 from this seed: the ASCII of "mirrmesh". */
const GEAR_SEED = 0x6d6972726d657368n
/**
 * Cuts before the normal length are 4 times as rare as 1/avg, after it 4 times as frequent: lengths gather around
 * the average (normalisation level 2 of FastCDC).
 */
const NORMALISATION_BITS = 2

interface ChunkerExports {
  prepare(seed: bigint): void
  cut(
    start: number,
    end: number,
    isEnd: number,
    min: number,
    normal: number,
    max: number,
    strictBits: number,
    looseBits: number,
  ): number
}

/** The part of WebAssembly's JavaScript interface used here: the compiler's library for Node has no types of it. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Memory: new (pages: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer }
  readonly Instance: new (module: object, imports: object) => { readonly exports: object }
}

/** Compiled at the first use: the command line never needs it. */
let compiled: object | undefined

export function createChunker(params: ChunkerParams, { capacityBytes }: { capacityBytes: number }): Chunker {
  const { minBytes, avgBytes, maxBytes } = checkChunkerParams(params)
  if (
    !Number.isSafeInteger(capacityBytes) ||
    capacityBytes < maxBytes ||
    capacityBytes > MAX_CAPACITY_BYTES
  ) {
    throw new MirrorError('invalid', `a chunker's window is ${maxBytes} bytes to 4 GiB, not ${capacityBytes}`)
  }
  compiled ??= new WebAssembly.Module(readFileSync(new URL('./chunker-wasm/chunker.wasm', import.meta.url)))
  const pages = 1 + Math.ceil(capacityBytes / WASM_PAGE_BYTES)
  const memory = new WebAssembly.Memory({ initial: Math.max(2, pages), maximum: Math.max(2, pages) })
  const instance = new WebAssembly.Instance(compiled, { env: { memory } })
  const { prepare, cut } = instance.exports as ChunkerExports
  prepare(GEAR_SEED)

  const normalBytes = avgBytes - minBytes
  const avgBits = Math.log2(avgBytes)
  const strictBits = avgBits + NORMALISATION_BITS
  const looseBits = avgBits - NORMALISATION_BITS
  return {
    buffer: new Uint8Array(memory.buffer, WASM_PAGE_BYTES, capacityBytes),
    nextCut(start, end, isEnd) {
      if (!(start >= 0 && start <= end && end <= capacityBytes)) {
        throw new MirrorError('internal', `no such range in the chunker's window: ${start} to ${end}`)
      }
      return cut(start, end, isEnd ? 1 : 0, minBytes, normalBytes, maxBytes, strictBits, looseBits) >>> 0
    },
  }
}

/** Lengths of all chunks of `bytes`, in order; their sum is its length. For tests and small inputs. */
export function cutAll(params: ChunkerParams, bytes: Uint8Array): number[] {
  const capacityBytes = Math.max(params.maxBytes, Math.min(bytes.length, 4 * MAX_BLOCK_BYTES))
  const chunker = createChunker(params, { capacityBytes })
  const lengths: number[] = []
  let windowAt = 0
  while (windowAt < bytes.length) {
    const size = Math.min(capacityBytes, bytes.length - windowAt)
    const isEnd = windowAt + size === bytes.length
    chunker.buffer.set(bytes.subarray(windowAt, windowAt + size))
    let at = 0
    while (at < size) {
      const length = chunker.nextCut(at, size, isEnd)
      if (length === 0) break
      lengths.push(length)
      at += length
    }
    windowAt += at
  }
  return lengths
}

/**
 * Parameters as they come from a snapshot or a configuration.
 * @throws MirrorError `unsupported` for another kind, `corrupt` when the shape is wrong, `limit` when a size is out of bounds
 */
export function checkChunkerParams(value: unknown): ChunkerParams {
  const { kind, minBytes, avgBytes, maxBytes, inlineBytes } = (value ?? {}) as Partial<
    Record<keyof ChunkerParams, unknown>
  >
  if (typeof kind === 'string' && kind !== 'gear64') {
    throw new MirrorError('unsupported', `this version does not know the chunker "${kind.slice(0, 40)}"`)
  }
  if (
    kind !== 'gear64' ||
    !Number.isSafeInteger(minBytes) ||
    !Number.isSafeInteger(avgBytes) ||
    !Number.isSafeInteger(maxBytes)
  ) {
    throw new MirrorError('corrupt', 'chunker parameters are a kind and three whole numbers')
  }
  const inline = inlineBytes === undefined ? 0 : inlineBytes
  if (!Number.isSafeInteger(inline) || (inline as number) < 0) {
    throw new MirrorError('corrupt', 'the size up to which files lie in directories is a whole number')
  }
  if ((inline as number) > MAX_INLINE_BYTES) {
    throw new MirrorError('limit', `files of ${inline as number} bytes do not lie in directories`, {
      hint: `The most is ${MAX_INLINE_BYTES}.`,
    })
  }
  const [min, avg, max] = [minBytes as number, avgBytes as number, maxBytes as number]
  if (
    min < SMALLEST_MIN_BYTES ||
    avg < SMALLEST_AVG_BYTES ||
    !Number.isInteger(Math.log2(avg)) ||
    min * 2 > avg ||
    max < avg * 2 ||
    max > MAX_BLOCK_BYTES
  ) {
    throw new MirrorError('limit', `chunk lengths ${min}, ${avg}, ${max} are out of bounds`, {
      hint: `The average is a power of two of ${SMALLEST_AVG_BYTES} or more, the minimum ${SMALLEST_MIN_BYTES} to half of it, the maximum twice of it to ${MAX_BLOCK_BYTES}.`,
    })
  }
  const sizes = { minBytes: min, avgBytes: avg, maxBytes: max }
  return { kind, ...sizes, ...(inline === 0 ? {} : { inlineBytes: inline as number }) }
}
