/** Sites that keep a part of a tree make it of deltas as well: of those that give that part, and of nothing beyond it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Cid, cidKey, RAW } from '../../src/block/cid.ts'
import { closure, lookUp } from '../../src/dag/reader.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import { loadCompleteSnapshots } from '../../src/replica/holdings/complete-snapshots.ts'
import { createOffers, FILES, PATIENT, type Scene, scene, write } from './delta-scene.ts'
import type { TestNode } from './mesh.ts'
import { TREE } from './mesh.ts'

const TAKEN = FILES / 2
const nameOf = (file: number): string => `file-${String(file).padStart(5, '0')}`
/** The second half of the files, in the order of the snapshot. */
const HALF = [{ include: Array.from({ length: TAKEN }, (_, i) => nameOf(TAKEN + i)), exclude: [] }]

async function office({ mesh, one }: Scene, name: string, region: string): Promise<TestNode> {
  const site = mesh.add(name, region)
  site.filter = HALF
  await mesh.fetch(site, one).done
  return site
}

/** What is here of version two: the part, all of it, and of the rest no content that only version two has. */
async function checkPart({ hq, one, two, snapshot }: Scene, site: TestNode): Promise<void> {
  const complete = await loadCompleteSnapshots({
    holdings: site.holdings,
    values: (space: string) => site.store.values(space),
  })
  assert.ok(complete.holds(TREE, two, HALF))
  assert.ok(!complete.has(TREE, two))
  const old = new Set<string>()
  const { root } = decodeSnapshot(one, (await hq.store.blocks.get(one))!)
  for await (const { cid } of closure(hq.store.blocks, root)) old.add(cidKey(cid))
  for (let file = 0; file < FILES; file++) {
    const entry = (await lookUp(hq.store.blocks, snapshot.root, [Buffer.from(nameOf(file))]))!
    for await (const { cid } of closure(hq.store.blocks, entry)) {
      if (cid.code !== RAW || old.has(cidKey(cid))) continue
      const [isHere] = await site.store.blocks.has([cid])
      assert.equal(isHere, file >= TAKEN, `${nameOf(file)} at ${site.name}`)
    }
  }
}

test('a part is made of the deltas that give it, and of no more', { timeout: 60_000 }, async () => {
  const it = await scene()
  const site = await office(it, 'office', 'west')
  const set = await write(it)
  const before = it.hq.traffic.totals().bytesSent
  const offers = createOffers({ base: it.one, set, isComplete: true })
  const result = await it.mesh.fetch(site, it.two, { deltas: offers, deltaTimes: PATIENT }).done
  await checkPart(it, site)
  const { deltasFetched, blocksMade } = result.deltas!
  assert.ok(blocksMade >= TAKEN - 4, `${blocksMade} of ${TAKEN} files' blocks made`)
  assert.ok(deltasFetched < it.deltas.length * 0.7, `${deltasFetched} of ${it.deltas.length} deltas fetched`)
  const sent = it.hq.traffic.totals().bytesSent - before
  // As it is, the half would be 600 KB.
  assert.ok(sent < 150_000, `${sent} bytes sent`)
})

test('two offices of a region share the deltas of their part, and these leave the origin once', {
  timeout: 60_000,
}, async () => {
  const it = await scene()
  const sites = [await office(it, 'office-a', 'west'), await office(it, 'office-b', 'west')]
  const set = await write(it)
  const before = it.hq.traffic.totals().bytesSent
  const results = await Promise.all(
    sites.map(
      (site) =>
        it.mesh.fetch(site, it.two, {
          deltas: createOffers({ base: it.one, set, isComplete: true }),
          deltaTimes: PATIENT,
        }).done,
    ),
  )
  for (const site of sites) await checkPart(it, site)
  for (const { deltas } of results) assert.ok(deltas!.blocksMade >= TAKEN - 4, `${deltas!.blocksMade} made`)
  const sent = it.hq.traffic.totals().bytesSent - before
  assert.ok(sent < 200_000, `${sent} bytes left the origin for two`)
})

test('a delta of which the base is not in the part costs nothing: its blocks come as they are', {
  timeout: 60_000,
}, async () => {
  const it = await scene()
  const site = await office(it, 'office', 'west')
  const set = await write(it)
  const { root } = decodeSnapshot(it.one, (await site.store.blocks.get(it.one))!)
  const entry = (await lookUp(site.store.blocks, root, [Buffer.from(nameOf(FILES - 1))]))!
  const lost = new Set<string>()
  for await (const { cid } of closure(it.hq.store.blocks, entry)) if (cid.code === RAW) lost.add(cidKey(cid))
  const { blocks } = site.store
  const here = { ...blocks }
  Object.assign(blocks, {
    has: async (cids: readonly Cid[]) =>
      (await here.has(cids)).map((isHere, at) => isHere && !lost.has(cidKey(cids[at]!))),
    get: async (cid: Cid, signal?: AbortSignal) =>
      lost.has(cidKey(cid)) ? undefined : here.get(cid, signal),
  })
  const offers = createOffers({ base: it.one, set, isComplete: true })
  const result = await it.mesh.fetch(site, it.two, { deltas: offers, deltaTimes: PATIENT }).done
  await checkPart(it, site)
  assert.ok(result.deltas!.blocksMade > 0 && result.fetchedBlocks >= 1)
})
