/** What the kernel shows is not what the disk holds: unsynced folders, and pages that a failed sync left in the cache. */
import assert from 'node:assert/strict'
import os from 'node:os'
import { test } from 'node:test'
import { equalBytes } from '../../src/base/bytes.ts'
import type { Block } from '../../src/block/block.ts'
import { systemFiles } from '../../src/store/files.ts'
import { sampleBlocks } from './sample-blocks.ts'
import { errnoError } from './simulated-disk.ts'
import { createSimulatedIndex } from './simulated-index.ts'
import type { Machine } from './simulated-machine.ts'
import { losePower, newMachine, openBlocks } from './simulated-machine.ts'
import { tempDir } from './temp-dir.ts'

const EARLIER = sampleBlocks(6, 200, 500)
const BLOCKS = sampleBlocks(4, 200)
/** What survives a power loss is drawn by lot. */
const LOSSES = 40

async function putAndFlush(machine: Machine, blocks: readonly Block[]): Promise<void> {
  const { blocks: store } = await openBlocks(machine)
  await store.put(blocks)
  await store.flush()
}

/** The run ends badly: its sync fails, and it is killed before it tries again. */
async function putAndFailToSync(machine: Machine, blocks: readonly Block[]): Promise<void> {
  const { blocks: store } = await openBlocks(machine)
  await store.put(blocks)
  machine.disk.beforeOperation = (_, what) => {
    if (what.startsWith('sync ')) throw errnoError('EIO', what)
  }
  await assert.rejects(store.flush(), { code: 'io' })
  machine.disk.beforeOperation = () => undefined
}

async function checkAllSurvive(machine: Machine, blocks: readonly Block[]): Promise<void> {
  for (let seed = 0; seed < LOSSES; seed++) {
    const { blocks: store, damage } = await openBlocks(await losePower(machine, seed))
    for (const [i, { cid, bytes }] of blocks.entries()) {
      const got = await store.get(cid)
      assert.ok(got !== undefined && equalBytes(got, bytes), `power loss ${seed}: block ${i} is lost`)
    }
    assert.deepEqual(damage, [], `power loss ${seed}`)
  }
}

function packWrites({ disk }: Machine): string[] {
  const writes: string[] = []
  disk.beforeOperation = (_, what) => {
    if (what.startsWith('write ')) writes.push(what)
  }
  return writes
}

test('a pack that a flush published is in its folder after a power loss', async () => {
  const machine = await newMachine()
  await putAndFlush(machine, BLOCKS)
  await checkAllSurvive(machine, BLOCKS)
})

test('each pack of a rotation that a flush published is in its folder after a power loss', async () => {
  const machine = await newMachine()
  const many = sampleBlocks(60, 200)
  const { blocks: store } = await openBlocks(machine)
  for (let i = 0; i < many.length; i += 5) {
    await store.put(many.slice(i, i + 5))
    await store.flush()
  }
  assert.ok(store.stats().packs > 2)
  await checkAllSurvive(machine, many)
})

test('blocks found behind a failed sync in the first run of a store survive a power loss', async () => {
  const machine = await newMachine()
  await putAndFailToSync(machine, BLOCKS)
  const { blocks: store } = await openBlocks(machine)
  assert.ok((await store.has(BLOCKS.map(({ cid }) => cid))).every(Boolean), 'they are listed')
  await checkAllSurvive(machine, BLOCKS)
})

test('blocks found behind a failed sync in the tail of a published pack survive a power loss', async () => {
  const machine = await newMachine()
  await putAndFlush(machine, EARLIER)
  await putAndFailToSync(machine, BLOCKS)
  const { blocks: store } = await openBlocks(machine)
  assert.ok((await store.has(BLOCKS.map(({ cid }) => cid))).every(Boolean), 'they are listed')
  assert.equal(store.stats().packs, 1)
  await checkAllSurvive(machine, [...EARLIER, ...BLOCKS])
})

test('blocks found behind a failed sync by a rebuild survive a power loss', async () => {
  const machine = await newMachine()
  await putAndFlush(machine, EARLIER)
  await putAndFailToSync(machine, BLOCKS)
  const rebuilt = { ...machine, index: await createSimulatedIndex(machine.disk) }
  const { blocks: store } = await openBlocks(rebuilt)
  assert.ok((await store.has(BLOCKS.map(({ cid }) => cid))).every(Boolean), 'they are listed')
  await checkAllSurvive(rebuilt, [...EARLIER, ...BLOCKS])
})

test('a rebuild after a restart of the machine writes no pack anew, a later one writes only what changed', async () => {
  const machine = await newMachine()
  const many = sampleBlocks(60, 200)
  for (let i = 0; i < many.length; i += 20) await putAndFlush(machine, many.slice(i, i + 20))
  const { disk } = await losePower(machine, 1)
  const restarted = { disk, index: await createSimulatedIndex(disk) }
  const writes = packWrites(restarted)
  const { blocks: store } = await openBlocks(restarted)
  assert.equal(store.stats().blocks, many.length)
  assert.deepEqual(writes, [])
  await store.put(BLOCKS.map(({ cid, bytes }) => ({ cid, bytes })))
  await store.put(EARLIER)
  await store.flush()
  const changed = new Set(writes.splice(0))
  const again = { disk, index: await createSimulatedIndex(disk) }
  await openBlocks(again)
  assert.ok(changed.size > 0)
  assert.deepEqual(new Set(writes), changed)
})

test('a file counts as changed since the machine started exactly when its inode was', (t) => {
  const path = `${tempDir(t)}/file`
  const file = systemFiles.open(path, 'create')
  file.close()
  const nowMs = Date.now()
  t.mock.method(Date, 'now', () => nowMs + 3_600_000)
  t.mock.method(os, 'uptime', () => 2 * 3600)
  assert.equal(systemFiles.changedSinceBoot(path), true)
  t.mock.method(os, 'uptime', () => 1800)
  assert.equal(systemFiles.changedSinceBoot(path), false)
})
