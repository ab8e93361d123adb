/** That new blocks find their like: by name, by what stands beside them, and by what they hold. */
import assert from 'node:assert/strict'
import { createCipheriv } from 'node:crypto'
import { test } from 'node:test'
import { utf8 } from '../../src/base/bytes.ts'
import { cidKey } from '../../src/block/cid.ts'
import type { Entry } from '../../src/dag/entry.ts'
import { makeDeltas } from '../../src/delta/make-deltas.ts'
import { findSimilarName } from '../../src/delta/similar-name.ts'
import { createMemorySource, type MemorySource } from '../dag/memory-source.ts'
import { chunkCid, collect, META } from '../dag/trees.ts'
import { checkDeltas, edited, type Files, listBlocks, noise, snapshotOf } from './snapshots.ts'

/** How much of the new bytes still has to be sent with deltas: 1 is all. */
async function shareSent(
  before: Files,
  after: Files,
  sizes = { maxRunBytes: 64 * 1024, maxWindowBytes: 128 * 1024, marginBytes: 16 * 1024 },
  source: MemorySource = createMemorySource(),
): Promise<number> {
  const [base, target] = [snapshotOf(before, source.emit), snapshotOf(after, source.emit)]
  source.takeReads()
  const deltas = await collect(makeDeltas({ source }, { target, base, workers: 0, sizes }))
  const [targets, bases] = [await listBlocks(source, target), await listBlocks(source, base)]
  const made = checkDeltas(deltas, targets, bases)
  const held = new Set(bases.map(({ cid }) => cidKey(cid)))
  let [plain, sent] = [0, deltas.reduce((sum, { bytes }) => sum + bytes.length, 0)]
  for (const [position, { cid, bytes }] of targets.entries()) {
    if (held.has(cidKey(cid))) continue
    plain += bytes.length
    if (!made.has(position)) sent += bytes.length
  }
  return sent / plain
}

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

test('a file that was moved to another folder under another name, and edited, is found by what it holds', async () => {
  const blocks = range(8).map((i) => noise(i, 60_000))
  const before: Files = new Map([
    ['old/place/report', blocks],
    ['kept', [noise(99, 50_000)]],
  ])
  const after: Files = new Map([
    ['new/folder/summary-of-all', blocks.map((bytes, i) => edited(bytes, 31 * i))],
    ['kept', [noise(99, 50_000)]],
  ])
  const share = await shareSent(before, after)
  assert.ok(share < 0.1, `${share} of it is sent`)
})

test('an insertion in a file whose every block changed is made good by its anchors', async () => {
  const old = range(60).map((i) => noise(i, 20_000))
  const inserted = range(20).map((i) => noise(1000 + i, 20_000))
  const changed = old.map((bytes, i) => edited(bytes, 17 * i))
  const after = [...changed.slice(0, 30), ...inserted, ...changed.slice(30)]
  const share = await shareSent(new Map([['f', old]]), new Map([['f', after]]))
  const fresh = 20 / 80
  assert.ok(share < fresh + 0.06, `${share} of it is sent, ${fresh} is new`)
})

test('an image of known files finds what stands beside the blocks that it shares with them', async () => {
  const head = noise(500, 30_000)
  const shared = range(10).map((i) => noise(i, 30_000))
  const before: Files = new Map([['packages/a', [...shared.slice(0, 5), head, ...shared.slice(5)]]])
  const after: Files = new Map([
    ...before,
    ['zz-image', [...shared.slice(0, 5), edited(head, 9), ...shared.slice(5)]],
  ])
  const share = await shareSent(before, after)
  assert.ok(share < 0.2, `${share} of it is sent`)
})

test('an incompressible neighbour does not spoil the delta of a text beside it', async () => {
  const random = (seed: number): Uint8Array =>
    createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16)).update(Buffer.alloc(30_000))
  const before: Files = new Map([
    ['boot/a-config', [noise(1, 2000)]],
    ['boot/b-image', [random(2)]],
  ])
  const after: Files = new Map([
    ['boot/a-config', [edited(noise(1, 2000), 5)]],
    ['boot/b-image', [random(3)]],
  ])
  const source = createMemorySource()
  const [base, target] = [snapshotOf(before, source.emit), snapshotOf(after, source.emit)]
  const deltas = await collect(makeDeltas({ source }, { target, base, workers: 0 }))
  assert.ok(deltas.some(({ targets }) => targets[0]?.first === 0))
})

test('what changed in one of very many files is found without reading the others', async () => {
  const files: [string, Uint8Array[]][] = range(4000).map((i) => [`d/${i}`, [utf8(`the file ${i}`)]])
  const before: Files = new Map([...files, ['d/2000x', [noise(1, 5000)]]])
  const after: Files = new Map([...files, ['d/2000x', [edited(noise(1, 5000), 77)]]])
  const source = createMemorySource()
  const share = await shareSent(before, after, undefined, source)
  assert.ok(share < 0.2, `${share} of it is sent`)
  const [base, target] = [snapshotOf(before, source.emit), snapshotOf(after, source.emit)]
  source.takeReads()
  await collect(makeDeltas({ source }, { target, base, workers: 0 }))
  const reads = source.takeReads()
  assert.ok(reads < 300, `${reads} blocks were read`)
})

test('twenty thousand new tiny names, all alike, take time that follows their number', async () => {
  const source = createMemorySource()
  const content = [noise(1, 700)]
  const names = (from: number, count: number): Files =>
    new Map(
      range(count).map((i) => [`d/file-${from + i}.rpm`, i % 50 === 0 ? [noise(from + i, 700)] : content]),
    )
  const base = snapshotOf(names(0, 5000), source.emit)
  const target = snapshotOf(names(1_000_000, 20_000), source.emit)
  const { user } = process.cpuUsage()
  await collect(makeDeltas({ source }, { target, base, workers: 0 }))
  const seconds = (process.cpuUsage().user - user) / 1e6
  assert.ok(seconds < 5, `it took ${seconds} s of the processor`)
})

test('equal blocks, runs of one byte and a directory that is named again and again are each made once', async () => {
  const zeros = new Uint8Array(100_000)
  const old = edited(noise(5, 4000), 3)
  const before: Files = new Map([
    ['a', [zeros, old, zeros]],
    ['b', [old]],
  ])
  const again = edited(old, 1234)
  const after: Files = new Map([
    ['a', [zeros, again, again, zeros, again]],
    ...range(500).map((i): [string, Uint8Array[]] => [`same/${i}/x/y`, [again]]),
    ['b', [again]],
  ])
  const share = await shareSent(before, after)
  assert.ok(share < 0.9, `${share} of it is sent`)
})

test('the name that is nearest to a new one is taken, numbers and hashes aside', () => {
  const file = (name: string): Entry => ({
    type: 'file',
    name: utf8(name),
    ...META,
    sizeBytes: 1,
    content: chunkCid(1),
  })
  const find = (name: string, others: readonly string[]): string | undefined => {
    const found = findSimilarName(file(name), others.map(file))
    return found === undefined ? undefined : Buffer.from(found.name).toString()
  }
  assert.equal(
    find('vmlinuz-6.1.0-54', ['config-6.1.0-53', 'vmlinuz-6.1.0-53', 'initrd']),
    'vmlinuz-6.1.0-53',
  )
  assert.equal(
    find('pkg-1.2-4.deb', ['pkg-1.2-1.deb', 'pkg-1.2-3.deb', 'pkg-dev-1.2-3.deb']),
    'pkg-1.2-3.deb',
  )
  assert.equal(
    find('main.8f3e01c2.js', ['main.css', 'main.77ab90d1.js', 'vendor.00ff12aa.js']),
    'main.77ab90d1.js',
  )
  assert.equal(find('libfoo.so.1-debug', ['libfoo.so.1-dbg', 'libbar.so.1']), 'libfoo.so.1-dbg')
  assert.equal(find('readme', ['config', 'x', '']), undefined)
})
