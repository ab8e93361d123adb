import { utf8 } from '../base/bytes.ts'
import type { Cid } from '../block/cid.ts'
import { RAW } from '../block/cid.ts'

/**
 * Appends canonical dag-cbor to a growing buffer. The library's encoder walks objects at about 100,000 entries a
 * second; directories of 100,000 entries need more. A test compares every node with what the library writes.
 * Callers write the keys of a map in canonical order (shorter first, then by bytes).
 */
export class CborWriter {
  #bytes: Uint8Array
  #length = 0

  constructor(capacityBytes = 1024) {
    this.#bytes = new Uint8Array(capacityBytes)
  }

  get length(): number {
    return this.#length
  }

  clear(): void {
    this.#length = 0
  }

  /** What was written, valid until the next write. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  /** A copy of what was written. */
  copy(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }

  map(keys: number): void {
    this.#head(0xa0, keys)
  }

  array(items: number): void {
    this.#head(0x80, items)
  }

  /** A key of one ASCII character, by its code. */
  key(character: number): void {
    this.#reserve(2)
    this.#bytes[this.#length++] = 0x61
    this.#bytes[this.#length++] = character
  }

  int(value: number): void {
    if (value < 0) this.#head(0x20, -1 - value)
    else this.#head(0x00, value)
  }

  bytes(value: Uint8Array): void {
    this.#head(0x40, value.length)
    this.raw(value)
  }

  text(value: string): void {
    this.#reserve(value.length + 9)
    const start = this.#length
    if (value.length < 24) {
      // Names of users, groups and types are short ASCII: no encoder is called for them.
      let at = start + 1
      for (let i = 0; i < value.length; i++) {
        const code = value.charCodeAt(i)
        if (code > 0x7f) break
        this.#bytes[at++] = code
      }
      if (at === start + 1 + value.length) {
        this.#bytes[start] = 0x60 + value.length
        this.#length = at
        return
      }
    }
    const encoded = utf8(value)
    this.#head(0x60, encoded.length)
    this.raw(encoded)
  }

  /** Tag 42 over the identity prefix and the 36 bytes of a CID of ours. */
  cid(value: Cid): void {
    this.#reserve(41)
    const bytes = this.#bytes
    const at = this.#length
    bytes[at] = 0xd8
    bytes[at + 1] = 0x2a
    bytes[at + 2] = 0x58
    bytes[at + 3] = 0x25
    bytes[at + 4] = 0x00
    bytes[at + 5] = 0x01
    bytes[at + 6] = value.code === RAW ? 0x55 : 0x71
    bytes[at + 7] = 0x1e
    bytes[at + 8] = 0x20
    bytes.set(value.multihash.digest, at + 9)
    this.#length = at + 41
  }

  /** Bytes as they are: an item that is encoded already, or the content after a head. */
  raw(value: Uint8Array): void {
    this.#reserve(value.length)
    this.#bytes.set(value, this.#length)
    this.#length += value.length
  }

  byte(value: number): void {
    this.#reserve(1)
    this.#bytes[this.#length++] = value
  }

  uint32(value: number): void {
    this.#reserve(4)
    this.#bytes[this.#length++] = value >>> 24
    this.#bytes[this.#length++] = value >>> 16
    this.#bytes[this.#length++] = value >>> 8
    this.#bytes[this.#length++] = value
  }

  /** The head of a byte string whose content follows through `raw`. */
  bytesHead(length: number): void {
    this.#head(0x40, length)
  }

  #head(major: number, value: number): void {
    this.#reserve(9)
    const bytes = this.#bytes
    if (value < 24) {
      bytes[this.#length++] = major | value
    } else if (value < 0x100) {
      bytes[this.#length++] = major | 24
      bytes[this.#length++] = value
    } else if (value < 0x1_0000) {
      bytes[this.#length++] = major | 25
      bytes[this.#length++] = value >>> 8
      bytes[this.#length++] = value
    } else if (value < 0x1_0000_0000) {
      bytes[this.#length++] = major | 26
      this.uint32(value)
    } else {
      bytes[this.#length++] = major | 27
      this.uint32(Math.floor(value / 0x1_0000_0000))
      this.uint32(value >>> 0)
    }
  }

  #reserve(moreBytes: number): void {
    const needed = this.#length + moreBytes
    if (needed <= this.#bytes.length) return
    const larger = new Uint8Array(Math.max(needed, 2 * this.#bytes.length))
    larger.set(this.view())
    this.#bytes = larger
  }
}
