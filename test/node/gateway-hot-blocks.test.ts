import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createHotBlocks } from '../../node/gateway/hot-blocks.ts'
import { type Cid, cidKey } from '../../src/block/cid.ts'
import { sampleBlock } from '../store/sample-blocks.ts'

function setUp(options: Parameters<typeof createHotBlocks>[1]) {
  const known = new Map(
    Array.from({ length: 20 }, (_, i) => sampleBlock(i, i === 19 ? 5000 : 1000)).map(({ cid, bytes }) => [
      cidKey(cid),
      { cid, bytes },
    ]),
  )
  const all = [...known.values()]
  const reads: Cid[] = []
  const source = {
    async get(cid: Cid) {
      reads.push(cid)
      return known.get(cidKey(cid))?.bytes
    },
  }
  return { all, reads, hot: createHotBlocks(source, options) }
}

test('small blocks are read once, and those asked for last stay, within the bytes', async () => {
  const { all, reads, hot } = setUp({ maxBytes: 6 * 1256, maxBlockBytes: 2000 })
  for (const { cid, bytes } of all.slice(0, 6)) assert.deepEqual(await hot.get(cid), bytes)
  for (const { cid, bytes } of all.slice(0, 6)) assert.deepEqual(await hot.get(cid), bytes)
  assert.equal(reads.length, 6)
  await hot.get(all[6]!.cid)
  await hot.get(all[1]!.cid)
  assert.equal(reads.length, 7)
  await hot.get(all[0]!.cid)
  assert.equal(reads.length, 8)
})

test('large blocks pass by, and missing ones are asked for again', async () => {
  const { all, reads, hot } = setUp({ maxBytes: 100_000, maxBlockBytes: 2000 })
  for (let i = 0; i < 3; i++) assert.deepEqual(await hot.get(all[19]!.cid), all[19]!.bytes)
  assert.equal(reads.length, 3)
  const missing = sampleBlock(99).cid
  assert.equal(await hot.get(missing), undefined)
  assert.equal(await hot.get(missing), undefined)
  assert.equal(reads.length, 5)
})

test('what is kept lies in memory of its own', async () => {
  const bytes = new Uint8Array(100_000)
  const { cid, bytes: block } = sampleBlock(1, 1000)
  bytes.set(block, 500)
  const hot = createHotBlocks({ get: async () => bytes.subarray(500, 1500) })
  await hot.get(cid)
  bytes.fill(0)
  assert.deepEqual(await hot.get(cid), block)
})
