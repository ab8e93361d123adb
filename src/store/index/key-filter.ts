/**
 * A Bloom filter over block keys: says "not in it" only of keys that were never added, and "in it" now and then of
 * others. For a collection that is the right way round: what it cannot tell stays.
 *
 * Digests are uniform but not chosen by us. A salt drawn for each filter keeps a peer from making blocks that collide,
 * and makes what one run kept by chance go with the next.
 */
import { randomBytes } from 'node:crypto'

export interface KeyFilter {
  /** @param key the 33 bytes of `cidToKeyBytes` */
  add(key: Uint8Array): void
  mayHave(key: Uint8Array): boolean
  /** How often something was added. */
  readonly added: number
  readonly sizeBytes: number
}

/** Ten bits and seven probes a key: 0.8 % of what is not in it seems to be. */
const BITS_PER_KEY = 10
const PROBES = 7
const MIN_BYTES = 8 * 1024
/** Over 100 million keys; beyond that more is kept by chance, and nothing else changes. */
const MAX_BYTES = 128 * 1024 * 1024

export function createKeyFilter({
  capacity,
  salt = randomBytes(16),
}: {
  readonly capacity: number
  readonly salt?: Uint8Array
}): KeyFilter {
  const wanted = Math.ceil((capacity * BITS_PER_KEY) / 8 / 4) * 4
  const sizeBytes = Math.min(MAX_BYTES, Math.max(MIN_BYTES, wanted))
  const words = new Uint32Array(sizeBytes / 4)
  const bits = sizeBytes * 8
  const saltA = wordAt(salt, 0)
  const saltB = wordAt(salt, 4)
  const saltC = wordAt(salt, 8)
  const saltD = wordAt(salt, 12)
  let added = 0
  let first = 0
  let step = 0

  /** Two hashes give all probes (Kirsch and Mitzenmacher, "Less Hashing, Same Performance", 2006). */
  function hash(key: Uint8Array): void {
    const codec = Math.imul(key[0]!, 0x9e3779b1)
    first = mix(mix(wordAt(key, 1) ^ saltA) ^ wordAt(key, 5) ^ saltB ^ codec)
    step = mix(mix(wordAt(key, 9) ^ saltC) ^ wordAt(key, 13) ^ saltD) | 1
  }

  return {
    add(key) {
      hash(key)
      added += 1
      for (let probe = 0; probe < PROBES; probe++) {
        const bit = (first >>> 0) % bits
        words[bit >>> 5]! |= 1 << (bit & 31)
        first = (first + step) | 0
      }
    },
    mayHave(key) {
      hash(key)
      for (let probe = 0; probe < PROBES; probe++) {
        const bit = (first >>> 0) % bits
        if ((words[bit >>> 5]! & (1 << (bit & 31))) === 0) return false
        first = (first + step) | 0
      }
      return true
    },
    get added() {
      return added
    },
    sizeBytes,
  }
}

/** The finaliser of MurmurHash3. */
function mix(word: number): number {
  let mixed = word ^ (word >>> 16)
  mixed = Math.imul(mixed, 0x85ebca6b)
  mixed ^= mixed >>> 13
  mixed = Math.imul(mixed, 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
}
