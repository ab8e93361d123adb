import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Cid } from '../../src/block/cid.ts'
import type { FileEntry } from '../../src/dag/entry.ts'
import { createFileReader } from '../../src/tree/read-file.ts'
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
