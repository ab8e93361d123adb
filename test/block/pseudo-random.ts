/** `length` bytes of xorshift32 from `seed`, the same on every machine: input of golden tests. */
export function pseudoRandomBytes(seed: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = seed | 0 || 1
  for (let i = 0; i < length; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[i] = state >>> 24
  }
  return bytes
}
