/**
 * The messages of a reconciliation.
 *
 * | offset | size | field |
 * |---|---|---|
 * | 0 | 1 | version: 1 |
 * | 1 | 4 | how many of the ranges asked about are answered, in their order; 0 from the initiator |
 * | 5 | ... | items, rising, not overlapping |
 *
 * An item: mode (1), lower bound, upper bound, payload. A bound: length 0-32 (1), then that many bytes; ids at or above
 * `lower` and below `upper` are in the range; a shorter bound sorts before what it begins. Length 255 is the end of all
 * ids, as an upper bound only.
 *
 * | mode | name | payload |
 * |---|---|---|
 * | 1 | fingerprint | 16 bytes |
 * | 2 | list | count (4), ids of the sender in the range (32 each, rising) |
 * | 3 | answer | how many ids the list had within this range (4); that many bits, lowest first, 1 = "I lack it"; count (4), ids that the list lacks (32 each, rising) |
 *
 * Integers are big-endian. Worked example, an initiator that has nothing: `01 00000000 02 00 ff 00000000`.
 */
import { compareBytes } from '../base/bytes.ts'
import { MirrorError } from '../base/errors.ts'

export const MAX_RECONCILE_BYTES = 256 * 1024
export const ID_BYTES = 32
export const FINGERPRINT_BYTES = 16

/** Null is above all ids. */
export type Bound = Uint8Array | null

export type Item =
  | {
      readonly mode: 'fingerprint'
      readonly lower: Bound
      readonly upper: Bound
      readonly fingerprint: Uint8Array
    }
  | {
      readonly mode: 'list'
      readonly lower: Bound
      readonly upper: Bound
      readonly ids: readonly Uint8Array[]
    }
  | {
      readonly mode: 'answer'
      readonly lower: Bound
      readonly upper: Bound
      readonly asked: number
      readonly isLacked: (index: number) => boolean
      readonly ids: readonly Uint8Array[]
    }

const VERSION = 1
const HEADER_BYTES = 5
const MODES = { fingerprint: 1, list: 2, answer: 3 } as const
const END = 255

export function compareBounds(a: Bound, b: Bound): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1
  return compareBytes(a, b)
}

export function itemBytes(item: Item): number {
  const frame = 1 + boundBytes(item.lower) + boundBytes(item.upper)
  if (item.mode === 'fingerprint') return frame + FINGERPRINT_BYTES
  const ids = 4 + item.ids.length * ID_BYTES
  return item.mode === 'list' ? frame + ids : frame + 4 + Math.ceil(item.asked / 8) + ids
}

/** Most bytes that an answer to a list of `asked` ids takes, besides its own ids. */
export function answerBytes(asked: number): number {
  return 1 + 2 * (1 + ID_BYTES) + 8 + Math.ceil(asked / 8)
}

export interface MessageWriter {
  add(item: Item): void
  setAnswered(count: number): void
  sizeBytes(): number
  finish(): Uint8Array
}

export function beginMessage(answered: number): MessageWriter {
  const items: Item[] = []
  let size = HEADER_BYTES
  let count = answered
  return {
    add(item) {
      items.push(item)
      size += itemBytes(item)
    },
    setAnswered(value) {
      count = value
    },
    sizeBytes: () => size,
    finish() {
      const bytes = new Uint8Array(size)
      const view = new DataView(bytes.buffer)
      bytes[0] = VERSION
      view.setUint32(1, count)
      let offset = HEADER_BYTES
      for (const item of items) offset = writeItem(bytes, view, offset, item)
      return bytes
    },
  }
}

/** @throws MirrorError `corrupt`, `limit`, or `unsupported` for another version */
export function readMessage(bytes: Uint8Array): { answered: number; items: Item[] } {
  if (bytes.length > MAX_RECONCILE_BYTES)
    throw new MirrorError('limit', 'a reconciliation message is too large')
  const reader = createReader(bytes)
  const version = reader.byte()
  if (version !== VERSION) throw new MirrorError('unsupported', `reconciliation of version ${version}`)
  const answered = reader.count()
  const items: Item[] = []
  let previous: Bound = new Uint8Array(0)
  while (!reader.isAtEnd()) {
    const item = readItem(reader)
    if (compareBounds(item.lower, previous) < 0 || compareBounds(item.lower, item.upper) >= 0) {
      throw corrupt('its ranges do not rise')
    }
    previous = item.upper
    items.push(item)
  }
  return { answered, items }
}

function writeItem(bytes: Uint8Array, view: DataView, start: number, item: Item): number {
  let offset = start
  bytes[offset++] = MODES[item.mode]
  offset = writeBound(bytes, offset, item.lower)
  offset = writeBound(bytes, offset, item.upper)
  if (item.mode === 'fingerprint') {
    bytes.set(item.fingerprint, offset)
    return offset + FINGERPRINT_BYTES
  }
  if (item.mode === 'answer') {
    view.setUint32(offset, item.asked)
    offset += 4
    for (let i = 0; i < item.asked; i++) if (item.isLacked(i)) bytes[offset + (i >> 3)]! |= 1 << (i & 7)
    offset += Math.ceil(item.asked / 8)
  }
  view.setUint32(offset, item.ids.length)
  offset += 4
  for (const id of item.ids) {
    bytes.set(id, offset)
    offset += ID_BYTES
  }
  return offset
}

function writeBound(bytes: Uint8Array, offset: number, bound: Bound): number {
  bytes[offset] = bound === null ? END : bound.length
  if (bound === null) return offset + 1
  bytes.set(bound, offset + 1)
  return offset + 1 + bound.length
}

function boundBytes(bound: Bound): number {
  return 1 + (bound?.length ?? 0)
}

function readItem(reader: Reader): Item {
  const mode = reader.byte()
  const lower = readBound(reader)
  const upper = readBound(reader)
  if (lower === null) throw corrupt('a range begins at the end')
  if (mode === MODES.fingerprint) {
    return { mode: 'fingerprint', lower, upper, fingerprint: reader.take(FINGERPRINT_BYTES) }
  }
  if (mode === MODES.list) return { mode: 'list', lower, upper, ids: readIds(reader, lower, upper) }
  if (mode !== MODES.answer) throw corrupt(`it has an item of mode ${mode}`)
  const asked = reader.count()
  const bits = reader.take(Math.ceil(asked / 8))
  const isLacked = (index: number): boolean => ((bits[index >> 3] ?? 0) & (1 << (index & 7))) !== 0
  return { mode: 'answer', lower, upper, asked, isLacked, ids: readIds(reader, lower, upper) }
}

function readBound(reader: Reader): Bound {
  const length = reader.byte()
  if (length === END) return null
  if (length > ID_BYTES) throw corrupt('a bound is longer than an id')
  return reader.take(length)
}

function readIds(reader: Reader, lower: Bound, upper: Bound): Uint8Array[] {
  const count = reader.count()
  // One slice for all: checked against what is left before anything is made of it.
  const bytes = reader.take(count * ID_BYTES)
  const ids: Uint8Array[] = []
  for (let i = 0; i < count; i++) {
    const id = bytes.slice(i * ID_BYTES, (i + 1) * ID_BYTES)
    const before = ids.at(-1)
    if (before !== undefined && compareBytes(before, id) >= 0) throw corrupt('its ids do not rise')
    if (compareBounds(id, lower) < 0 || compareBounds(id, upper) >= 0)
      throw corrupt('an id is outside its range')
    ids.push(id)
  }
  return ids
}

interface Reader {
  byte(): number
  count(): number
  take(lengthBytes: number): Uint8Array
  isAtEnd(): boolean
}

function createReader(bytes: Uint8Array): Reader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let offset = 0
  function take(lengthBytes: number): Uint8Array {
    if (lengthBytes > bytes.length - offset) throw corrupt('it ends early')
    offset += lengthBytes
    return bytes.subarray(offset - lengthBytes, offset)
  }
  return {
    byte: () => take(1)[0]!,
    count() {
      take(4)
      return view.getUint32(offset - 4)
    },
    take,
    isAtEnd: () => offset === bytes.length,
  }
}

function corrupt(problem: string): MirrorError {
  return new MirrorError('corrupt', `a reconciliation message is wrong: ${problem}`)
}
