/** A collection among blocks that rest as zstd and blocks that lie in files outside of the store. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { equalBytes } from '../../src/base/bytes.ts'
import { systemClock } from '../../src/base/clock.ts'
import type { Block } from '../../src/block/block.ts'
import { DEFAULT_CHUNKER } from '../../src/block/chunker.ts'
import { cidOf, cidToKeyBytes, RAW } from '../../src/block/cid.ts'
import { encodeSnapshot } from '../../src/dag/snapshot.ts'
import type { BackingPurpose } from '../../src/store/block-backings.ts'
import { openStore } from '../../src/store/store.ts'
import { buildTree, directoryPlan, filePlan } from '../dag/trees.ts'
import { tempDir } from './temp-dir.ts'

const TEXTS = Array.from({ length: 40 }, (_, i) => `line ${i} of a text that compresses well `.repeat(300))

/** A snapshot of some of the texts. */
function snapshotOf(texts: readonly string[]) {
  const blocks: Block[] = []
  const files = Object.fromEntries(texts.map((text, i) => [`f${i}`, filePlan(text)]))
  const { root, index } = buildTree(directoryPlan(files), (block) => blocks.push(block))
  const counts = {
    files: texts.length,
    directories: 1,
    symlinks: 0,
    bytes: 1,
    blocks: index.blocks,
    blockBytes: 1,
  }
  const snapshot = encodeSnapshot({
    tree: 't',
    root,
    index: index.root,
    createdMs: 0,
    chunker: DEFAULT_CHUNKER,
    counts,
    uncaptured: { count: 0, first: [] },
    notes: {},
  })
  return { cid: snapshot.cid, blocks: [...blocks, snapshot] }
}

test('blocks that rest as zstd stay or go, and are moved as they rest', async (t) => {
  const dir = tempDir(t)
  const options = { compression: 'zstd', maxPackBytes: 8 * 1024, reserveBytes: 0 } as const
  const store = await openStore({ dir, clock: systemClock }, options)
  const [kept, dropped] = [snapshotOf(TEXTS.filter((_, i) => i % 2 === 0)), snapshotOf(TEXTS)]
  await store.blocks.put(dropped.blocks)
  await store.blocks.put(kept.blocks)
  await store.blocks.flush()
  const before = store.stats()
  assert.ok(before.packBytes < 200_000, `${before.packBytes} bytes of 460,000 that compress`)
  const report = await store.collect({ choose: () => ({ whole: [kept.cid], partial: [] }) })
  assert.ok(report.deadBlocks >= 20, String(report.deadBlocks))
  assert.ok(store.stats().packBytes < before.packBytes * 0.7, 'space is given back')
  for (const { cid, bytes } of kept.blocks) {
    const got = await store.blocks.get(cid)
    assert.ok(got !== undefined && equalBytes(got, bytes))
  }
  const chunk = kept.blocks.find(({ bytes }) => bytes.length > 5000)!
  assert.equal((await store.blocks.getEncoded([chunk.cid]))[0]?.encoding, 'zstd')
  await store.close()
  const again = await openStore({ dir, clock: systemClock }, options)
  for (const { cid, bytes } of kept.blocks) {
    const got = await again.blocks.get(cid)
    assert.ok(got !== undefined && equalBytes(got, bytes))
  }
  await again.close()
})

for (const { purpose, stays } of [
  { purpose: 'in-place', stays: false },
  { purpose: 'adopted', stays: true },
] as const satisfies { purpose: BackingPurpose; stays: boolean }[]) {
  test(`blocks in files outside of the store (${purpose}) that no snapshot needs ${stays ? 'stay' : 'are forgotten'}`, async (t) => {
    const dir = tempDir(t)
    const store = await openStore({ dir: `${dir}/store`, clock: systemClock }, { reserveBytes: 0 })
    fs.mkdirSync(`${dir}/files`)
    const kept = snapshotOf(TEXTS.slice(0, 10))
    const chunks = TEXTS.slice(0, 20).map((text) => ({ cid: cidOf(RAW, Buffer.from(text)), text }))
    const path = Buffer.from(`${dir}/files`)
    const id = await store.blocks.backings.create({ purpose, label: 't', path })
    for (const [i, { cid, text }] of chunks.entries()) {
      fs.writeFileSync(`${dir}/files/f${i}`, text)
      const { dev, ino, size, mtimeNs, ctimeNs } = fs.lstatSync(`${dir}/files/f${i}`, { bigint: true })
      const identity = { dev, ino, sizeBytes: Number(size), mtimeNs, ctimeNs }
      const block = { key: cidToKeyBytes(cid), offset: 0, lengthBytes: text.length }
      await store.blocks.backings.commit(id, [{ below: Buffer.from(`f${i}`), identity, blocks: [block] }])
    }
    await store.blocks.put(kept.blocks.filter(({ cid }) => cid.code !== RAW))
    await store.blocks.flush()
    await store.collect({ choose: () => ({ whole: [kept.cid], partial: [] }) })
    const has = await store.blocks.has(chunks.map(({ cid }) => cid))
    assert.deepEqual(
      has,
      chunks.map((_, i) => i < 10 || stays),
    )
    for (const { cid, text } of chunks.slice(0, 10)) {
      assert.equal(Buffer.from((await store.blocks.get(cid)) ?? []).toString(), text)
    }
    await store.close()
  })
}
