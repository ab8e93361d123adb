// The inner loop of the chunker, in AssemblyScript. Compiled to chunker.wasm by
//   npx asc --config src/block/chunker-wasm/asconfig.json
// and committed; test/block/chunker-wasm.test.ts compiles it again and compares the bytes.
//
// The hash after byte b is h = 2h + gear[b] (mod 2^64), so it depends on the last 64 bytes alone: the highest bit on
// all of them, the lowest on one. A cut is where the highest bits are all zero, which is one unsigned compare.
// Two bytes a step: the step from h to 4h + 2 gear[a] + gear[b] keeps the chain of dependent operations at one shift
// and one add for two bytes (Xia et al., "The Design of Fast Content-Defined Chunking", IEEE TPDS 2020, section 4).

/** gear[256], then 2 * gear[256]. */
const GEAR: usize = 1024
const GEAR_TWICE: usize = GEAR + 256 * 8
/** First byte of the window that the host reads files into: the second page of the memory. */
export const WINDOW: u32 = 65536
const HASH_BYTES: u32 = 64

/** Fills the table with 256 outputs of SplitMix64 (Steele, Lea, Flood 2014). */
export function prepare(seed: u64): void {
  let state = seed
  for (let i: u32 = 0; i < 256; i++) {
    state += 0x9e3779b97f4a7c15
    let z = state
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb
    z = z ^ (z >> 31)
    store<u64>(GEAR + (i << 3), z)
    store<u64>(GEAR_TWICE + (i << 3), z << 1)
  }
}

// @ts-ignore: decorator of AssemblyScript
@inline
function gear(at: usize): u64 {
  return load<u64>(GEAR + (<usize>load<u8>(at) << 3))
}

// @ts-ignore: decorator of AssemblyScript
@inline
function gearTwice(at: usize): u64 {
  return load<u64>(GEAR_TWICE + (<usize>load<u8>(at) << 3))
}

let hash: u64 = 0

/** Runs over [at, stop) from `hash`; the address after the byte where the hash fell under `limit`, or 0. */
// @ts-ignore: decorator of AssemblyScript
@inline
function scan(from: usize, stop: usize, limit: u64): usize {
  let h = hash
  let at = from
  while (at + 8 <= stop) {
    let odd = (h << 1) + gear(at)
    if (odd < limit) return at + 1
    h = (h << 2) + (gearTwice(at) + gear(at + 1))
    if (h < limit) return at + 2
    odd = (h << 1) + gear(at + 2)
    if (odd < limit) return at + 3
    h = (h << 2) + (gearTwice(at + 2) + gear(at + 3))
    if (h < limit) return at + 4
    odd = (h << 1) + gear(at + 4)
    if (odd < limit) return at + 5
    h = (h << 2) + (gearTwice(at + 4) + gear(at + 5))
    if (h < limit) return at + 6
    odd = (h << 1) + gear(at + 6)
    if (odd < limit) return at + 7
    h = (h << 2) + (gearTwice(at + 6) + gear(at + 7))
    if (h < limit) return at + 8
    at += 8
  }
  while (at < stop) {
    h = (h << 1) + gear(at)
    at++
    if (h < limit) return at
  }
  hash = h
  return 0
}

/**
 * Length of the first chunk of the window's [start, end), or 0 when the bytes do not decide it.
 * A chunk of at least `min` bytes ends where the hash has `strictBits` leading zeros, from `normal` bytes on
 * `looseBits`; at `max` bytes in any case; and at the end of the content.
 */
export function cut(
  start: u32,
  end: u32,
  isEnd: bool,
  min: u32,
  normal: u32,
  max: u32,
  strictBits: u32,
  looseBits: u32,
): u32 {
  const available = end - start
  if (available < min) return isEnd ? available : 0
  const base: usize = WINDOW + start
  // The 64 bytes that end the minimum are hashed first, so a cut depends on content alone, not on the chunk's start.
  hash = 0
  for (let i: u32 = min - HASH_BYTES; i < min - 1; i++) hash = (hash << 1) + gear(base + i)
  let at = scan(base + min - 1, base + (normal < available ? normal : available), (<u64>1) << (64 - strictBits))
  if (at == 0 && available > normal) {
    at = scan(base + normal, base + (max < available ? max : available), (<u64>1) << (64 - looseBits))
  }
  if (at != 0) return <u32>(at - base)
  if (available >= max) return max
  return isEnd ? available : 0
}
