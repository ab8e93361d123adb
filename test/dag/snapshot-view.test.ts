/** The view of a snapshot: it shows what is under its filter, and needs the tree's shape and those contents, no more and no less. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { PathFilter } from '../../src/base/path-filter.ts'
import { compileFilter } from '../../src/base/path-filter.ts'
import { cidKey, DAG_CBOR, RAW } from '../../src/block/cid.ts'
import { closure, walk } from '../../src/dag/reader.ts'
import type { Snapshot } from '../../src/dag/snapshot.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import { makeView, viewBlocks } from '../../src/dag/snapshot-view.ts'
import { createMemorySource } from './memory-source.ts'
import { SAMPLE_SNAPSHOT } from './samples.ts'
import { buildTree, collect, directoryPlan, filePlan, type Plan, plans } from './trees.ts'

/** Of a tree in memory, with counts that are its own. */
async function snapshotOf(plan: Plan) {
  const source = createMemorySource()
  const { root, index } = buildTree(plan, source.emit)
  const counts = { files: 0, directories: 0, symlinks: 0, specials: 0, bytes: 0 }
  for (const { entry } of await collect(walk(source, root))) {
    if (entry.type === 'file') {
      counts.files++
      counts.bytes += entry.sizeBytes
    } else if (entry.type === 'directory') counts.directories++
    else if (entry.type === 'symlink') counts.symlinks++
    else counts.specials++
  }
  const { specials, ...others } = counts
  const snapshot: Snapshot = {
    ...SAMPLE_SNAPSHOT,
    root,
    index: index.root,
    counts: {
      ...others,
      ...(specials === 0 ? {} : { specials }),
      blocks: index.blocks,
      blockBytes: index.sizeBytes,
    },
  }
  const put = async (blocks: readonly { cid: unknown }[]): Promise<void> => {
    for (const block of blocks) source.emit(block as Parameters<typeof source.emit>[0])
  }
  return { source, snapshot, put }
}

function filterOf(names: readonly string[], seed: number): PathFilter {
  const pick = (by: number): string[] =>
    [...new Set(names.filter((_, i) => (seed >>> (i % 16)) % by === 0))].slice(0, 3).toSorted()
  return [{ include: pick(3), exclude: seed % 2 === 0 ? pick(5) : [] }]
}

test('a view holds exactly the shape of the tree and the contents under the filter', async () => {
  let left = 0
  await fc.assert(
    fc.asyncProperty(plans, fc.nat(0xffff), async (plan, seed) => {
      const { source, snapshot, put } = await snapshotOf(plan)
      const steps = await collect(walk(source, snapshot.root))
      const texts = steps
        .filter(({ path }) => path.length > 0)
        .map(({ path }) => Buffer.concat(path.flatMap((name) => [Buffer.from('/'), name])))
        .filter((bytes) => bytes.equals(Buffer.from(bytes.toString())))
        .map((bytes) => bytes.toString().slice(1))
      const filter = filterOf(texts, seed)
      const { cid, view } = await makeView(source, snapshot, filter, { put })
      assert.deepEqual(decodeSnapshot(cid, (await source.get(cid))!), view)

      // Without filtered walks: what a path reaches is by the definition.
      const reach = compileFilter(filter)
      const isRootFile = snapshot.root.type !== 'directory'
      const taken = steps.filter(({ path }) => isRootFile || reach(path) === 'all')
      const contents = new Set<string>()
      for (const { entry } of taken)
        if (entry.type === 'file')
          for (const block of await collect(closure(source, { ...entry, name: new Uint8Array() })))
            if (block.cid.code === RAW) contents.add(cidKey(block.cid))
      const wanted = await viewBlocks(source, view.root, {})
      let blocks = 0
      for (const { cid: each } of await collect(closure(source, snapshot.root))) {
        const isWanted = each.code === DAG_CBOR || contents.has(cidKey(each))
        assert.equal(wanted.has(each), isWanted)
        if (!isWanted) left++
      }
      wanted.close()
      for (const key of new Set(
        (await collect(closure(source, snapshot.root))).map((each) => cidKey(each.cid)),
      ))
        if (contents.has(key)) blocks++
      assert.ok(view.counts.blocks >= blocks && view.counts.blocks <= snapshot.counts.blocks)

      // It shows what is taken, and folders on the way to it.
      const shown = await collect(walk(source, view.root))
      const keyOf = (path: readonly Uint8Array[]): string =>
        path.map((n) => Buffer.from(n).toString('hex')).join('/')
      const shownPaths = new Set(shown.map(({ path }) => keyOf(path)))
      for (const { path } of taken) assert.ok(shownPaths.has(keyOf(path)))
      for (const { path, entry } of shown)
        assert.ok(isRootFile || reach(path) === 'all' || entry.type === 'directory')
      assert.equal(view.counts.files, shown.filter(({ entry }) => entry.type === 'file').length)
    }),
    { numRuns: 150 },
  )
  assert.ok(left > 20, `${left} blocks were left out in all`)
})

test('a folder named inside and outside of the filter is held, whichever comes first', async () => {
  const folder = directoryPlan({ f: filePlan('one', 'two'), g: filePlan('three') })
  const { source, snapshot, put } = await snapshotOf(directoryPlan({ a: folder, b: folder, c: folder }))
  for (const include of [['a'], ['b'], ['c']]) {
    const { view } = await makeView(source, snapshot, [{ include, exclude: [] }], { put })
    const wanted = await viewBlocks(source, view.root, {})
    for (const { cid } of await collect(closure(source, snapshot.root))) assert.ok(wanted.has(cid))
    assert.deepEqual([view.counts.files, view.counts.directories], [2, 2])
  }
})

test('what is left out is left out at any depth, and what is not there makes nothing', async () => {
  const { source, snapshot, put } = await snapshotOf(
    directoryPlan({
      x: directoryPlan({ debug: directoryPlan({ d: filePlan('d') }), f: filePlan('f') }),
      y: filePlan('y'),
    }),
  )
  const paths = async (filter: PathFilter) => {
    const { view } = await makeView(source, snapshot, filter, { put })
    const steps = await collect(walk(source, view.root))
    return steps.map(({ path }) => path.map((name) => Buffer.from(name).toString()).join('/'))
  }
  assert.deepEqual(await paths([{ include: ['x'], exclude: ['x/debug'] }]), ['', 'x', 'x/f'])
  assert.deepEqual(await paths([{ include: [], exclude: ['x/debug'] }]), ['', 'x', 'x/f', 'y'])
  assert.deepEqual(await paths([{ include: ['nowhere', 'y/below'], exclude: [] }]), [''])
  assert.deepEqual(await paths([{ include: ['x/debug/d'], exclude: [] }]), ['', 'x', 'x/debug', 'x/debug/d'])
})
