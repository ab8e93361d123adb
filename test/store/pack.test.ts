import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { crc32, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { hex } from '../../src/base/bytes.ts'
import type { Block } from '../../src/block/block.ts'
import { cidFromKeyBytes, cidOf, cidToKeyBytes, RAW } from '../../src/block/cid.ts'
import type { BlockEncoding } from '../../src/block/encoding.ts'
import type { PackedEntry } from '../../src/store/block-store.ts'
import type { FileOps } from '../../src/store/files.ts'
import { systemFiles } from '../../src/store/files.ts'
import {
  decodeEntryHeader,
  decodePackHeader,
  ENTRY_HEADER_BYTES,
  encodeEntryHeader,
  encodePackHeader,
  PACK_HEADER_BYTES,
  packFileName,
  packIdOf,
} from '../../src/store/pack.ts'
import { createPack, createPackAppender } from '../../src/store/packs/pack-appender.ts'
import { scanPack } from '../../src/store/packs/pack-scan.ts'
import { sampleBlock, sampleBlocks } from './sample-blocks.ts'
import { tempDir } from './temp-dir.ts'

const GOLDEN = new URL('golden/00000007.pack', import.meta.url)
const GOLDEN_ZSTD = new URL('golden/00000008.pack', import.meta.url)
const GOLDEN_BLOCKS: Block[] = [
  { cid: cidOf(RAW, new TextEncoder().encode('hi')), bytes: new TextEncoder().encode('hi') },
  { cid: cidOf(RAW, new Uint8Array(0)), bytes: new Uint8Array(0) },
  sampleBlock(4, 64),
]

/** Made once: what a compressor makes of a block may change, what a reader takes may not. */
const ZSTD_FRAME = new Uint8Array(Buffer.from('28b52ffd60bc01750000387061636b6564200100b2541523', 'hex'))
const ZSTD_BYTES = new TextEncoder().encode('packed '.repeat(100))
const ZSTD_BLOCK: Block = { cid: cidOf(RAW, ZSTD_BYTES), bytes: ZSTD_BYTES }

function writePack(path: string, packId: number, blocks: readonly Block[]): PackedEntry[] {
  createPack(path, packId)
  const appender = createPackAppender(path, packId)
  const entries = blocks.map(({ cid, bytes }) => appender.append(cidToKeyBytes(cid), bytes))
  appender.sync()
  appender.close()
  return entries
}

async function scanBlocks(
  path: string,
): Promise<{ found: Map<string, number>; damaged: number; end: number }> {
  const file = systemFiles.open(path, 'read')
  const found = new Map<string, number>()
  let damaged = 0
  let end = PACK_HEADER_BYTES
  for await (const item of scanPack(file, PACK_HEADER_BYTES)) {
    if (item.type === 'damage') damaged += 1
    else found.set(hex(item.entry.key), item.entry.offset)
    end = item.endOffset
  }
  file.close()
  return { found, damaged, end }
}

test('a pack is, byte for byte, what it was when the format was fixed', async (t) => {
  const path = `${tempDir(t)}/00000007.pack`
  const entries = writePack(path, 7, GOLDEN_BLOCKS)
  assert.equal(entries[0]!.offset, 84)
  assert.deepEqual(fs.readFileSync(path), fs.readFileSync(GOLDEN))
  const { found } = await scanBlocks(GOLDEN.pathname)
  assert.deepEqual(
    [...found.keys()],
    GOLDEN_BLOCKS.map(({ cid }) => hex(cidToKeyBytes(cid))),
  )
})

test('a pack with a zstd entry is, byte for byte, what it was when encoding 1 was fixed', async (t) => {
  const path = `${tempDir(t)}/00000008.pack`
  writePack(path, 8, GOLDEN_BLOCKS.slice(0, 2))
  const appender = createPackAppender(path, 8)
  const entry = appender.append(cidToKeyBytes(ZSTD_BLOCK.cid), ZSTD_FRAME, ZSTD_BYTES.length)
  appender.append(cidToKeyBytes(GOLDEN_BLOCKS[2]!.cid), GOLDEN_BLOCKS[2]!.bytes)
  appender.flush()
  appender.close()
  const { encoding, storedBytes, lengthBytes } = entry
  assert.deepEqual([encoding, storedBytes, lengthBytes], ['zstd', 24, 700])
  assert.deepEqual(fs.readFileSync(path), fs.readFileSync(GOLDEN_ZSTD))
  const { found, damaged } = await scanBlocks(GOLDEN_ZSTD.pathname)
  assert.equal(damaged, 0)
  assert.deepEqual(
    [...found.keys()],
    [...GOLDEN_BLOCKS.slice(0, 2), ZSTD_BLOCK, GOLDEN_BLOCKS[2]!].map(({ cid }) => hex(cidToKeyBytes(cid))),
  )
})

test('a zstd entry that is longer or shorter than it says, or has bytes behind its frame, is damage', async (t) => {
  const dir = tempDir(t)
  const before = sampleBlock(1)
  const after = sampleBlock(2)
  const key = cidToKeyBytes(ZSTD_BLOCK.cid)
  const behind = (more: Uint8Array): Uint8Array => new Uint8Array(Buffer.concat([ZSTD_FRAME, more]))
  for (const [frame, lengthBytes] of [
    [ZSTD_FRAME, 699],
    [ZSTD_FRAME, 701],
    [ZSTD_FRAME, 4 * 1024 * 1024],
    [ZSTD_FRAME.subarray(0, -1), 700],
    [behind(Uint8Array.of(0)), 700],
    [behind(Uint8Array.of(0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0)), 700],
    [behind(new Uint8Array(zstdCompressSync(new Uint8Array(0)))), 700],
    [ZSTD_BYTES.subarray(0, 100), 700],
    [new Uint8Array(zstdCompressSync(new Uint8Array(100_000_000))), 4 * 1024 * 1024],
  ] as const) {
    const path = `${dir}/${frame.length}-${lengthBytes}`
    writePack(path, 3, [before])
    const appender = createPackAppender(path, 3)
    appender.append(key, frame, lengthBytes)
    appender.append(cidToKeyBytes(after.cid), after.bytes)
    appender.flush()
    appender.close()
    const { found, damaged } = await scanBlocks(path)
    assert.deepEqual(
      [...found.keys()],
      [before, after].map(({ cid }) => hex(cidToKeyBytes(cid))),
    )
    assert.equal(damaged, 1)
  }
})

test('headers come back as they were encoded, and any flipped bit of one is noticed', () => {
  fc.assert(
    fc.property(fc.nat(0xffff_ffff), fc.nat(PACK_HEADER_BYTES * 8 - 1), (packId, bit) => {
      const bytes = encodePackHeader(packId)
      assert.equal(decodePackHeader(bytes), packId)
      bytes[bit >> 3]! ^= 1 << (bit & 7)
      assert.throws(() => decodePackHeader(bytes), { name: 'MirrorError' })
    }),
  )
  fc.assert(
    fc.property(fc.nat(4 * 1024 * 1024), fc.nat(ENTRY_HEADER_BYTES * 8 - 1), (sizeBytes, bit) => {
      const key = cidToKeyBytes(sampleBlock(sizeBytes % 10).cid)
      const bytes = Buffer.alloc(ENTRY_HEADER_BYTES + 3)
      const header = { key, encoding: 'plain', storedBytes: sizeBytes, lengthBytes: sizeBytes } as const
      encodeEntryHeader(bytes, 3, header)
      assert.deepEqual(decodeEntryHeader(bytes, 3), header)
      bytes[3 + (bit >> 3)]! ^= 1 << (bit & 7)
      assert.equal(decodeEntryHeader(bytes, 3), undefined)
    }),
  )
})

test('an entry that declares more than the largest block, or an unknown encoding, is no entry', () => {
  const bytes = Buffer.alloc(ENTRY_HEADER_BYTES)
  const key = cidToKeyBytes(sampleBlock(1).cid)
  const isEntry = (encoding: BlockEncoding, storedBytes: number, lengthBytes: number): boolean => {
    encodeEntryHeader(bytes, 0, { key, encoding, storedBytes, lengthBytes })
    return decodeEntryHeader(bytes, 0) !== undefined
  }
  const most = 4 * 1024 * 1024
  assert.ok(isEntry('plain', most, most) && isEntry('zstd', most - 1, most) && isEntry('zstd', 1, 2))
  assert.ok(!isEntry('plain', most + 1, most + 1) && !isEntry('zstd', 10, most + 1))
  assert.ok(!isEntry('plain', 10, 11) && !isEntry('zstd', 11, 11) && !isEntry('zstd', 12, 11))
  assert.ok(!isEntry('zstd', 0, 11))
  encodeEntryHeader(bytes, 0, { key, encoding: 'zstd', storedBytes: 10, lengthBytes: 11 })
  bytes[4] = 2
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 48)), 48)
  assert.equal(decodeEntryHeader(bytes, 0), undefined)
})

test('a pack of a later version is told apart from a damaged one', () => {
  const bytes = Buffer.from(encodePackHeader(1))
  bytes.writeUInt32BE(2, 8)
  assert.throws(() => decodePackHeader(bytes), { code: 'corrupt' })
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 28)), 28)
  assert.throws(() => decodePackHeader(bytes), { code: 'unsupported' })
})

test('only the exact file name of a pack names one', () => {
  for (const packId of [0, 7, 99_999_999, 100_000_000, 0xffff_ffff])
    assert.equal(packIdOf(packFileName(packId)), packId)
  for (const name of ['7.pack', '00000007.pack.new', '000000007.pack', '4294967296.pack', 'x0000007.pack']) {
    assert.equal(packIdOf(name), undefined, name)
  }
})

test('an appender gives the same file whatever the size of its buffer', (t) => {
  const dir = tempDir(t)
  const blocks = [...sampleBlocks(40, 500), sampleBlock(900, 5000)]
  const files = [1, 104, 700, 100_000].map((bufferBytes) => {
    const path = `${dir}/${bufferBytes}`
    createPack(path, 3)
    const appender = createPackAppender(path, 3, { bufferBytes })
    for (const { cid, bytes } of blocks) {
      const { offset } = appender.append(cidToKeyBytes(cid), bytes)
      assert.equal(appender.sizeBytes, offset + bytes.length)
    }
    appender.flush()
    appender.close()
    return fs.readFileSync(path)
  })
  for (const file of files) assert.deepEqual(file, files[0])
})

test('an appender goes on at the end of its pack, and only of its own', (t) => {
  const path = `${tempDir(t)}/pack`
  const [first, second] = [sampleBlock(1), sampleBlock(2)]
  writePack(path, 3, [first])
  const appender = createPackAppender(path, 3)
  const { offset } = appender.append(cidToKeyBytes(second.cid), second.bytes)
  appender.flush()
  appender.close()
  assert.equal(offset, PACK_HEADER_BYTES + first.bytes.length + 2 * ENTRY_HEADER_BYTES)
  assert.throws(() => createPackAppender(path, 4), { code: 'corrupt' })
  assert.throws(() => createPack(path, 3), { code: 'io' })
  assert.ok(fs.existsSync(path))
})

test('cutTo forgets what follows, buffered or written', async (t) => {
  const path = `${tempDir(t)}/pack`
  createPack(path, 3)
  const appender = createPackAppender(path, 3, { bufferBytes: 1000 })
  const blocks = sampleBlocks(60)
  const sizes = blocks.map(({ cid, bytes }) => {
    appender.append(cidToKeyBytes(cid), bytes)
    return appender.sizeBytes
  })
  appender.cutTo(sizes[58]!)
  appender.cutTo(sizes[9]!)
  const last = sampleBlock(500)
  appender.append(cidToKeyBytes(last.cid), last.bytes)
  appender.flush()
  appender.close()
  const { found, damaged } = await scanBlocks(path)
  assert.deepEqual(
    [...found.keys()],
    [...blocks.slice(0, 10), last].map(({ cid }) => hex(cidToKeyBytes(cid))),
  )
  assert.equal(damaged, 0)
})

test('a scan finds every block that damage did not touch, and never one that it did', async (t) => {
  const path = `${tempDir(t)}/pack`
  const blocks = sampleBlocks(30)
  const entries = writePack(path, 3, blocks)
  const sound = fs.readFileSync(path)
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.integer({ min: PACK_HEADER_BYTES, max: sound.length - 1 }), fc.nat(7)), {
        maxLength: 4,
      }),
      fc.integer({ min: PACK_HEADER_BYTES, max: sound.length }),
      fc.uint8Array({ maxLength: 200 }),
      async (flips, cutAt, garbage) => {
        const bytes = Buffer.from(sound)
        for (const [at, bit] of flips) bytes[at]! ^= 1 << bit
        fs.writeFileSync(path, Buffer.concat([bytes.subarray(0, cutAt), garbage]))
        const untouched = entries.filter(({ offset, storedBytes }) => {
          const start = offset - ENTRY_HEADER_BYTES
          const end = offset + storedBytes
          return end <= cutAt && bytes.subarray(start, end).equals(sound.subarray(start, end))
        })
        const { found, end } = await scanBlocks(path)
        assert.deepEqual(
          [...found],
          untouched.map(({ key, offset }) => [hex(key), offset]),
        )
        const last = untouched.at(-1)
        assert.equal(end, last === undefined ? PACK_HEADER_BYTES : last.offset + last.storedBytes)
      },
    ),
    { numRuns: 150 },
  )
})

test('a scan of blocks larger than its window, with damage across the window, finds the rest', async (t) => {
  const path = `${tempDir(t)}/pack`
  const blocks = Array.from({ length: 6 }, (_, i) => {
    const bytes = new Uint8Array(3_900_000 + i).fill(i)
    return { cid: cidOf(RAW, bytes), bytes }
  })
  const entries = writePack(path, 3, blocks)
  const fd = fs.openSync(path, 'r+')
  fs.writeSync(fd, Buffer.from([0xff]), 0, 1, entries[2]!.offset - 20)
  fs.closeSync(fd)
  const { found, damaged } = await scanBlocks(path)
  assert.equal(damaged, 1)
  assert.deepEqual(
    [...found.values()],
    [0, 1, 3, 4, 5].map((i) => entries[i]!.offset),
  )
})

test('a pack stored as a block inside a pack adds blocks, never wrong ones', async (t) => {
  const dir = tempDir(t)
  const inner = sampleBlocks(5)
  writePack(`${dir}/inner`, 1, inner)
  const packed = new Uint8Array(fs.readFileSync(`${dir}/inner`))
  const outer = [{ cid: cidOf(RAW, packed), bytes: packed }, sampleBlock(50)]
  const [first] = writePack(`${dir}/outer`, 2, outer)
  const whole = await scanBlocks(`${dir}/outer`)
  assert.equal(whole.found.size, 2)
  const fd = fs.openSync(`${dir}/outer`, 'r+')
  fs.writeSync(fd, Buffer.from([0xff]), 0, 1, first!.offset - 20)
  fs.closeSync(fd)
  const bytes = fs.readFileSync(`${dir}/outer`)
  const { found } = await scanBlocks(`${dir}/outer`)
  assert.equal(found.size, 6)
  for (const [key, offset] of found) {
    const cid = cidFromKeyBytes(Buffer.from(key, 'hex'))
    const block = [...inner, ...outer].find((candidate) => candidate.cid.equals(cid))!
    assert.deepEqual(new Uint8Array(bytes.subarray(offset, offset + block.bytes.length)), block.bytes)
  }
})

test('blocks that are held until the next flush make the same pack, whatever is copied, held, flushed or cut between', (t) => {
  const dir = tempDir(t)
  const step = fc.record({
    kind: fc.constantFrom('append', 'hold', 'hold', 'flush', 'cut', 'fail'),
    lengthBytes: fc.constantFrom(0, 1, 700, 4095, 4096, 9000, 65_536, 300_000),
    seed: fc.nat(1000),
  })
  let run = 0
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 25 }),
      fc.constantFrom(104, 5000, 1024 * 1024),
      (steps, bufferBytes) => {
        const path = `${dir}/${++run}`
        createPack(path, 3)
        let isFailing = false
        const files: FileOps = {
          ...systemFiles,
          open(name, mode) {
            const file = systemFiles.open(name, mode)
            const fail = (): void => {
              if (isFailing) throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })
            }
            return {
              ...file,
              write(bytes, position) {
                fail()
                file.write(bytes, position)
              },
              writeAll(parts, position) {
                fail()
                file.writeAll(parts, position)
              },
            }
          },
        }
        const appender = createPackAppender(path, 3, { bufferBytes, files })
        const ends = [PACK_HEADER_BYTES]
        let kept: Block[] = []
        for (const { kind, lengthBytes, seed } of steps) {
          if (kind === 'flush') appender.flush()
          else if (kind === 'cut') {
            const count = seed % ends.length
            appender.cutTo(ends[count]!)
            ends.length = count + 1
            kept = kept.slice(0, count)
          } else {
            const block = sampleBlock(seed, lengthBytes)
            const bytes = block.bytes.slice()
            isFailing = kind === 'fail'
            try {
              const add = kind === 'hold' ? appender.hold : appender.append
              const { offset } = add(cidToKeyBytes(block.cid), bytes)
              assert.equal(offset, ends.at(-1)! + ENTRY_HEADER_BYTES)
              kept.push(block)
              ends.push(appender.sizeBytes)
              // The caller uses its memory again.
              if (kind !== 'hold') bytes.fill(0)
            } catch (error) {
              assert.equal((error as { code?: string }).code, 'no-space')
            }
            isFailing = false
          }
          assert.equal(appender.sizeBytes, ends.at(-1))
        }
        appender.flush()
        appender.close()
        const plain = `${path}-plain`
        writePack(plain, 3, kept)
        assert.ok(fs.readFileSync(path).equals(fs.readFileSync(plain)))
        fs.rmSync(path)
        fs.rmSync(plain)
      },
    ),
    { numRuns: 100 },
  )
})
