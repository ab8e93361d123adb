/** Blocks whose bytes are a function of a seed, so that two processes agree on them. */
import type { Block } from '../../src/block/block.ts'
import { cidOf, DAG_CBOR, RAW } from '../../src/block/cid.ts'

/** A reproducible stream of numbers in [0, 1) (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }
}

export function sampleBytes(seed: number, sizeBytes: number): Uint8Array {
  const random = seededRandom(seed * 7919 + sizeBytes)
  return Uint8Array.from({ length: sizeBytes }, () => Math.floor(random() * 256))
}

export function sampleBlock(seed: number, sizeBytes = 100): Block {
  const bytes = sampleBytes(seed, sizeBytes)
  return { cid: cidOf(seed % 5 === 4 ? DAG_CBOR : RAW, bytes), bytes }
}

/** `count` different blocks of up to `maxBytes` bytes. */
export function sampleBlocks(count: number, maxBytes = 300, firstSeed = 0): Block[] {
  return Array.from({ length: count }, (_, i) => {
    const seed = firstSeed + i
    return sampleBlock(seed, 8 + Math.floor(seededRandom(seed)() * (maxBytes - 8)))
  })
}
