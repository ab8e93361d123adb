/** What a collection takes, what it leaves, and that nobody is told "here" of what goes. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { systemClock } from '../../src/base/clock.ts'
import { isMirrorError, MirrorError } from '../../src/base/errors.ts'
import type { Block } from '../../src/block/block.ts'
import type { Cid } from '../../src/block/cid.ts'
import { cidOf, cidToKeyBytes, DAG_CBOR, RAW } from '../../src/block/cid.ts'
import { encodeCbor } from '../../src/block/codec.ts'
import type { Lease } from '../../src/store/block-store.ts'
import type { CollectionOptions } from '../../src/store/collect/collection.ts'
import { systemFiles } from '../../src/store/files.ts'
import { createKeyFilter } from '../../src/store/index/key-filter.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { createPackAppender } from '../../src/store/packs/pack-appender.ts'
import type { Store } from '../../src/store/store.ts'
import { openStore } from '../../src/store/store.ts'
import { readPlace } from './read-place.ts'
import { sampleBlock, sampleBlocks } from './sample-blocks.ts'
import { testSnapshot } from './sample-snapshot.ts'
import type { Machine } from './simulated-machine.ts'
import { newMachine, openBlocks } from './simulated-machine.ts'
import { tempDir } from './temp-dir.ts'

const KEPT = testSnapshot(sampleBlocks(60, 800), 'kept')
/** Shares a third with the other. */
const OLD = testSnapshot([...sampleBlocks(20, 800), ...sampleBlocks(90, 800, 5000)], 'old')
const keep = (...snapshots: readonly { readonly cid: Cid }[]): CollectionOptions => ({
  choose: () => ({ whole: snapshots.map(({ cid }) => cid), partial: [] }),
})
const NONE = keep()

async function has(store: Pick<Store, 'blocks'>, blocks: readonly Block[]): Promise<number> {
  return (await store.blocks.has(blocks.map(({ cid }) => cid))).filter(Boolean).length
}

function onlyOf(a: { all: readonly Block[] }, b: { all: readonly Block[] }): Block[] {
  const others = new Set(b.all.map(({ cid }) => cid.toString()))
  return a.all.filter(({ cid }) => !others.has(cid.toString()))
}

const ONLY_OLD = onlyOf(OLD, KEPT)

for (const kind of ['memory', 'packs'] as const) {
  describe(`a collection of the store in ${kind}`, () => {
    async function withStore(use: (store: Store) => Promise<void>): Promise<void> {
      const dir = fs.mkdtempSync('/tmp/mirrormesh-collect-')
      const options = { maxPackBytes: 6000, autoFlushBytes: 3000 }
      const store =
        kind === 'memory' ? createMemoryStore() : await openStore({ dir, clock: systemClock }, options)
      try {
        await use(store)
      } finally {
        await store.close()
        fs.rmSync(dir, { recursive: true, force: true })
      }
    }

    test('leaves all that a leased block leads to, and looks at what is shared once', () =>
      withStore(async (store) => {
        const node = (...links: readonly Block[]): Block => {
          const bytes = encodeCbor({ links: links.map(({ cid }) => cid) })
          return { cid: cidOf(DAG_CBOR, bytes), bytes }
        }
        const leaves = sampleBlocks(12, 200, 9000).filter(({ cid }) => cid.code === RAW)
        const shared = node(...leaves.slice(0, 4))
        const [left, right] = [node(shared, leaves[4]!), node(shared, leaves[5]!)]
        const root = node(left, right, leaves[6]!)
        const dag = [...leaves.slice(0, 7), shared, left, right, root]
        await store.blocks.put([...dag, ...OLD.all])
        await store.blocks.flush()
        const lease = store.blocks.lease({ purpose: 'archive', below: [root.cid] })
        assert.equal(lease.isLate, false)
        await store.collect(NONE)
        assert.deepEqual([await has(store, dag), await has(store, OLD.all)], [dag.length, 0])
        lease.close()
        await store.collect({
          async choose() {
            using late = store.blocks.lease({ purpose: 'archive', below: [left.cid] })
            assert.equal(late.isLate, true)
            return { whole: [], partial: [] }
          },
        })
        assert.equal(await has(store, dag), 0)
      }))

    test('takes what no snapshot lists and nothing else, and a dry run says so before', () =>
      withStore(async (store) => {
        await store.blocks.put([...KEPT.all, ...OLD.all])
        await store.blocks.flush()
        const planned = await store.collect({ ...keep(KEPT), isDryRun: true })
        assert.equal(await has(store, OLD.all), OLD.all.length)
        const done = await store.collect(keep(KEPT))
        assert.equal(planned.deadBlocks, done.deadBlocks)
        assert.equal(planned.deadBytes, done.deadBytes)
        assert.equal(await has(store, KEPT.all), KEPT.all.length)
        for (const { cid, bytes } of KEPT.all) assert.deepEqual(await store.blocks.get(cid), bytes)
        // A filter keeps one in a hundred by chance; so many of this number it never does.
        assert.ok((await has(store, ONLY_OLD)) < 10)
        assert.equal(done.liveBlocks, store.stats().blocks)
      }))

    test('a dry run tells what each snapshot takes along, and what two share once', () =>
      withStore(async (store) => {
        const next = testSnapshot([...sampleBlocks(110, 800, 5000), ...sampleBlocks(20, 800)], 'next')
        await store.blocks.put([...KEPT.all, ...OLD.all, ...next.all])
        await store.blocks.flush()
        const dropped = [next.cid, OLD.cid]
        const choose = () => ({ whole: [KEPT.cid], partial: [], dropped })
        const { shares, deadBlocks } = await store.collect({ choose, isDryRun: true })
        // Next has all of the old one's, but for its own nodes.
        const [first, second] = shares!
        const isAbout = (found: number, exact: number) =>
          assert.ok(found <= exact && found >= exact * 0.9 - 1, `${found} of ${exact}`)
        isAbout(first!.blocks, onlyOf(next, KEPT).length)
        isAbout(second!.blocks, onlyOf(OLD, next).length)
        isAbout(
          first!.bytes,
          onlyOf(next, KEPT).reduce((sum, { bytes }) => sum + bytes.length, 0),
        )
        isAbout(first!.blocks + second!.blocks, deadBlocks)
        assert.equal(await has(store, OLD.all), OLD.all.length)
        assert.equal((await store.collect({ choose })).shares, undefined)
      }))

    test('stops before anything is deleted when a complete snapshot has lost a page', () =>
      withStore(async (store) => {
        await store.blocks.put([...KEPT.all, ...OLD.all.filter(({ cid }) => !cid.equals(OLD.own[0]!.cid))])
        await store.blocks.flush()
        const blocks = store.stats().blocks
        await assert.rejects(store.collect(keep(KEPT, OLD)), (error) => {
          assert.ok(isMirrorError(error, 'corrupt'))
          assert.match(error.message, /nothing is collected/)
          return true
        })
        assert.equal(store.stats().blocks, blocks)
        // The same one, known to be incomplete, keeps what is here of it and its pages.
        await store.collect({ choose: () => ({ whole: [KEPT.cid], partial: [OLD.cid] }) })
        assert.equal(await has(store, [OLD.own.at(-1)!]), 1)
      }))

    test('leaves what a reader has leased, until the lease ends', () =>
      withStore(async (store) => {
        await store.blocks.put(OLD.all)
        const lease = store.blocks.lease({ purpose: 'read', roots: [OLD.cid] })
        await store.collect(NONE)
        assert.equal(await has(store, OLD.all), OLD.all.length)
        lease.close()
        await store.blocks.flush()
        await store.collect(NONE)
        assert.ok((await has(store, OLD.all)) < 10)
      }))

    test('leaves what a writer was told is here or has stored, until its lease ends', () =>
      withStore(async (store) => {
        const earlier = sampleBlocks(300, 300, 20_000)
        await store.blocks.put(earlier)
        await store.blocks.flush()
        const lease = store.blocks.lease({ purpose: 'import', isWriter: true })
        const relied = earlier.slice(0, 100)
        assert.equal(await has(store, relied), relied.length)
        const stored = sampleBlocks(100, 300, 30_000)
        await store.blocks.put(stored.slice(0, 50))
        await store.blocks.flush()
        const { packId, path } = await store.blocks.reservePack()
        const appender = createPackAppender(path, packId)
        const entries = stored.slice(50).map(({ cid, bytes }) => appender.append(cidToKeyBytes(cid), bytes))
        appender.sync()
        appender.close()
        await store.blocks.commitPacked(packId, entries)
        await store.collect(NONE)
        assert.equal(await has(store, relied), relied.length)
        assert.equal(await has(store, stored), stored.length)
        await store.blocks.releasePack(packId)
        lease.close()
        await store.collect(NONE)
        assert.ok((await has(store, [...relied, ...stored])) < 20)
      }))

    test('one at a time', () =>
      withStore(async (store) => {
        await store.blocks.put(KEPT.all)
        const first = store.collect(keep(KEPT))
        await assert.rejects(store.collect(NONE), { code: 'busy' })
        await first
        await store.collect(keep(KEPT))
      }))
  })
}

function packBytesOn(dir: string): number {
  return fs
    .readdirSync(`${dir}/packs`)
    .reduce((sum, name) => sum + fs.statSync(`${dir}/packs/${name}`).size, 0)
}

test('space is given back: packs without a live block go, others are compacted, the active one too', async (t) => {
  const dir = tempDir(t)
  const damage: unknown[] = []
  const store = await openStore(
    { dir, clock: systemClock, onCorrupt: (found) => void damage.push(found) },
    { maxPackBytes: 50_000, autoFlushBytes: 10_000 },
  )
  const live = sampleBlocks(20, 2000, 100_000)
  const kept = testSnapshot(live, 'kept')
  const dead = sampleBlocks(400, 2000, 200_000)
  // A live block among every twenty dead ones at first, then dead ones only, then both in the active pack.
  for (let i = 0; i < 10; i++) await store.blocks.put([live[i]!, ...dead.slice(i * 20, i * 20 + 20)])
  for (let i = 200; i < 390; i += 10) await store.blocks.put(dead.slice(i, i + 10))
  await store.blocks.put([...live.slice(10), ...kept.own, ...dead.slice(390)])
  await store.blocks.flush()
  const places = await store.blocks.locate(live.map(({ cid }) => cid))
  // Opens files in the reader, which must not keep the space of removed packs.
  for (const { cid } of dead) await store.blocks.get(cid)
  const before = packBytesOn(dir)
  const openFiles = (): number =>
    fs.readdirSync('/proc/self/fd').filter((fd) => {
      try {
        return (
          fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith(`${dir}/packs`) &&
          fs.readlinkSync(`/proc/self/fd/${fd}`).endsWith('(deleted)')
        )
      } catch {
        return false
      }
    }).length
  const report = await store.collect(keep(kept))
  const liveBytes = kept.all.reduce((sum, { bytes }) => sum + bytes.length + 52, 0)
  assert.ok(packBytesOn(dir) < liveBytes * 1.5 + 5000, `${packBytesOn(dir)} bytes for ${liveBytes}`)
  assert.ok(
    Math.abs(before - packBytesOn(dir) - report.freedBytes) < 200,
    'what is reported is what the disk got',
  )
  assert.ok(report.removedPacks > 0 && report.compactedPacks > 0)
  assert.equal(openFiles(), 0)
  // A thread that holds a place from before finds nothing or the same bytes there, and asks again.
  assert.throws(() => readPlace(places[0]!), { code: 'ENOENT' })
  for (const { cid, bytes } of kept.all) assert.deepEqual(await store.blocks.get(cid), bytes)
  assert.equal(damage.length, 0)
  await store.close()
  const again = await openStore({ dir, clock: systemClock, onCorrupt: (found) => void damage.push(found) })
  for (const { cid, bytes } of kept.all) assert.deepEqual(await again.blocks.get(cid), bytes)
  assert.equal(damage.length, 0)
  await again.close()
})

test('on a full disk packs without a live block go; what would need space is left, with the reason', async (t) => {
  const dir = tempDir(t)
  let freeBytes = 1e12
  const files = { ...systemFiles, freeBytes: async () => freeBytes }
  const store = await openStore(
    { dir, clock: systemClock, files },
    { maxPackBytes: 20_000, autoFlushBytes: 5000 },
  )
  const live = sampleBlocks(10, 2000, 100_000)
  const kept = testSnapshot(live, 'kept')
  const dead = sampleBlocks(100, 2000, 200_000)
  for (let i = 0; i < 10; i++) await store.blocks.put([live[i]!, ...dead.slice(i * 5, i * 5 + 5)])
  for (let i = 50; i < 100; i += 5) await store.blocks.put(dead.slice(i, i + 5))
  await store.blocks.put(kept.own)
  await store.blocks.flush()
  freeBytes = 0
  // What was granted before is used up: from here on each write asks.
  let seed = 400_000
  for (const sizeBytes of [2_000_000, 100_000, 1000]) {
    const fill = async (): Promise<void> => {
      for (;;) await store.blocks.put([sampleBlock(seed++, sizeBytes)])
    }
    await assert.rejects(fill(), { code: 'no-space' })
  }
  const report = await store.collect(keep(kept))
  assert.ok(report.removedPacks > 0)
  assert.match(report.leftFor ?? '', / B free/)
  for (const { cid, bytes } of kept.all) assert.deepEqual(await store.blocks.get(cid), bytes)
  freeBytes = 1e12
  assert.ok((await store.collect(keep(kept))).compactedPacks > 0)
  for (const { cid, bytes } of kept.all) assert.deepEqual(await store.blocks.get(cid), bytes)
  await store.close()
})

test('readers that race with compaction are told of no damage', async (t) => {
  const damage: unknown[] = []
  const store = await openStore(
    { dir: tempDir(t), clock: systemClock, onCorrupt: (found) => void damage.push(found) },
    { maxPackBytes: 8000, autoFlushBytes: 2000 },
  )
  const live = sampleBlocks(60, 600, 100_000)
  const kept = testSnapshot(live, 'kept')
  await store.blocks.put(kept.own)
  for (let round = 0; round < 8; round++) {
    const dead = sampleBlocks(120, 600, 200_000 + round * 1000)
    for (let i = 0; i < 60; i++) await store.blocks.put([live[i]!, dead[i]!, dead[i + 60]!])
    await store.blocks.flush()
    let isDone = false
    const reader = async (): Promise<void> => {
      while (!isDone) {
        for (const { cid, bytes } of live) assert.deepEqual(await store.blocks.get(cid), bytes)
      }
    }
    const readers = [reader(), reader(), reader()]
    await store.collect(keep(kept))
    isDone = true
    await Promise.all(readers)
  }
  assert.deepEqual(damage, [])
  await store.close()
})

test('a key filter never loses a key, and few others seem to be in it', () => {
  const keys = sampleBlocks(4000, 40, 1).map(({ cid }) => cidToKeyBytes(cid))
  const filter = createKeyFilter({ capacity: 2000 })
  for (const key of keys.slice(0, 2000)) filter.add(key)
  assert.ok(keys.slice(0, 2000).every((key) => filter.mayHave(key)))
  assert.ok(keys.slice(2000).filter((key) => filter.mayHave(key)).length < 60)
})

/** The machine as one process sees it, until it is killed. */
function fenced({ disk, index }: Machine): { machine: Machine; kill: () => void } {
  let isKilled = false
  const check = (): void => {
    if (isKilled) throw new MirrorError('aborted', 'killed')
  }
  const machine: Machine = {
    disk: {
      ...disk,
      open(path, mode) {
        check()
        const file = disk.open(path, mode)
        return {
          ...file,
          write(bytes, position) {
            check()
            file.write(bytes, position)
          },
          truncate(sizeBytes) {
            check()
            file.truncate(sizeBytes)
          },
        }
      },
      remove(path) {
        check()
        disk.remove(path)
      },
    },
    index: {
      ...index,
      async batch(operations, options) {
        check()
        await index.batch(operations, options)
      },
    },
  }
  return {
    machine,
    kill() {
      isKilled = true
    },
  }
}

/** Any order of what a node does to its store, a collection in the middle of it. */
test('no interleaving of puts, questions, leases, collections and kills costs a retained snapshot a block', async () => {
  const step = fc.oneof(
    fc.record({ type: fc.constant('import' as const), at: fc.nat(30), tree: fc.nat(2), drops: fc.boolean() }),
    fc.record({ type: fc.constant('stray' as const), at: fc.nat(30) }),
    fc.record({ type: fc.constant('collect' as const), waits: fc.boolean() }),
    fc.record({ type: fc.constant('kill' as const) }),
    fc.record({ type: fc.constant('turns' as const), count: fc.nat(40) }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 24 }), async (steps) => {
      const machine = await newMachine()
      let node = await openBlocks(machine)
      let kill = (): void => undefined
      const start = async (): Promise<void> => {
        // A killed process does nothing any more; in one process, its promises must be kept from it.
        const fence = fenced(machine)
        kill = fence.kill
        node = await openBlocks(fence.machine)
      }
      await start()
      let work: Promise<void>[] = []
      /** By tree: what is registered as complete. */
      const retained = new Map<number, ReturnType<typeof testSnapshot>>()
      let life = 0
      const importTree = async (at: number, tree: number, own: number): Promise<void> => {
        const lease: Lease = node.blocks.lease({ purpose: 'import', isWriter: true })
        const { blocks } = node
        const snapshot = testSnapshot(sampleBlocks(12, 200, at), `${tree}`)
        const told = await blocks.has(snapshot.all.map(({ cid }) => cid))
        // What the store says it has is not written again, as in a real import.
        for (const [i, block] of snapshot.all.entries()) if (told[i] !== true) await blocks.put([block])
        await blocks.flush()
        if (own === life) retained.set(tree, snapshot)
        lease.close()
      }
      for (const each of steps) {
        if (each.type === 'import') work.push(importTree(each.at, each.tree, life))
        else if (each.type === 'stray') await node.blocks.put(sampleBlocks(8, 200, each.at + 15))
        else if (each.type === 'turns') for (let i = 0; i < each.count; i++) await Promise.resolve()
        else if (each.type === 'kill') {
          life += 1
          kill()
          for (const task of work) task.catch(() => undefined)
          work = []
          await start()
        } else {
          const collecting = node.blocks.collect({ choose: () => keep(...retained.values()).choose() }).then(
            () => undefined,
            (error: unknown) => {
              if (!isMirrorError(error, 'busy') && !isMirrorError(error, 'aborted')) throw error
            },
          )
          if (each.waits) await collecting
          else work.push(collecting)
        }
      }
      await Promise.all(work)
      for (const snapshot of retained.values()) {
        for (const { cid, bytes } of snapshot.all) assert.deepEqual(await node.blocks.get(cid), bytes)
      }
      assert.deepEqual(node.damage, [])
    }),
    { numRuns: 150 },
  )
})
