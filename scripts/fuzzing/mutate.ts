/**
 * Changes of what is sound: of bytes, and of what a dag-cbor value says, so that a decoder is led past its first checks.
 * All from one seed, so that what was found is found again.
 */
import * as dagCbor from '@ipld/dag-cbor'
import { CID } from 'multiformats/cid'

export interface Random {
  /** Uniform in 0 to `below` - 1. */
  int(below: number): number
  pick<T>(from: readonly T[]): T
}

/** Mulberry32. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  const int = (below: number): number => Math.floor(next() * below)
  return { int, pick: (from) => from[int(from.length)]! }
}

/** Heads that promise much, and values that a strict decoder must not take. */
const TOKENS = [
  [0x9b, 0, 0x1f, 255, 255, 255, 255, 255, 255],
  [0xbb, 255, 255, 255, 255, 255, 255, 255, 255],
  [0x5a, 255, 255, 255, 255],
  [0x9f],
  [0xf6],
  [0xfb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
  [0x18, 0x01],
  [0x00],
  [0xff],
] as const

const NUMBERS = [0, 1, -1, 63, 64, 65, 1023, 1024, 1025, 4096, 2 ** 31, 2 ** 32, 2 ** 53 - 1, -(2 ** 53 - 1)]

export function mutateBytes(random: Random, seed: Uint8Array): Uint8Array {
  const at = random.int(seed.length + 1)
  const [head, tail] = [seed.subarray(0, at), seed.subarray(at)]
  const some = Uint8Array.from(
    random.int(2) === 0
      ? random.pick(TOKENS)
      : Array.from({ length: 1 + random.int(8) }, () => random.int(256)),
  )
  switch (random.int(6)) {
    case 0:
      return seed.slice(0, at)
    case 1:
      return Buffer.concat([head, some, tail])
    case 2:
      return Buffer.concat([head, tail.subarray(some.length)])
    case 3:
      return Buffer.concat([head, seed.subarray(0, random.int(64)), tail])
    case 4: {
      const bytes = Uint8Array.from(seed)
      if (bytes.length > 0) bytes[random.int(bytes.length)]! ^= 1 << random.int(8)
      return bytes
    }
    default:
      return Buffer.concat([head, some, tail.subarray(some.length)])
  }
}

/** The same node with something else in one place, in canonical form again. */
export function mutateNode(random: Random, seed: Uint8Array): Uint8Array {
  const value = change(random, dagCbor.decode(seed), 1 + random.int(12))
  return Uint8Array.from(dagCbor.encode(value))
}

function change(random: Random, value: unknown, depth: number): unknown {
  if (Array.isArray(value)) {
    const items: unknown[] = value
    const at = random.int(Math.max(1, items.length))
    const kind = items.length === 0 ? 3 : random.int(depth > 0 ? 8 : 4)
    if (kind === 0) return items.toSpliced(at, 1)
    if (kind === 1) return items.toSpliced(at, 0, items[at])
    if (kind === 2) return items.toReversed()
    if (kind === 3) return [...items, ...items, random.pick(NUMBERS)]
    return items.with(at, change(random, items[at], depth - 1))
  }
  if (CID.asCID(value) !== null) return random.pick<unknown>([null, value, 1, new Uint8Array(36)])
  if (value instanceof Uint8Array) return mutateBytes(random, value)
  if (typeof value === 'number') return random.pick([...NUMBERS, value + 1, value * 2])
  if (typeof value === 'string') return random.pick(['', `${value}x`, value.toUpperCase(), '../..', 'a/b'])
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value)
    if (entries.length === 0) return { some: random.pick(NUMBERS) }
    const [key, item] = random.pick(entries)
    const kind = random.int(8)
    if (kind === 0) return Object.fromEntries(entries.filter(([name]) => name !== key))
    if (kind === 1) return { ...value, [`${key}2`]: item }
    return { ...value, [key]: change(random, item, depth - 1) }
  }
  return random.pick<unknown>([0, '', [], {}, null])
}
