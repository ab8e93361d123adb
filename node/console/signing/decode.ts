/**
 * Decoding of what an admin is asked to sign with others: the payload of a record, in the page, so that what is shown is
 * what is signed, whatever the node says of it. Only the canonical form is accepted: one meaning has one form.
 */
import { compareBytes, encodeCbor, Link, type Value } from './encode.ts'

const MAX_BYTES = 64 * 1024
const MAX_DEPTH = 16
const textDecoder = new TextDecoder('utf-8', { fatal: true })

/** @throws RangeError when it is not one value in canonical dag-cbor */
export function decodeCbor(bytes: Uint8Array): Value {
  if (bytes.length > MAX_BYTES) throw new RangeError('it is too large')
  const at = { bytes, offset: 0 }
  const value = read(at, 0)
  if (at.offset !== bytes.length) throw new RangeError('something stands after its end')
  if (compareBytes(encodeCbor(value), bytes) !== 0) throw new RangeError('it is not in canonical form')
  return value
}

interface Reader {
  readonly bytes: Uint8Array
  offset: number
}

function read(at: Reader, depth: number): Value {
  if (depth > MAX_DEPTH) throw new RangeError('it is too deep')
  const first = take(at, 1)[0]!
  const major = first >> 5
  if (first === 0xf4 || first === 0xf5) return first === 0xf5
  if (first === 0xf6) return null
  const count = readCount(at, first & 0x1f)
  switch (major) {
    case 0:
      return count
    case 1:
      return -1 - count
    case 2:
      return take(at, count).slice()
    case 3:
      return textDecoder.decode(take(at, count))
    case 4: {
      const list: Value[] = []
      // Each takes a byte at least, so the list is as long as what is there, whatever its head says.
      for (let i = 0; i < count; i++) list.push(read(at, depth + 1))
      return list
    }
    case 5: {
      const map: Record<string, Value> = Object.create(null) as Record<string, Value>
      for (let i = 0; i < count; i++) {
        const key = read(at, depth + 1)
        if (typeof key !== 'string' || key in map) throw new RangeError('a key of a map is wrong')
        map[key] = read(at, depth + 1)
      }
      return map
    }
    case 6: {
      const bytes = read(at, depth + 1)
      if (count !== 42 || !(bytes instanceof Uint8Array) || bytes[0] !== 0)
        throw new RangeError('it has a tag other than that of a CID')
      return new Link(bytes.slice(1))
    }
    default:
      throw new RangeError('it holds what no record does')
  }
}

function readCount(at: Reader, low: number): number {
  if (low < 24) return low
  if (low > 27) throw new RangeError('it has a length that is not known')
  const size = 2 ** (low - 24)
  let count = 0
  for (const byte of take(at, size)) count = count * 256 + byte
  if (!Number.isSafeInteger(count)) throw new RangeError('it holds a number that is too large')
  return count
}

function take(at: Reader, count: number): Uint8Array {
  const end = at.offset + count
  if (end > at.bytes.length) throw new RangeError('it ends too early')
  const part = at.bytes.subarray(at.offset, end)
  at.offset = end
  return part
}
