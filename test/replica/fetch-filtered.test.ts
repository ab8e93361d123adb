/** Fetches under a path filter: what they hold in the end, and who gives whom what. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { PathFilter } from '../../src/base/path-filter.ts'
import { compileFilter } from '../../src/base/path-filter.ts'
import { type Cid, cidKey, RAW } from '../../src/block/cid.ts'
import { closure, listPages, walk } from '../../src/dag/reader.ts'
import type { Snapshot } from '../../src/dag/snapshot.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import { loadCompleteSnapshots } from '../../src/replica/holdings/complete-snapshots.ts'
import { createHoldings } from '../../src/replica/holdings/holdings.ts'
import { collect, directoryPlan, type Plan, plans } from '../dag/trees.ts'
import { clock, createMesh, filesPlan, publish, type TestNode, TREE } from './mesh.ts'

const rule = (include: string[], exclude: string[] = []): PathFilter => [{ include, exclude }]

/** Two architectures and what both share. */
function archPlan(files: number, bytes: number): Plan {
  return directoryPlan({
    aarch64: filesPlan(files, bytes, 1),
    noarch: filesPlan(Math.ceil(files / 4), bytes, 2),
    x86_64: filesPlan(files, bytes, 3),
  })
}

async function keysOf(
  from: TestNode,
  snapshot: Snapshot,
  isWanted: (cid: Cid) => boolean,
): Promise<Set<string>> {
  const keys = new Set<string>()
  for (const { cid } of await collect(closure(from.store.blocks, snapshot.root)))
    if (isWanted(cid)) keys.add(cidKey(cid))
  return keys
}

/** By the definition: the contents of all that the filter takes. */
async function contentsUnder(from: TestNode, { root }: Snapshot, filter: PathFilter): Promise<Set<string>> {
  const reach = compileFilter(filter)
  const keys = new Set<string>()
  for (const { path, entry } of await collect(walk(from.store.blocks, root))) {
    if (entry.type !== 'file' || (root.type === 'directory' && reach(path) !== 'all')) continue
    for (const { cid } of await collect(closure(from.store.blocks, { ...entry, name: new Uint8Array() })))
      if (cid.code === RAW) keys.add(cidKey(cid))
  }
  return keys
}

async function checkHolds(node: TestNode, origin: TestNode, cid: Cid, snapshot: Snapshot): Promise<void> {
  const contents = await contentsUnder(origin, snapshot, node.filter!)
  for (const { cid: each } of await collect(closure(origin.store.blocks, snapshot.root))) {
    const [isHere] = await node.store.blocks.has([each])
    assert.equal(
      isHere,
      each.code !== RAW || contents.has(cidKey(each)),
      `${each.toString()} at ${node.name}`,
    )
  }
  for await (const { cid: page } of listPages(node.store.blocks, snapshot.index))
    assert.ok(await node.holdings.isAllowed(TREE, page))
  assert.equal(await node.holdings.isComplete(TREE, cid), false, 'a part is not all')
}

test('a fetch under a filter holds exactly the closure under it', async () => {
  await fc.assert(
    fc.asyncProperty(plans, fc.nat(0xffff), async (plan, seed) => {
      const mesh = createMesh()
      const hq = mesh.add('hq', 'east')
      const lab = mesh.add('lab', 'west')
      hq.wants = false
      const { cid, snapshot } = await publish(hq, plan)
      const texts = (await collect(walk(hq.store.blocks, snapshot.root)))
        .filter(({ path }) => path.length > 0)
        .map(({ path }) => path.map((name) => Buffer.from(name).toString()).join('/'))
        .filter((text) => !text.includes('\ufffd'))
      const pick = (by: number) =>
        [...new Set(texts.filter((_, i) => (seed >>> (i % 16)) % by === 0))].slice(0, 3).toSorted()
      lab.filter = rule(pick(3), seed % 2 === 0 ? pick(5) : [])
      const result = await mesh.fetch(lab, cid).done
      await checkHolds(lab, hq, cid, snapshot)
      const view = decodeSnapshot(result.view!.cid, (await lab.store.blocks.get(result.view!.cid))!)
      assert.deepEqual(result.view!.filter, lab.filter)
      assert.deepEqual([result.heldBlocks, result.totalBlocks], [view.counts.blocks, view.counts.blocks])
      await collect(closure(lab.store.blocks, view.root))
    }),
    { numRuns: 40 },
  )
})

test('two offices with one filter share their part, and it leaves the origin once', async () => {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  hq.wants = false
  const labs = [mesh.add('lab-a', 'west'), mesh.add('lab-b', 'west')] as const
  for (const lab of labs) lab.filter = rule(['noarch', 'x86_64'])
  const { cid, snapshot } = await publish(hq, archPlan(400, 4000))
  await Promise.all(labs.map((lab) => mesh.fetch(lab, cid).done))
  assert.equal(hq.traffic.totals().blocksSentMoreThanOnce, 0)
  for (const lab of labs) {
    await checkHolds(lab, hq, cid, snapshot)
    const other = labs.find((each) => each !== lab)!
    const shared = lab.traffic.totals().peers.get(other.name)?.bytesReceived ?? 0
    assert.ok(shared > 0.25 * 500 * 4000, `${lab.name} had ${shared} bytes of ${other.name}`)
  }
})

test('an office leaves its contents to a neighbour who keeps the whole tree, and takes them from it', async () => {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  hq.wants = false
  const [whole, office] = [mesh.add('whole', 'west'), mesh.add('office', 'west')] as const
  office.filter = rule(['x86_64'])
  const { cid, snapshot } = await publish(hq, archPlan(400, 4000))
  await Promise.all([mesh.fetch(whole, cid).done, mesh.fetch(office, cid).done])
  assert.ok(await whole.holdings.isComplete(TREE, cid))
  await checkHolds(office, hq, cid, snapshot)
  const shape = await keysOf(hq, snapshot, ({ code }) => code !== RAW)
  const twice = hq.traffic.totals().blocksSentMoreThanOnce
  assert.ok(twice <= shape.size, `${twice} blocks left twice; the shape has ${shape.size}`)
})

test('what an office holds it gives to others, and it promises no more', async () => {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  const [first, second, whole] = ['first', 'second', 'whole'].map((name) => mesh.add(name, 'west')) as [
    TestNode,
    TestNode,
    TestNode,
  ]
  for (const node of [hq, first]) node.wants = false
  first.filter = rule([], ['aarch64'])
  second.filter = first.filter
  const { cid, snapshot } = await publish(hq, archPlan(120, 3000))
  await mesh.fetch(first, cid).done
  // A node that starts again on the same disk knows what it holds.
  mesh.remove(first)
  const again = mesh.add('first', 'west', first.store)
  again.filter = first.filter
  again.wants = false
  const complete = await loadCompleteSnapshots({
    values: (space) => first.store.values(space),
    holdings: createHoldings({
      blocks: first.store.blocks,
      values: (space) => first.store.values(space),
      clock,
    }),
  })
  assert.equal(complete.has(TREE, cid), false)
  assert.equal(complete.holds(TREE, cid, rule(['x86_64/file-00001'])), true)
  assert.equal(complete.holds(TREE, cid, undefined), false)
  assert.ok(complete.viewOf(TREE, cid)?.cid.equals(complete.shown(cid)))

  mesh.setConnected(hq, false)
  await mesh.fetch(second, cid).done
  await checkHolds(second, hq, cid, snapshot)
  mesh.setConnected(hq, true)
  const result = await mesh.fetch(whole, cid).done
  assert.ok(await whole.holdings.isComplete(TREE, cid))
  const missing = (await keysOf(hq, snapshot, ({ code }) => code === RAW)).size
  const fromHq = whole.traffic.totals().peers.get('hq')?.blocksReceived ?? 0
  assert.ok(fromHq >= 120 && fromHq < 0.6 * missing, `${fromHq} of ${missing} came from far away`)
  assert.equal(result.view, undefined)
})

test('a part that grows asks for what is new to it alone, and one that became whole is no part', async () => {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  const lab = mesh.add('lab', 'west')
  hq.wants = false
  const { cid, snapshot } = await publish(hq, archPlan(60, 3000))
  lab.filter = rule(['noarch'])
  await mesh.fetch(lab, cid).done
  lab.filter = rule(['noarch', 'x86_64'])
  const more = await mesh.fetch(lab, cid).done
  assert.equal(more.fetchedBlocks, 60)
  await checkHolds(lab, hq, cid, snapshot)
  lab.filter = undefined
  assert.equal((await mesh.fetch(lab, cid).done).fetchedBlocks, 60)
  assert.ok(await lab.holdings.isComplete(TREE, cid))
  lab.filter = rule(['noarch'])
  const none = await mesh.fetch(lab, cid).done
  assert.deepEqual([none.fetchedBlocks, none.view], [0, undefined])
})
