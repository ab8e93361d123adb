import assert from 'node:assert/strict'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type BlockCache, openBlockCache } from '../../src/store/block-cache.ts'
import type { FileOps } from '../../src/store/files.ts'
import { createFreeSpace } from '../../src/store/free-space.ts'
import { sampleBlock, seededRandom } from './sample-blocks.ts'
import { createSimulatedDisk, PowerLoss } from './simulated-disk.ts'
import { tempDir } from './temp-dir.ts'

const PAGE = 4096
/** Of one page each. */
const blocks = Array.from({ length: 64 }, (_, seed) => sampleBlock(seed, 3000))

function openIn(
  dir: string,
  { quotaBytes = 32 * PAGE, files }: { quotaBytes?: number; files?: FileOps } = {},
) {
  return openBlockCache({ ...(files === undefined ? {} : { files }) }, { dir, quotaBytes, reserveBytes: 0 })
}

const keep = (cache: BlockCache, at: number): Promise<void> => cache.put(blocks[at]!.cid, blocks[at]!.bytes)

async function held(cache: BlockCache): Promise<number[]> {
  const out: number[] = []
  for (const [at, { cid, bytes }] of blocks.entries()) {
    const found = await cache.get(cid)
    if (found === undefined) continue
    assert.deepEqual(found, bytes)
    out.push(at)
  }
  return out
}

test('what was not asked for the longest goes first, and the quota holds', async (t: TestContext) => {
  const dir = tempDir(t)
  const cache = openIn(dir, { quotaBytes: 8 * PAGE })
  for (let at = 0; at < 8; at++) await keep(cache, at)
  assert.ok(await cache.get(blocks[0]!.cid))
  for (let at = 8; at < 12; at++) await keep(cache, at)
  const { bytes, blocks: count, evictedBlocks } = cache.usage()
  assert.deepEqual([bytes, count, evictedBlocks], [8 * PAGE, 8, 4])
  assert.deepEqual(await held(cache), [0, 5, 6, 7, 8, 9, 10, 11])
  assert.equal(readdirSync(dir).length, 8)
})

test('a restart finds the same blocks, bytes and order of age', async (t: TestContext) => {
  const dir = tempDir(t)
  const cache = openIn(dir)
  for (let at = 0; at < 32; at++) await keep(cache, at)
  for (let at = 0; at < 4; at++) assert.ok(await cache.get(blocks[at]!.cid))
  const again = openIn(dir)
  assert.deepEqual(again.usage(), { ...cache.usage(), evictedBlocks: 0 })
  for (let at = 32; at < 60; at++) await keep(again, at)
  const left = await held(again)
  // Those that were asked for outlived the others that were put with them.
  assert.deepEqual(left.slice(0, 4), [0, 1, 2, 3])
  assert.equal(left.length, 32)
})

test('a damaged block is missing, and removed', async (t: TestContext) => {
  const dir = tempDir(t)
  const cache = openIn(dir)
  await keep(cache, 0)
  await keep(cache, 1)
  const [name] = readdirSync(dir)
  writeFileSync(join(dir, name!), Buffer.alloc(3000, 7))
  assert.equal((await held(cache)).length, 1)
  assert.equal(readdirSync(dir).length, 1)
  assert.deepEqual([cache.usage().blocks, cache.usage().bytes], [1, PAGE])
})

test('foreign files in its folder are removed, and nothing that is larger than the quota is kept', async (t: TestContext) => {
  const dir = tempDir(t)
  writeFileSync(join(dir, 'new'), 'half of a block')
  const cache = openIn(dir, { quotaBytes: PAGE - 1 })
  assert.deepEqual(readdirSync(dir), [])
  await keep(cache, 0)
  assert.deepEqual(await held(cache), [])
})

test('the power may fail at any operation: the accounting agrees with the disk, and no byte is wrong', async () => {
  const random = seededRandom(5)
  for (let crashAt = 0; ; crashAt++) {
    const disk = createSimulatedDisk()
    disk.beforeOperation = (operation) => {
      if (operation >= crashAt) throw new PowerLoss()
    }
    const cache = openIn('/pulled', { quotaBytes: 8 * PAGE, files: disk })
    for (let at = 0; at < 12; at++) {
      await keep(cache, at)
      if (at % 3 === 0) await cache.get(blocks[at >> 1]!.cid)
    }
    const isOver = disk.operations < crashAt
    const after = disk.afterPowerLoss(random)
    const again = openIn('/pulled', { quotaBytes: 8 * PAGE, files: after })
    const { bytes, blocks: count } = again.usage()
    assert.equal(after.list('/pulled').length, count)
    assert.ok(bytes <= 8 * PAGE && bytes === count * PAGE)
    await held(again)
    if (isOver) break
  }
})

test('a store that runs out of space is given that of the cache before it refuses', async (t: TestContext) => {
  const dir = tempDir(t)
  const cache = openIn(dir)
  for (let at = 0; at < 16; at++) await keep(cache, at)
  const files = { freeBytes: async () => 10 * PAGE - cache.usage().bytes } as unknown as FileOps
  const options = { dir, reserveBytes: 0, stepBytes: 0, makeRoom: cache.makeRoom }
  const space = createFreeSpace({ files }, options)
  await space.take(4 * PAGE)
  assert.equal(cache.usage().bytes, 6 * PAGE)
  await assert.rejects(space.take(11 * PAGE), { code: 'no-space' })
  assert.deepEqual(await held(cache), [])
})
