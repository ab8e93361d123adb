import { decodeUtf8 } from '../base/bytes.ts'
import { MirrorError } from '../base/errors.ts'
import type { Cid } from '../block/cid.ts'
import { cidFromDigest, DAG_CBOR, RAW } from '../block/cid.ts'
import { DIGEST_BYTES } from '../block/hash.ts'

const CID_PREFIX = [0xd8, 0x2a, 0x58, 0x25, 0x00, 0x01, RAW, 0x1e, 0x20] as const
const CODEC_AT = 6

/**
 * Reads canonical dag-cbor of a known shape, front to back. Every length is checked against the bytes that are there
 * before anything is allocated, and each value has exactly one accepted spelling. What it returns shares no memory
 * with the input. All failures are MirrorError `corrupt`, or `limit` for a count or length over the caller's bound.
 */
export class CborReader {
  readonly #bytes: Uint8Array
  readonly #what: () => string
  #at = 0

  /** @param what names the thing that is read; called only for an error's message */
  constructor(bytes: Uint8Array, what: () => string) {
    // A Buffer's slice would share its memory: look at the same bytes as a plain array.
    this.#bytes = Buffer.isBuffer(bytes)
      ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
      : bytes
    this.#what = what
  }

  corrupt(problem: string): MirrorError {
    return new MirrorError('corrupt', `${this.#what()}: ${problem}`)
  }

  /** Number of keys. */
  map(maxKeys: number): number {
    return this.#count(0xa0, maxKeys, 'keys')
  }

  /** Number of items. */
  array(maxItems: number): number {
    return this.#count(0x80, maxItems, 'items')
  }

  /** A key of one ASCII character: its code, which must be greater than `after`. */
  key(after: number): number {
    const character = this.#bytes[this.#at + 1]
    if (this.#bytes[this.#at] !== 0x61 || character === undefined || character > 0x7f) {
      throw this.corrupt('a key of one letter was expected')
    }
    if (character <= after) throw this.corrupt('keys are not in order')
    this.#at += 2
    return character
  }

  /** Exactly this key. */
  expectKey(key: string): void {
    if (this.text(64) !== key) throw this.corrupt(`the key "${key}" was expected`)
  }

  uint(max: number): number {
    const value = this.#head(0x00)
    if (value > max) throw this.#over(`the number ${value}`, max)
    return value
  }

  /** A whole number of up to 53 bits and a sign. */
  int(): number {
    const first = this.#bytes[this.#at]
    if (first === undefined || first >> 5 > 1) throw this.corrupt('a whole number was expected')
    const value = first >> 5 === 0 ? this.#head(0x00) : -1 - this.#head(0x20)
    if (!Number.isSafeInteger(value)) throw this.corrupt('a number has more than 53 bits')
    return value
  }

  bytes(maxBytes: number): Uint8Array {
    const length = this.#head(0x40)
    return this.#take(length, maxBytes).slice()
  }

  text(maxBytes: number): string {
    const length = this.#head(0x60)
    const bytes = this.#take(length, maxBytes)
    if (length < 24) {
      let text = ''
      for (let i = 0; i < length && bytes[i]! < 0x80; i++) text += String.fromCharCode(bytes[i]!)
      if (text.length === length) return text
    }
    const text = decodeUtf8(bytes)
    if (text === undefined) throw this.corrupt('a text is not UTF-8')
    return text
  }

  cid(): Cid {
    const bytes = this.#bytes
    const start = this.#at
    const digestAt = start + CID_PREFIX.length
    if (digestAt + DIGEST_BYTES > bytes.length) throw this.corrupt('a CID is cut short')
    const codec = bytes[start + CODEC_AT]
    for (let i = 0; i < CID_PREFIX.length; i++) {
      if (i !== CODEC_AT && bytes[start + i] !== CID_PREFIX[i]) {
        throw this.corrupt('not a CIDv1 of raw or dag-cbor with blake3-256')
      }
    }
    if (codec !== RAW && codec !== DAG_CBOR) {
      throw this.corrupt('not a CIDv1 of raw or dag-cbor with blake3-256')
    }
    this.#at = digestAt + DIGEST_BYTES
    return cidFromDigest(codec, bytes.subarray(digestAt, this.#at))
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw this.corrupt('bytes follow its end')
  }

  #count(major: number, max: number, unit: string): number {
    const count = this.#head(major)
    if (count > max) throw this.#over(`${count} ${unit}`, max)
    // An item takes a byte at least, a key and its value two.
    if (count * (major === 0xa0 ? 2 : 1) > this.#bytes.length - this.#at)
      throw this.corrupt('it is cut short')
    return count
  }

  #take(length: number, maxBytes: number): Uint8Array {
    if (length > maxBytes) throw this.#over(`${length} bytes`, maxBytes)
    if (length > this.#bytes.length - this.#at) throw this.corrupt('it is cut short')
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  #over(found: string, max: number): MirrorError {
    return new MirrorError('limit', `${this.#what()}: ${found} where ${max} is the most`)
  }

  /** The argument of a head of `major`, in its shortest spelling. */
  #head(major: number): number {
    const bytes = this.#bytes
    const first = bytes[this.#at]
    if (first === undefined) throw this.corrupt('it is cut short')
    if ((first & 0xe0) !== major) throw this.corrupt('a value has another type than expected')
    this.#at++
    const short = first & 0x1f
    if (short < 24) return short
    if (short > 27) throw this.corrupt('a length is not definite')
    const size = 1 << (short - 24)
    if (this.#at + size > bytes.length) throw this.corrupt('it is cut short')
    let value = 0
    for (let i = 0; i < size; i++) value = value * 256 + bytes[this.#at + i]!
    this.#at += size
    const smallest = size === 1 ? 24 : 2 ** (4 * size)
    if (value < smallest || !Number.isSafeInteger(value)) {
      throw this.corrupt('a number is not in its shortest form, or has more than 53 bits')
    }
    return value
  }
}
