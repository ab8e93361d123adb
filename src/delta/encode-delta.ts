/**
 * One run of blocks as one zstd frame over a window as dictionary, and whether it is worth it.
 *
 * The parameters are those of low levels with larger tables. By itself level 3 indexes a dictionary with 2^17 and 2^16 entries: of a
 * window of 2 MiB and more they forget nearly all, and a delta is then hardly better than none (docs/deltas.md has the table).
 */
import zlib from 'node:zlib'
import { looksRandom, WIRE_LEVEL } from '../block/encoding.ts'
import type { ZstdParameters } from '../posix/zstd-encoder.ts'

export interface EncodeJob {
  /** The blocks of the run, one after the other. */
  readonly targets: Uint8Array
  /** Of each block. */
  readonly lengths: readonly number[]
  readonly window: Uint8Array
  readonly efforts: Efforts
}

/** Text has more to gain from a longer search than binaries, whose matches lie where the last one ended. */
export interface Efforts {
  readonly binary: Effort
  readonly text: Effort
}

/** What zstd is told; see the table. */
export interface Effort {
  readonly level: number
  readonly hashLog: number
  readonly chainLog: number
  /** Shorter matches are not looked for; of the level by default. */
  readonly minMatch?: number
}

export interface EncodedRun {
  /** Absent when it does not save enough. */
  readonly frame: Uint8Array | undefined
  /** Of the blocks, each by itself: of a long run a quarter of them are weighed, and stand for the rest. */
  readonly zstdBytes: number
}

export const DEFAULT_EFFORTS: Efforts = {
  binary: { level: 3, hashLog: 20, chainLog: 20 },
  text: { level: 12, hashLog: 21, chainLog: 21, minMatch: 6 },
}

/** A delta may take so much of what its blocks take without it: reading a window costs a site some time. */
const WORTH_SHARE = 0.9
/** What an index and a plan say of a delta, and its own request, come to about this. */
const LEAST_SAVED_BYTES = 256
/** Runs up to this are weighed whole. */
const WEIGHED_BYTES = 128 * 1024
const WEIGHED_EACH = 4
const SAMPLES = 1024
/** A dictionary that begins so would not be taken for raw content (RFC 8878, section 5). */
const DICTIONARY_MAGIC = 0xec30a437

/** As blocks are compressed on their way (block/encoding.ts). */
const SMALLEST_BYTES = 512
const LEAST_SAVING = 16

const { ZSTD_c_compressionLevel, ZSTD_c_hashLog, ZSTD_c_chainLog, ZSTD_c_minMatch, ZSTD_c_windowLog } =
  zlib.constants
const AS_IT_TRAVELS: ZstdParameters = new Map([[ZSTD_c_compressionLevel, WIRE_LEVEL]])

/**
 * One frame of `bytes`, the caller's own, or undefined where it would take more than `maxBytes`. Of less than a tenth more of
 * them nothing is known.
 */
export type Compress = (
  bytes: Uint8Array,
  options: {
    readonly maxBytes: number
    readonly parameters: ZstdParameters
    readonly window?: Uint8Array
  },
) => Promise<Uint8Array | undefined>

export async function encodeRun(
  { targets, lengths, window, efforts }: EncodeJob,
  compress: Compress,
): Promise<EncodedRun> {
  const zstdBytes = await weigh(targets, lengths, compress)
  const maxBytes = Math.floor(Math.min(zstdBytes * WORTH_SHARE, zstdBytes - LEAST_SAVED_BYTES))
  if (maxBytes <= 0 || isDictionaryOfItsOwn(window)) return { frame: undefined, zstdBytes }
  const effort = looksLikeText(targets) ? efforts.text : efforts.binary
  const parameters = new Map([
    [ZSTD_c_compressionLevel, effort.level],
    [ZSTD_c_hashLog, effort.hashLog],
    [ZSTD_c_chainLog, effort.chainLog],
    ...(effort.minMatch === undefined ? [] : [[ZSTD_c_minMatch, effort.minMatch] as const]),
    [ZSTD_c_windowLog, windowLogFor(targets.length + window.length)],
  ])
  return { frame: await compress(targets, { maxBytes, parameters, window }), zstdBytes }
}

/** By a sample: control characters are rare in text of any language, and a fifth of what is none. */
function looksLikeText(bytes: Uint8Array): boolean {
  const step = Math.max(1, Math.floor(bytes.length / SAMPLES))
  let [controls, samples] = [0, 0]
  for (let at = 0; at < bytes.length; at += step) {
    const byte = bytes[at]!
    samples += 1
    if (byte < 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d) controls += 1
  }
  return controls <= samples / 50
}

export function isDictionaryOfItsOwn(window: Uint8Array): boolean {
  if (window.length < 8) return false
  return new DataView(window.buffer, window.byteOffset).getUint32(0, true) === DICTIONARY_MAGIC
}

function windowLogFor(bytes: number): number {
  return Math.min(23, Math.max(17, Math.ceil(Math.log2(bytes))))
}

async function weigh(targets: Uint8Array, lengths: readonly number[], compress: Compress): Promise<number> {
  const step = targets.length <= WEIGHED_BYTES ? 1 : WEIGHED_EACH
  let [at, plainBytes, weighedBytes] = [0, 0, 0]
  for (const [index, length] of lengths.entries()) {
    if (index % step === 0) {
      const block = targets.subarray(at, at + length)
      plainBytes += length
      const maxBytes = Math.floor(length - length / LEAST_SAVING)
      const isTried = length >= SMALLEST_BYTES && !looksRandom(block)
      const frame = isTried ? await compress(block, { maxBytes, parameters: AS_IT_TRAVELS }) : undefined
      weighedBytes += frame?.length ?? length
    }
    at += length
  }
  return Math.round(weighedBytes * (targets.length / plainBytes))
}
