import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import zlib from 'node:zlib'
import fc from 'fast-check'
import { type Cid, cidOf, RAW } from '../../src/block/cid.ts'
import type { FileEntry } from '../../src/dag/entry.ts'
import { createBlockLender } from '../../src/tree/block-lender.ts'
import { createFileReader } from '../../src/tree/read-file.ts'
import { sampleBlock } from '../store/sample-blocks.ts'
import { bench, noise } from './trees.ts'

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of source) parts.push(part)
  return Buffer.concat(parts)
}

test('any range of a file is its bytes, and an unread tail is never fetched', async (t) => {
  const b = await bench(t)
  const bytes = noise(5_000_000)
  fs.writeFileSync(b.at('file'), bytes)
  const entry = (await b.import(b.at('file'))).snapshot.root as FileEntry
  const reader = createFileReader({ blocks: b.store.blocks })
  assert.ok((await collect(reader.read(entry))).equals(bytes))
  await fc.assert(
    fc.asyncProperty(fc.nat(5_100_000), fc.nat(400_000), async (startByte, length) => {
      const range = { startByte, endByte: startByte + length }
      const expected = bytes.subarray(startByte, startByte + length)
      assert.ok((await collect(reader.read(entry, range))).equals(expected))
    }),
    { numRuns: 25 },
  )

  let fetchedBytes = 0
  const counted = {
    async get(cid: Cid) {
      const block = await b.store.blocks.get(cid)
      fetchedBytes += block?.length ?? 0
      return block
    },
  }
  for await (const part of createFileReader({ blocks: counted }, { readAheadBytes: 500_000 }).read(entry)) {
    assert.ok(part.length > 0)
    break
  }
  assert.ok(fetchedBytes < 1_600_000, `${fetchedBytes} bytes for one chunk and 500,000 ahead`)
})

test('an empty file or range reads nothing; a missing block is an error that names it', async (t) => {
  const b = await bench(t)
  fs.writeFileSync(b.at('file'), noise(1_000_000))
  const entry = (await b.import(b.at('file'))).snapshot.root as FileEntry
  const reader = createFileReader({ blocks: b.store.blocks })
  assert.equal((await collect(reader.read(entry, { startByte: 7, endByte: 7 }))).length, 0)
  assert.equal((await collect(reader.read(entry, { startByte: 2_000_000, endByte: 3_000_000 }))).length, 0)
  let gets = 0
  const holed = { get: async (cid: Cid) => (++gets > 2 ? undefined : b.store.blocks.get(cid)) }
  await assert.rejects(collect(createFileReader({ blocks: holed }).read(entry)), {
    code: 'not-found',
    message: /^block baf/,
  })
})

test('what is read once has memory that is used again, and the right bytes in it until the next is asked for', async (t) => {
  const b = await bench(t)
  const bytes = noise(6_000_000)
  fs.writeFileSync(b.at('file'), bytes)
  const entry = (await b.import(b.at('file'))).snapshot.root as FileEntry
  const { blocks } = b.store
  const reader = createFileReader(
    { blocks, lender: createBlockLender({ blocks }) },
    { readAheadBytes: 500_000 },
  )
  const buffers = new Set<ArrayBufferLike>()
  async function readOnce(range?: { startByte: number; endByte: number }): Promise<Buffer> {
    const parts: Buffer[] = []
    for await (const part of reader.readOnce(entry, range)) {
      buffers.add(part.buffer)
      parts.push(Buffer.from(part))
    }
    return Buffer.concat(parts)
  }
  assert.ok((await readOnce()).equals(bytes))
  const all = await Promise.all([
    readOnce(),
    readOnce(),
    readOnce({ startByte: 1_000_001, endByte: 4_999_999 }),
  ])
  assert.ok(all[0]!.equals(bytes) && all[1]!.equals(bytes))
  assert.ok(all[2]!.equals(bytes.subarray(1_000_001, 4_999_999)))
  // 22 MB went through it, 256 KiB and a block at a time. What is used again was taken from under those who looked at it.
  const left = [...buffers].filter(({ byteLength }) => byteLength > 0)
  assert.ok(left.length <= 24, `${left.length} buffers`)

  // One that goes away with a piece in hand keeps that piece as it is.
  const kept: Uint8Array[] = []
  for await (const part of reader.readOnce(entry)) {
    kept.push(part)
    break
  }
  const before = Buffer.from(kept[0]!)
  assert.ok((await readOnce()).equals(bytes))
  assert.ok(before.equals(kept[0]!))
})

test('blocks that are damaged, compressed, moved or gone are lent as the store has them', async (t) => {
  const b = await bench(t)
  fs.writeFileSync(
    b.at('file'),
    Buffer.concat([noise(1_000_000), Buffer.alloc(1_000_000, 'text that repeats; ')]),
  )
  await b.import(b.at('file'))
  const { blocks } = b.store
  const random = sampleBlock(1, 20_000)
  const text = { cid: cidOf(RAW, Buffer.alloc(50_000, 'words ')), bytes: Buffer.alloc(50_000, 'words ') }
  const gone = sampleBlock(2, 20_000)
  await blocks.put([random, { ...text, zstd: zlib.zstdCompressSync(text.bytes) }], { verified: true })
  await blocks.flush()
  const cids = [text.cid, gone.cid, random.cid]
  const places = await blocks.locate(cids)
  const stale = {
    get: blocks.get.bind(blocks),
    locate: async () => places.map((place) => place && { ...place, path: `${place.path}-moved` }),
  }
  const shifted = {
    ...stale,
    locate: async () => places.map((place) => place && { ...place, offset: place.offset + 1 }),
  }
  for (const source of [blocks, stale, shifted]) {
    const loan = await createBlockLender({ blocks: source }).lend(cids)
    assert.deepEqual(
      loan.bytes.map((bytes) => bytes && Buffer.from(bytes)),
      [text.bytes, undefined, Buffer.from(random.bytes)],
    )
    loan.release()
  }
})
