/**
 * BLAKE3-256 of at most 64 bytes (specification, section 2): one block of one chunk, which is all that the hash of an
 * invite's secret takes.
 */

const IV = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19]
const PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]
const BLOCK_BYTES = 64
/** CHUNK_START, CHUNK_END and ROOT. */
const FLAGS = 1 | 2 | 8
const ROUNDS = 7

/** @throws RangeError for more than one block */
export function blake3OfBlock(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  if (bytes.length > BLOCK_BYTES) throw new RangeError(`${bytes.length} bytes are more than a block`)
  const block = new DataView(new ArrayBuffer(BLOCK_BYTES))
  for (const [i, byte] of bytes.entries()) block.setUint8(i, byte)
  let words = Array.from({ length: 16 }, (_, i) => block.getUint32(4 * i, true))
  const v = Uint32Array.from([...IV, ...IV.slice(0, 4), 0, 0, bytes.length, FLAGS])
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, [a, b, c, d]] of QUARTERS.entries())
      quarter(v, a, b, c, d, words[2 * i]!, words[2 * i + 1]!)
    words = PERMUTATION.map((from) => words[from]!)
  }
  const out = new DataView(new ArrayBuffer(32))
  for (let i = 0; i < 8; i++) out.setUint32(4 * i, v[i]! ^ v[i + 8]!, true)
  return new Uint8Array(out.buffer)
}

/** Columns, then diagonals. */
const QUARTERS = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
] as const

function quarter(v: Uint32Array, a: number, b: number, c: number, d: number, x: number, y: number): void {
  v[a] = v[a]! + v[b]! + x
  v[d] = turned(v[d]! ^ v[a]!, 16)
  v[c] = v[c]! + v[d]!
  v[b] = turned(v[b]! ^ v[c]!, 12)
  v[a] = v[a]! + v[b]! + y
  v[d] = turned(v[d]! ^ v[a]!, 8)
  v[c] = v[c]! + v[d]!
  v[b] = turned(v[b]! ^ v[c]!, 7)
}

function turned(word: number, by: number): number {
  return (word >>> by) | (word << (32 - by))
}
