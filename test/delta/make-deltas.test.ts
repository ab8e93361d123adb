import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isMirrorError } from '../../src/base/errors.ts'
import { cidKey } from '../../src/block/cid.ts'
import type { MadeDelta } from '../../src/delta/delta.ts'
import { type DeltaOptions, makeDeltas } from '../../src/delta/make-deltas.ts'
import { createMemorySource } from '../dag/memory-source.ts'
import { collect } from '../dag/trees.ts'
import { checkDeltas, edited, type Files, histories, listBlocks, noise, snapshotOf } from './snapshots.ts'

const SMALL = { maxRunBytes: 6000, maxWindowBytes: 9000, marginBytes: 1000 }

/** Up to which size files lie in the nodes of their folders: before, and after. */
interface Inline {
  readonly inline?: readonly [before: number, after: number]
}

async function deltasBetween(
  before: Files,
  after: Files,
  { inline: [inlineBefore, inlineAfter] = [0, 0], ...options }: Partial<DeltaOptions> & Inline = {},
): Promise<{ deltas: MadeDelta[]; made: Set<number>; news: number; plain: number; sent: number }> {
  const source = createMemorySource()
  const base = snapshotOf(before, source.emit, inlineBefore)
  const target = snapshotOf(after, source.emit, inlineAfter)
  const deltas = await collect(makeDeltas({ source }, { target, base, workers: 0, ...options }))
  const [targets, bases] = [await listBlocks(source, target), await listBlocks(source, base)]
  const made = checkDeltas(deltas, targets, bases)
  const held = new Set(bases.map(({ cid }) => cidKey(cid)))
  const fresh = targets.filter(({ cid }) => !held.has(cidKey(cid)))
  const plain = fresh.reduce((sum, { bytes }) => sum + bytes.length, 0)
  const covered = targets.filter((_, at) => made.has(at)).reduce((sum, { bytes }) => sum + bytes.length, 0)
  const sent = plain - covered + deltas.reduce((sum, { bytes }) => sum + bytes.length, 0)
  return { deltas, made, news: fresh.length, plain, sent }
}

test('whatever happened to a tree, deltas give exactly the blocks that the base lacks, within the bounds', async () => {
  let count = 0
  await fc.assert(
    fc.asyncProperty(histories, fc.boolean(), async ({ before, after }, isSmall) => {
      const { deltas } = await deltasBetween(before, after, isSmall ? { sizes: SMALL } : {})
      count += deltas.length
    }),
    { numRuns: 150 },
  )
  assert.ok(count > 20, `${count} deltas were made in all`)
})

test('the same pair gives the same deltas, in threads too', async () => {
  const before: Files = new Map(
    Array.from({ length: 40 }, (_, i) => [`d${i % 5}/f${i}`, [noise(i, 9000), noise(i + 100, 3000)]]),
  )
  const after: Files = new Map(
    [...before].map(([path, blocks], i) => [path, blocks.map((b) => edited(b, i + 7))]),
  )
  const alone = await deltasBetween(before, after, { sizes: SMALL })
  const threads = await deltasBetween(before, after, { sizes: SMALL, workers: 2 })
  assert.ok(alone.deltas.length > 40)
  assert.deepEqual(threads.deltas, alone.deltas)
})

test('an unchanged tree, and one that shares nothing with its base, have no deltas', async () => {
  const files: Files = new Map([['a', [noise(1, 5000), noise(2, 5000)]]])
  assert.equal((await deltasBetween(files, files)).deltas.length, 0)
  const other: Files = new Map([['a', [noise(3, 5000), noise(4, 5000)]]])
  assert.equal((await deltasBetween(files, other)).deltas.length, 0)
  assert.equal((await deltasBetween(new Map(), files)).deltas.length, 0)
  assert.equal((await deltasBetween(files, new Map())).deltas.length, 0)
})

test('what was inserted shifts the place of all that follows', async () => {
  const blocks = Array.from({ length: 60 }, (_, i) => noise(i, 4000))
  const changed = blocks.map((bytes, i) => (i % 3 === 1 ? edited(bytes, i) : bytes))
  const longer = [...Array.from({ length: 30 }, (_, i) => noise(1000 + i, 4000)), ...changed]
  const sizes = { maxRunBytes: 8000, maxWindowBytes: 12_000, marginBytes: 0 }
  const { plain, sent } = await deltasBetween(new Map([['f', blocks]]), new Map([['f', longer]]), { sizes })
  const inserted = 30 * 4000
  assert.ok(sent - inserted < (plain - inserted) / 10, `${sent} bytes of ${plain}, ${inserted} of them new`)
})

const SMALL_FILES = 400

function smallFiles(
  change: (bytes: Uint8Array, at: number) => Uint8Array,
): Map<string, readonly Uint8Array[]> {
  return new Map(
    Array.from({ length: SMALL_FILES }, (_, i) => {
      const bytes = noise(i, 600 + ((i * 37) % 2800))
      const name = `d${i % 2}/f-${String(i).padStart(4, '0')}`
      return [name, [i % 5 === 0 ? change(bytes, i) : bytes]] as const
    }),
  )
}

test('small files in the nodes of their folders find what those held, split and merged as they may be', async () => {
  const before = smallFiles((bytes) => bytes)
  const more = smallFiles(edited)
  let addedBytes = 0
  for (let i = 0; i < 60; i++) {
    const bytes = noise(5000 + i, 2000)
    more.set(`d0/f-0${100 + i}-new`, [bytes])
    addedBytes += bytes.length
  }
  const inline = [4096, 4096] as const
  const grown = await deltasBetween(before, more, { inline })
  assert.ok(grown.news > 4 && grown.plain > 300_000, `${grown.plain} bytes in ${grown.news} nodes`)
  // Of noise of 64 values three quarters stay.
  assert.ok(grown.sent < addedBytes * 0.8 + 30_000, `${grown.sent} bytes of ${grown.plain}`)
  const shrunk = await deltasBetween(more, before, { inline })
  assert.ok(shrunk.sent < 30_000, `${shrunk.sent} bytes of ${shrunk.plain}`)
})

test('nodes that hold small files for the first time find them where they were blocks of their own', async () => {
  const [before, after] = [smallFiles((bytes) => bytes), smallFiles(edited)]
  const { plain, sent } = await deltasBetween(before, after, { inline: [0, 4096] })
  assert.ok(plain > 700_000 && sent < plain / 10, `${sent} bytes of ${plain}`)
})

test('a new version under another name, in a folder of another name, finds the old one', async () => {
  const old: Files = new Map([
    ['modules/6.1.0-51-amd64/kernel/a.ko', [noise(1, 5000)]],
    ['modules/6.1.0-51-amd64/kernel/b.ko', [noise(2, 5000)]],
    ['boot/vmlinuz-6.1.0-51', [noise(3, 9000), noise(4, 9000)]],
    ['assets/app.8f3e01c2.js', [noise(5, 5000)]],
  ])
  const after: Files = new Map([
    ['modules/6.1.0-52-amd64/kernel/a.ko', [edited(noise(1, 5000), 11)]],
    ['modules/6.1.0-52-amd64/kernel/b.ko', [edited(noise(2, 5000), 12)]],
    ['boot/vmlinuz-6.1.0-52', [edited(noise(3, 9000), 13), edited(noise(4, 9000), 14)]],
    ['assets/app.77ab90d1.js', [edited(noise(5, 5000), 15)]],
  ])
  const moved = await deltasBetween(old, after)
  assert.ok(moved.sent < moved.plain / 10, `${moved.sent} bytes of ${moved.plain}`)
  // The old version may stay beside it.
  const kept = await deltasBetween(old, new Map([...old, ...after]))
  assert.ok(kept.sent < kept.plain / 10, `${kept.sent} bytes of ${kept.plain}`)
})

test('a window that zstd would take for a dictionary of its own is not used', async () => {
  const magic = Buffer.concat([Buffer.from('37a430ec', 'hex'), noise(9, 5000)])
  const { deltas } = await deltasBetween(new Map([['f', [magic]]]), new Map([['f', [edited(magic, 2000)]]]))
  assert.deepEqual(deltas, [])
})

test('a snapshot that is not whole says which block is missing, and no thread stays behind', async () => {
  const source = createMemorySource()
  const block = noise(1, 5000)
  const base = snapshotOf(new Map([['f', [block]]]), source.emit)
  const target = snapshotOf(new Map([['f', [edited(block, 5)]]]), source.emit)
  for (const [key, { bytes }] of source.blocks) if (bytes.length === block.length) source.blocks.delete(key)
  await assert.rejects(
    collect(makeDeltas({ source }, { target, base, workers: 1 })),
    (error) => isMirrorError(error, 'not-found') && error.message.includes('base of a delta'),
  )
})

test('a signal ends the work', async () => {
  const source = createMemorySource()
  const blocks = Array.from({ length: 50 }, (_, i) => noise(i, 5000))
  const base = snapshotOf(new Map([['f', blocks]]), source.emit)
  const target = snapshotOf(new Map([['f', blocks.map((each) => edited(each, 9))]]), source.emit)
  const stop = new AbortController()
  const options = { target, base, workers: 1, sizes: SMALL, signal: stop.signal }
  let count = 0
  await assert.rejects(
    async () => {
      for await (const _ of makeDeltas({ source }, options)) {
        count += 1
        stop.abort()
      }
    },
    { name: 'AbortError' },
  )
  assert.ok(count >= 1 && count < 20, `${count} came after all`)
})
