/**
 * scrypt (RFC 7914), which WebCrypto lacks: its two PBKDF2 steps are WebCrypto's, the mixing between them is here. For the
 * passphrase of a key file; the page is given a breath now and then, so that it does not seem dead meanwhile.
 */

export interface ScryptCost {
  readonly n: number
  readonly r: number
  readonly p: number
}

/** 128 * n * r bytes: what a key file may ask of this page. */
const MAX_MEMORY_BYTES = 512 * 1024 * 1024
const BREATH_MS = 60

/** @throws RangeError for a cost that is malformed or asks for too much */
export async function scrypt(
  passphrase: string,
  salt: Uint8Array<ArrayBuffer>,
  { n, r, p }: ScryptCost,
  length = 32,
): Promise<Uint8Array<ArrayBuffer>> {
  const isWhole = (one: number, most: number): boolean => Number.isSafeInteger(one) && one >= 1 && one <= most
  if (!isWhole(n, 2 ** 22) || n < 2 || (n & (n - 1)) !== 0 || !isWhole(r, 32) || !isWhole(p, 16))
    throw new RangeError('the cost of the passphrase is malformed')
  if (128 * n * r > MAX_MEMORY_BYTES)
    throw new RangeError('the passphrase takes more memory than this page has')
  const password = new TextEncoder().encode(passphrase)
  const blocks = await pbkdf2(password, salt, p * 128 * r)
  const words = new Int32Array(32 * r)
  const view = new DataView(blocks.buffer)
  for (let i = 0; i < p; i++) {
    const at = i * 128 * r
    for (let w = 0; w < words.length; w++) words[w] = view.getInt32(at + 4 * w, true)
    await mix(words, n, r)
    for (let w = 0; w < words.length; w++) view.setInt32(at + 4 * w, words[w]!, true)
  }
  return pbkdf2(password, blocks, length)
}

async function pbkdf2(
  password: Uint8Array<ArrayBuffer>,
  salt: Uint8Array<ArrayBuffer>,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const key = await crypto.subtle.importKey('raw', password, 'PBKDF2', false, ['deriveBits'])
  const bits = await crypto.subtle.deriveBits(
    { name: 'PBKDF2', hash: 'SHA-256', salt, iterations: 1 },
    key,
    length * 8,
  )
  return new Uint8Array(bits)
}

async function mix(words: Int32Array, n: number, r: number): Promise<void> {
  const width = 32 * r
  const table = new Int32Array(n * width)
  const spare = new Int32Array(width)
  let breathedMs = performance.now()
  const breathe = async (i: number): Promise<void> => {
    if ((i & 0x3ff) !== 0 || performance.now() - breathedMs < BREATH_MS) return
    await new Promise((resolve) => setTimeout(resolve))
    breathedMs = performance.now()
  }
  for (let i = 0; i < n; i++) {
    table.set(words, i * width)
    blockMix(words, spare, r)
    await breathe(i)
  }
  for (let i = 0; i < n; i++) {
    const at = (words[width - 16]! & (n - 1)) * width
    for (let w = 0; w < width; w++) words[w]! ^= table[at + w]!
    blockMix(words, spare, r)
    await breathe(i)
  }
}

const state = new Int32Array(16)

function blockMix(words: Int32Array, spare: Int32Array, r: number): void {
  state.set(words.subarray((2 * r - 1) * 16))
  for (let i = 0; i < 2 * r; i++) {
    for (let w = 0; w < 16; w++) state[w]! ^= words[i * 16 + w]!
    salsa8()
    // Even blocks to the front, odd ones behind them.
    spare.set(state, (i % 2 === 0 ? i / 2 : r + (i - 1) / 2) * 16)
  }
  words.set(spare)
}

/** Columns, then rows, four times (RFC 7914, section 3). In variables of their own: an array takes five times as long. */
function salsa8(): void {
  let x0 = state[0]! | 0
  let x1 = state[1]! | 0
  let x2 = state[2]! | 0
  let x3 = state[3]! | 0
  let x4 = state[4]! | 0
  let x5 = state[5]! | 0
  let x6 = state[6]! | 0
  let x7 = state[7]! | 0
  let x8 = state[8]! | 0
  let x9 = state[9]! | 0
  let x10 = state[10]! | 0
  let x11 = state[11]! | 0
  let x12 = state[12]! | 0
  let x13 = state[13]! | 0
  let x14 = state[14]! | 0
  let x15 = state[15]! | 0
  for (let round = 0; round < 4; round++) {
    x4 ^= turned((x0 + x12) | 0, 7)
    x8 ^= turned((x4 + x0) | 0, 9)
    x12 ^= turned((x8 + x4) | 0, 13)
    x0 ^= turned((x12 + x8) | 0, 18)
    x9 ^= turned((x5 + x1) | 0, 7)
    x13 ^= turned((x9 + x5) | 0, 9)
    x1 ^= turned((x13 + x9) | 0, 13)
    x5 ^= turned((x1 + x13) | 0, 18)
    x14 ^= turned((x10 + x6) | 0, 7)
    x2 ^= turned((x14 + x10) | 0, 9)
    x6 ^= turned((x2 + x14) | 0, 13)
    x10 ^= turned((x6 + x2) | 0, 18)
    x3 ^= turned((x15 + x11) | 0, 7)
    x7 ^= turned((x3 + x15) | 0, 9)
    x11 ^= turned((x7 + x3) | 0, 13)
    x15 ^= turned((x11 + x7) | 0, 18)
    x1 ^= turned((x0 + x3) | 0, 7)
    x2 ^= turned((x1 + x0) | 0, 9)
    x3 ^= turned((x2 + x1) | 0, 13)
    x0 ^= turned((x3 + x2) | 0, 18)
    x6 ^= turned((x5 + x4) | 0, 7)
    x7 ^= turned((x6 + x5) | 0, 9)
    x4 ^= turned((x7 + x6) | 0, 13)
    x5 ^= turned((x4 + x7) | 0, 18)
    x11 ^= turned((x10 + x9) | 0, 7)
    x8 ^= turned((x11 + x10) | 0, 9)
    x9 ^= turned((x8 + x11) | 0, 13)
    x10 ^= turned((x9 + x8) | 0, 18)
    x12 ^= turned((x15 + x14) | 0, 7)
    x13 ^= turned((x12 + x15) | 0, 9)
    x14 ^= turned((x13 + x12) | 0, 13)
    x15 ^= turned((x14 + x13) | 0, 18)
  }
  state[0] = (state[0]! + x0) | 0
  state[1] = (state[1]! + x1) | 0
  state[2] = (state[2]! + x2) | 0
  state[3] = (state[3]! + x3) | 0
  state[4] = (state[4]! + x4) | 0
  state[5] = (state[5]! + x5) | 0
  state[6] = (state[6]! + x6) | 0
  state[7] = (state[7]! + x7) | 0
  state[8] = (state[8]! + x8) | 0
  state[9] = (state[9]! + x9) | 0
  state[10] = (state[10]! + x10) | 0
  state[11] = (state[11]! + x11) | 0
  state[12] = (state[12]! + x12) | 0
  state[13] = (state[13]! + x13) | 0
  state[14] = (state[14]! + x14) | 0
  state[15] = (state[15]! + x15) | 0
}

function turned(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by))
}
