/**
 * The encodings that a record is made of, as the node's own have them (docs/formats.md, Records): dag-cbor in its one
 * canonical form, CIDs in base32, PeerIds in base58. Encoding only, of values that this page made: what others made is
 * decoded at the node.
 */

/** A CID within a value: its bytes, without the multibase prefix. */
export class Link {
  readonly bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
}

export type Value =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | Link
  | readonly Value[]
  | { readonly [key: string]: Value }

const MAJOR = { unsigned: 0, negative: 1, bytes: 2, text: 3, list: 4, map: 5, tag: 6 } as const
const CID_TAG = 42
const textEncoder = new TextEncoder()

/** @throws RangeError for numbers that are not whole: no record holds any */
export function encodeCbor(value: Value): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = []
  write(value, parts)
  return joined(parts)
}

function write(value: Value, out: Uint8Array[]): void {
  if (value === null) out.push(Uint8Array.of(0xf6))
  else if (typeof value === 'boolean') out.push(Uint8Array.of(value ? 0xf5 : 0xf4))
  else if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw new RangeError(`not a whole number: ${value}`)
    out.push(value >= 0 ? head(MAJOR.unsigned, value) : head(MAJOR.negative, -1 - value))
  } else if (typeof value === 'string') {
    const bytes = textEncoder.encode(value)
    out.push(head(MAJOR.text, bytes.length), bytes)
  } else if (value instanceof Uint8Array) out.push(head(MAJOR.bytes, value.length), value)
  else if (value instanceof Link) {
    out.push(
      head(MAJOR.tag, CID_TAG),
      head(MAJOR.bytes, value.bytes.length + 1),
      Uint8Array.of(0),
      value.bytes,
    )
  } else if (Array.isArray(value)) {
    out.push(head(MAJOR.list, value.length))
    for (const each of value as readonly Value[]) write(each, out)
  } else writeMap(value as Readonly<Record<string, Value>>, out)
}

/** Keys by length, then by bytes (DAG-CBOR specification, strictness). */
function writeMap(map: Readonly<Record<string, Value>>, out: Uint8Array[]): void {
  const keys = Object.keys(map)
    .map((key) => ({ key, bytes: textEncoder.encode(key) }))
    .toSorted((a, b) => a.bytes.length - b.bytes.length || compareBytes(a.bytes, b.bytes))
  out.push(head(MAJOR.map, keys.length))
  for (const { key, bytes } of keys) {
    out.push(head(MAJOR.text, bytes.length), bytes)
    write(map[key]!, out)
  }
}

function head(major: number, count: number): Uint8Array {
  const first = major << 5
  if (count < 24) return Uint8Array.of(first | count)
  if (count < 0x100) return Uint8Array.of(first | 24, count)
  const bytes = new Uint8Array(count < 0x1_0000 ? 3 : count < 0x1_0000_0000 ? 5 : 9)
  const view = new DataView(bytes.buffer)
  bytes[0] = first | (bytes.length === 3 ? 25 : bytes.length === 5 ? 26 : 27)
  if (bytes.length === 3) view.setUint16(1, count)
  else if (bytes.length === 5) view.setUint32(1, count)
  else view.setBigUint64(1, BigInt(count))
  return bytes
}

export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i]! - b[i]!
  return a.length - b.length
}

export function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567'

/** @throws RangeError when `text` is not a CID in base32 */
export function linkOf(text: string): Link {
  if (!/^b[a-z2-7]{20,120}$/.test(text)) throw new RangeError(`not a CID: ${text.slice(0, 80)}`)
  const bytes: number[] = []
  let bits = 0
  let held = 0
  for (const letter of text.slice(1)) {
    held = (held << 5) | BASE32.indexOf(letter)
    bits += 5
    if (bits < 8) continue
    bits -= 8
    bytes.push((held >> bits) & 0xff)
    held &= (1 << bits) - 1
  }
  return new Link(Uint8Array.from(bytes))
}

export function linkText({ bytes }: Link): string {
  let text = 'b'
  let bits = 0
  let held = 0
  for (const byte of bytes) {
    held = (held << 8) | byte
    for (bits += 8; bits >= 5; bits -= 5) text += BASE32[(held >> (bits - 5)) & 31]
    held &= (1 << bits) - 1
  }
  return bits === 0 ? text : text + BASE32[(held << (5 - bits)) & 31]
}

const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
/** Identity multihash of a libp2p key that is Ed25519's: what stands before the 32 bytes of the public key. */
const PEER_PREFIX = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20]

/** The public key that a PeerId names. @throws RangeError when it names none of Ed25519 */
export function publicKeyOf(peer: string): Uint8Array<ArrayBuffer> {
  const wrong = (): RangeError => new RangeError(`not the PeerId of an Ed25519 key: ${peer.slice(0, 80)}`)
  if (!/^[1-9A-HJ-NP-Za-km-z]{50,56}$/.test(peer)) throw wrong()
  let number = 0n
  for (const letter of peer) number = number * 58n + BigInt(BASE58.indexOf(letter))
  const bytes = new Uint8Array(38)
  for (let i = bytes.length - 1; i >= 0; i--) {
    bytes[i] = Number(number & 0xffn)
    number >>= 8n
  }
  if (number !== 0n || PEER_PREFIX.some((byte, i) => bytes[i] !== byte)) throw wrong()
  return bytes.slice(PEER_PREFIX.length)
}

/** The PeerId of a public key. */
export function peerOf(publicKey: Uint8Array): string {
  let number = 0n
  for (const byte of [...PEER_PREFIX, ...publicKey]) number = number * 256n + BigInt(byte)
  let text = ''
  for (; number > 0n; number /= 58n) text = BASE58[Number(number % 58n)]! + text
  // The prefix begins with one byte of zero.
  return `1${text}`
}

/** Also of the URL's alphabet; padding or none. */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (letter) =>
    letter.charCodeAt(0),
  )
}

export function toBase64(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return btoa(text)
}

export function toBase64Url(bytes: Uint8Array): string {
  return toBase64(bytes).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
}
