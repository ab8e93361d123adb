import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { systemClock } from '../../src/base/clock.ts'
import { cidKey } from '../../src/block/cid.ts'
import type { EncodedBlock } from '../../src/block/encoding.ts'
import { createRecentBlocks } from '../../src/store/packs/recent-blocks.ts'
import { openStore } from '../../src/store/store.ts'
import { sampleBlock, sampleBlocks, sampleBytes } from './sample-blocks.ts'
import { tempDir } from './temp-dir.ts'

const encoded = (seed: number, sizeBytes: number): EncodedBlock => ({
  encoding: seed % 2 === 0 ? 'plain' : 'zstd',
  bytes: sampleBytes(seed, sizeBytes),
  lengthBytes: seed % 2 === 0 ? sizeBytes : sizeBytes + 10,
})

function standingClock() {
  const timers: (() => void)[] = []
  const clock = {
    nowMs: 0,
    monotonicMs: () => clock.nowMs,
    after(_: number, task: () => void) {
      timers.push(task)
      return () => {
        const at = timers.indexOf(task)
        if (at >= 0) timers.splice(at, 1)
      }
    },
    fire() {
      for (const task of timers.splice(0)) task()
    },
    timers,
  }
  return clock
}

test('whatever is added, what is given is exactly what was added last under that key, and the newest is there', () => {
  const step = fc.record({
    key: fc.integer({ min: 0, max: 20 }),
    sizeBytes: fc.integer({ min: 1, max: 150 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const recent = createRecentBlocks({ clock: standingClock(), sizeBytes: 1024 })
      const last = new Map<string, EncodedBlock>()
      for (const [seed, { key, sizeBytes }] of steps.entries()) {
        const block = encoded(seed, sizeBytes)
        recent.add(`${key}`, block)
        if (sizeBytes <= 128) {
          last.set(`${key}`, block)
          assert.deepEqual(recent.get(`${key}`), block)
        }
        const names = [...last.keys(), undefined, 'never added']
        assert.deepEqual(
          recent.getMany(names),
          names.map((name) => (name === undefined ? undefined : recent.get(name))),
        )
        let bytes = 0
        for (const [name, expected] of last) {
          const found = recent.get(name)
          if (found === undefined) continue
          assert.deepEqual(found, expected)
          bytes += found.bytes.length
        }
        assert.ok(bytes <= 1024)
      }
    }),
  )
})

test('what is given is the taker’s own, what was given to it the giver’s', () => {
  const recent = createRecentBlocks({ clock: standingClock(), sizeBytes: 1024 })
  const bytes = sampleBytes(1, 100)
  recent.add('a', { encoding: 'plain', bytes, lengthBytes: 100 })
  const expected = bytes.slice()
  bytes.fill(0)
  recent.get('a')!.bytes.fill(0)
  assert.deepEqual(recent.get('a')!.bytes, expected)
  assert.equal(recent.get('a')!.bytes.buffer.byteLength, 100)
  recent.delete('a')
  assert.equal(recent.get('a'), undefined)
})

test('the memory is given back a while after the last block', () => {
  const clock = standingClock()
  const recent = createRecentBlocks({ clock, sizeBytes: 1024 })
  recent.add('a', encoded(2, 50))
  clock.nowMs = 50_000
  recent.add('b', encoded(4, 50))
  clock.nowMs = 60_000
  clock.fire()
  assert.ok(recent.get('a') !== undefined && recent.get('b') !== undefined)
  clock.nowMs = 110_000
  clock.fire()
  assert.deepEqual([recent.get('a'), recent.get('b'), clock.timers.length], [undefined, undefined, 0])
  recent.add('c', encoded(6, 50))
  assert.deepEqual(recent.get('c'), encoded(6, 50))
})

test('blocks are read in runs: side by side, apart, out of order, twice, missing, and the damaged one left out', async (t) => {
  const dir = tempDir(t)
  const blocks = [...sampleBlocks(60), sampleBlock(1000, 40_000), ...sampleBlocks(60, 300, 100)]
  const before = await openStore({ dir, clock: systemClock })
  await before.blocks.put(blocks)
  await before.close()
  const damages: string[] = []
  const store = await openStore({
    dir,
    clock: systemClock,
    onCorrupt: ({ cid }) => damages.push(cid === undefined ? '?' : cidKey(cid)),
  })
  const damaged = blocks[30]!
  const place = (await store.blocks.locate([damaged.cid]))[0]!
  const fd = fs.openSync(place.path, 'r+')
  fs.writeSync(fd, Buffer.from([damaged.bytes[3]! ^ 1]), 0, 1, place.offset + 3)
  fs.closeSync(fd)
  const absent = sampleBlock(5000)
  const asked = [...blocks.filter((_, i) => i % 3 === 0).reverse(), absent, ...blocks, blocks[5]!]
  const found = await store.blocks.getEncoded(asked.map(({ cid }) => cid))
  for (const [i, { cid, bytes }] of asked.entries()) {
    const isThere = cid !== damaged.cid && cid !== absent.cid
    assert.deepEqual(found[i]?.bytes, isThere ? bytes : undefined)
  }
  const plain = await store.blocks.getMany(asked.map(({ cid }) => cid))
  assert.deepEqual(
    plain,
    found.map((block) => block?.bytes),
  )
  // Each lies in memory of its own: one that is kept keeps nothing else.
  assert.ok(plain.every((bytes) => bytes === undefined || bytes.buffer.byteLength === bytes.length))
  assert.deepEqual(new Set(damages), new Set([cidKey(damaged.cid)]))
  assert.deepEqual(await store.blocks.has([damaged.cid]), [false])
  await store.close()
})

test('what was put is given from memory, even when its pack is gone from under it', async (t) => {
  const dir = tempDir(t)
  const store = await openStore({ dir, clock: systemClock })
  const block = sampleBlock(1)
  await store.blocks.put([block])
  const { path } = (await store.blocks.locate([block.cid]))[0]!
  fs.truncateSync(path, 40)
  assert.deepEqual((await store.blocks.getEncoded([block.cid]))[0]?.bytes, block.bytes)
  // Found damaged by a read of the disk, it is missing in memory too.
  assert.equal(await store.blocks.get(block.cid), undefined)
  assert.deepEqual(await store.blocks.getEncoded([block.cid]), [undefined])
  await store.close()
})
