import assert from 'node:assert/strict'
import { test } from 'node:test'
import zlib from 'node:zlib'
import fc from 'fast-check'
import { concatBytes } from '../../src/base/bytes.ts'
import { isMirrorError } from '../../src/base/errors.ts'
import {
  decodeBlock,
  decodeBlockLater,
  decodeBlocksLater,
  type EncodedBlock,
  tryZstd,
  tryZstdLater,
} from '../../src/block/encoding.ts'
import { pseudoRandomBytes } from './pseudo-random.ts'

const { constants } = zlib
const MAX_BLOCK_BYTES = 4 * 1024 * 1024
const text = new Uint8Array(Buffer.from('what is said twice compresses, '.repeat(4000)))
const frame = tryZstd(text, 3)!

const zstd = (bytes: Uint8Array, lengthBytes = text.length): EncodedBlock => ({
  encoding: 'zstd',
  bytes,
  lengthBytes,
})

/** None of the ways decodes it: with the system's decoder, with Node's, and in another thread. */
async function assertRefused(block: EncodedBlock, what: string): Promise<void> {
  for (const decode of [() => decodeBlock(block), () => decodeBlock(block, null)])
    assert.throws(decode, (error) => isMirrorError(error, 'corrupt'), what)
  assert.deepEqual(await decodeBlocksLater([block, zstd(frame), block]), [undefined, text, undefined], what)
  await assert.rejects(decodeBlockLater(block), (error) => isMirrorError(error, 'corrupt'), what)
}

test('what compresses comes back as it was, at every level and size', async () => {
  for (const level of [-5, 1, 3, 19]) {
    for (const size of [512, 513, 3000, text.length, MAX_BLOCK_BYTES]) {
      const plain = new Uint8Array(size).map((_, i) => text[i % text.length]!)
      for (const packed of [tryZstd(plain, level)!, (await tryZstdLater(plain, level))!]) {
        assert.ok(packed.length < size / 8)
        assert.deepEqual(decodeBlock(zstd(packed, size)), plain)
        assert.deepEqual(decodeBlock(zstd(packed, size), null), plain)
        assert.deepEqual(await decodeBlockLater(zstd(packed, size)), plain)
      }
    }
  }
})

test('what does not pay stays plain: noise, what is compressed already, and what is small', async () => {
  const noise = pseudoRandomBytes(1, 200_000)
  for (const plain of [noise, frame, text.subarray(0, 511), new Uint8Array(0), zlib.gzipSync(noise)]) {
    assert.equal(tryZstd(plain, 3), undefined)
    assert.equal(await tryZstdLater(plain, 3), undefined)
  }
  // 5 in 100 are too little, 10 are enough.
  const part = (share: number): Uint8Array =>
    concatBytes([noise.subarray(0, 100_000 * (1 - share)), new Uint8Array(100_000 * share)])
  assert.equal(tryZstd(part(0.05), 3), undefined)
  assert.ok(tryZstd(part(0.1), 3)!.length < 91_000)
})

test('a plain block is given back only with its own length', async () => {
  assert.equal(decodeBlock({ encoding: 'plain', bytes: text, lengthBytes: text.length }), text)
  await assertRefused({ encoding: 'plain', bytes: text, lengthBytes: text.length - 1 }, 'shorter')
  const tooLong = new Uint8Array(MAX_BLOCK_BYTES + 1)
  await assertRefused({ encoding: 'plain', bytes: tooLong, lengthBytes: tooLong.length }, 'too long')
})

test('a frame is exactly one, of exactly the length that is said', async () => {
  const skippable = Uint8Array.of(0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9)
  const empty = new Uint8Array(zlib.zstdCompressSync(new Uint8Array(0)))
  for (const [what, bytes] of Object.entries({
    'a byte behind it': concatBytes([frame, Uint8Array.of(0)]),
    'an empty frame behind it': concatBytes([frame, empty]),
    'a skippable frame behind it': concatBytes([frame, skippable]),
    'a skippable frame before it': concatBytes([skippable, frame]),
    'itself behind it': concatBytes([frame, frame]),
    'its last byte cut off': frame.subarray(0, -1),
    'its end cut off': frame.subarray(0, 9),
    'its header cut off': frame.subarray(0, 4),
    nothing: new Uint8Array(0),
    'plain bytes': text.subarray(0, 600),
  })) {
    await assertRefused(zstd(bytes), what)
  }
  for (const length of [
    text.length - 1,
    text.length + 1,
    frame.length,
    MAX_BLOCK_BYTES,
    MAX_BLOCK_BYTES + 1,
  ]) {
    await assertRefused(zstd(frame, length), `length ${length}`)
  }
  // As longer than the plain block, a frame is no encoding of it.
  const grown = zlib.zstdCompressSync(pseudoRandomBytes(1, 1000))
  await assertRefused(zstd(grown, 1000), 'grown')
})

/** Frames of a streaming encoder say neither their length nor that their window is all of it. */
async function streamed(plain: Uint8Array, windowLog: number, checksum = 0): Promise<Uint8Array> {
  const stream = zlib.createZstdCompress({
    params: { [constants.ZSTD_c_windowLog]: windowLog, [constants.ZSTD_c_checksumFlag]: checksum },
  })
  stream.write(plain.subarray(0, 100))
  await new Promise<void>((resolve) => stream.flush(() => resolve()))
  stream.end(plain.subarray(100))
  return new Uint8Array(Buffer.concat(await stream.toArray()))
}

test('a frame without a length is decoded to the length that is said, and no further', async () => {
  for (const checksum of [0, 1]) {
    const open = await streamed(text, 20, checksum)
    assert.deepEqual(decodeBlock(zstd(open)), text)
    assert.deepEqual(decodeBlock(zstd(open), null), text)
    assert.deepEqual(await decodeBlockLater(zstd(open)), text)
    for (const length of [text.length - 1, text.length + 1, 1024])
      await assertRefused(zstd(open, length), `${length}`)
  }
  const bomb = await streamed(new Uint8Array(300 * 1024 * 1024), 22)
  assert.ok(bomb.length < 40_000)
  const before = process.memoryUsage().arrayBuffers
  for (const length of [bomb.length + 1, MAX_BLOCK_BYTES])
    await assertRefused(zstd(bomb, length), `${length}`)
  assert.ok(process.memoryUsage().arrayBuffers - before < 64 * 1024 * 1024)
})

test('a frame whose window is larger than a block, or that needs a dictionary, is refused', async () => {
  assert.deepEqual(decodeBlock(zstd(await streamed(text, 22))), text)
  for (const windowLog of [23, 27])
    await assertRefused(zstd(await streamed(text, windowLog)), `window ${windowLog}`)
  await assertRefused(zstd(frame.with(4, frame[4]! | 1)), 'a dictionary')
  await assertRefused(zstd(frame.with(4, frame[4]! | 8)), 'a reserved bit')
})

test('a changed frame gives bytes of the length that is said, or a MirrorError', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(frame.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      fc.nat(frame.length),
      (changes, keep) => {
        const changed = changes.reduce((bytes, [at, value]) => bytes.with(at, value), frame)
        for (const bytes of [changed, changed.subarray(0, keep)])
          for (const system of [undefined, null])
            try {
              assert.equal(decodeBlock(zstd(bytes), system).length, text.length)
            } catch (error) {
              assert.ok(isMirrorError(error, 'corrupt'), String(error))
            }
      },
    ),
    { numRuns: 2000 },
  )
})

test('what is decoded is the callers own, and of its own size', () => {
  const short = new Uint8Array(600).fill(7)
  const packed = tryZstd(short, 3)!
  const [one, two] = [decodeBlock(zstd(packed, 600)), decodeBlock(zstd(packed, 600))]
  one.fill(0)
  assert.deepEqual(two, short)
  assert.ok(one.buffer.byteLength < 3000 && packed.buffer.byteLength < 3000)
})

test('blocks that are decoded together lie side by side in the memory that is given for them', async () => {
  const sizes = [600, 100_000, 3000, 90_000, 120_000]
  const plain = sizes.map((size, i) => new Uint8Array(size).map((_, at) => text[(at + i) % text.length]!))
  const blocks = plain.map((bytes) => zstd(tryZstd(bytes, 3)!, bytes.length))
  const torn = zstd(frame.subarray(0, -3), 700)
  const arenas: Uint8Array[] = []
  const arena = (sizeBytes: number): Uint8Array => {
    arenas.push(new Uint8Array(sizeBytes))
    return arenas[0]!
  }
  // The first two of the large ones are done here, torn ones are told apart, and what travels plain stays where it lies.
  const given = [...blocks, torn, { encoding: 'plain', bytes: text, lengthBytes: text.length } as const]
  const found = await decodeBlocksLater(given, { arena, hereBytes: 195_000 })
  assert.deepEqual(found, [...plain, undefined, text])
  assert.equal(found[6], text)
  assert.deepEqual(
    found.map((bytes) => bytes?.buffer === arenas[0]?.buffer),
    [true, true, true, true, false, false, false],
  )
  assert.equal(arenas.length, 1)
  assert.deepEqual(await decodeBlocksLater([torn], { arena }), [undefined])
})
