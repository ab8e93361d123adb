/** Reading and writing the fields of a message. All numbers are big-endian and unsigned. A reader never reads past its bytes. */
import { concatBytes, decodeUtf8, utf8 } from '../../base/bytes.ts'
import { MirrorError } from '../../base/errors.ts'
import { isTreeName } from '../../base/names.ts'
import type { Cid } from '../../block/cid.ts'
import { CID_KEY_BYTES, cidFromKeyBytes, cidToKeyBytes } from '../../block/cid.ts'
import { MAX_TREE_NAME_BYTES } from '../limits.ts'

export class FieldReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #what: string
  #at = 0

  /** @param what names the message in errors */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#what = what
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1))
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2))
  }

  u24(): number {
    const at = this.#take(3)
    return (this.#view.getUint8(at) << 16) | this.#view.getUint16(at + 1)
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4))
  }

  /** A view, not a copy. */
  bytes(length: number): Uint8Array {
    const at = this.#take(length)
    return this.#bytes.subarray(at, at + length)
  }

  cid(): Cid {
    return cidFromKeyBytes(this.bytes(CID_KEY_BYTES))
  }

  tree(): string {
    const length = this.u16()
    if (length > MAX_TREE_NAME_BYTES) throw this.#corrupt('a tree name is too long')
    const name = decodeUtf8(this.bytes(length))
    if (!isTreeName(name)) throw this.#corrupt('a tree name is malformed')
    return name
  }

  /** Everything that is left, as a view. */
  rest(): Uint8Array {
    return this.bytes(this.left)
  }

  /** @throws MirrorError `corrupt` when bytes are left over */
  end(): void {
    if (this.left > 0) throw this.#corrupt(`${this.left} bytes too many`)
  }

  #take(length: number): number {
    const at = this.#at
    if (length > this.#bytes.length - at) throw this.#corrupt('it is cut short')
    this.#at += length
    return at
  }

  #corrupt(reason: string): MirrorError {
    return new MirrorError('corrupt', `malformed ${this.#what} message: ${reason}`)
  }
}

export function u8(value: number): Uint8Array {
  return Uint8Array.of(value)
}

export function u16(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value & 0xff)
}

export function u24(value: number): Uint8Array {
  const bytes = new Uint8Array(3)
  putU24(bytes, 0, value)
  return bytes
}

export function putU24(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 16
  bytes[at + 1] = value >>> 8
  bytes[at + 2] = value
}

export function u32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff)
}

export function cidField(cid: Cid): Uint8Array {
  return cidToKeyBytes(cid)
}

/** u16 length and UTF-8. @throws MirrorError `invalid` for what is not a tree's name */
export function treeField(tree: string): Uint8Array {
  if (!isTreeName(tree)) throw new MirrorError('invalid', `not a tree name: ${JSON.stringify(tree)}`)
  const name = utf8(tree)
  return concatBytes([u16(name.length), name])
}
