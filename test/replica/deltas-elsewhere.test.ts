/** Sites without the base beside neighbours that make blocks of deltas: these are waited for, and never for ever. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Cid } from '../../src/block/cid.ts'
import { decodeEncodings, decodePlan, encodeEncodings, encodePlan } from '../../src/dag/encodings.ts'
import type { FetchOptions } from '../../src/replica/fetch/fetch-session.ts'
import {
  createOffers,
  createOffersElsewhere,
  fetchTwo,
  finish,
  PATIENT,
  type Scene,
  scene,
  siteWith,
  sizeOf,
  targetsOf,
  until,
  write,
} from './delta-scene.ts'
import { type TestNode, TREE } from './mesh.ts'

const ORIGIN = { site: 'hq', region: 'east' }
/** Nobody loses its share because a machine is slow. */
const SLOW: Partial<FetchOptions> = {
  origin: ORIGIN,
  scheduling: { minLeaseMs: 60_000 },
  deltaTimes: PATIENT,
}
const SHORT = { waitMs: 30, lateMs: 60 }

async function neighbours(): Promise<Scene & { readonly maker: TestNode; readonly other: TestNode }> {
  const it = await scene()
  const maker = await siteWith(it, 'lab-a', 'west')
  return { ...it, maker, other: it.mesh.add('lab-b', 'west') }
}

function sentBy({ traffic }: TestNode): number {
  return traffic.totals().bytesSent
}

test('what a neighbour makes of deltas leaves the origin for nobody else', { timeout: 60_000 }, async () => {
  const it = await neighbours()
  const set = await write(it)
  const offer = { base: it.one, set, isComplete: true }
  const before = sentBy(it.hq)
  const [made, taken] = await Promise.all([
    fetchTwo(it, it.maker, createOffers(offer), SLOW),
    fetchTwo(it, it.other, createOffersElsewhere(offer, it.maker), SLOW),
  ])
  const sent = sentBy(it.hq) - before
  assert.ok(made.deltas!.blocksMade >= targetsOf(it.deltas))
  assert.equal(taken.deltas?.blocksMade, 0)
  assert.equal(taken.fetchedBlocks, it.snapshot.counts.blocks)
  // As much as for the maker alone, and nodes of the index that both asked for.
  assert.ok(sent < sizeOf(it.deltas) * 1.1 + 40_000, `${sent} bytes left hq`)
})

test('it is the same for deltas that are still made, and for a site that begins before its neighbour', {
  timeout: 60_000,
}, async () => {
  const it = await neighbours()
  const coming = { base: it.one, set: null, isComplete: false }
  const before = sentBy(it.hq)
  const elsewhere = createOffersElsewhere(coming, it.maker)
  const other = it.mesh.fetch(it.other, it.two, { ...SLOW, deltas: elsewhere })
  const offers = createOffers(coming)
  const maker = it.mesh.fetch(it.maker, it.two, { ...SLOW, deltas: offers })
  const half = it.deltas.length >> 1
  for (const [from, to, isComplete] of [
    [0, half, false],
    [half, it.deltas.length, true],
  ] as const) {
    const offer = { base: it.one, set: await write(it, from, to), isComplete }
    elsewhere.say(offer)
    offers.say(offer)
    // All of it comes from there: nothing else brings the waiting site so far.
    await until(() => other.progress().fetchedBlocks >= targetsOf(it.deltas.slice(0, to)))
  }
  await Promise.all([finish(it, it.maker, maker), finish(it, it.other, other)])
  const sent = sentBy(it.hq) - before
  assert.ok(sent < sizeOf(it.deltas) * 1.1 + 40_000, `${sent} bytes left hq`)
})

test('a neighbour that holds the base and does nothing is waited for as long as for deltas', {
  timeout: 60_000,
}, async () => {
  const it = await neighbours()
  const offer = { base: it.one, set: null, isComplete: false }
  const result = await fetchTwo(it, it.other, createOffersElsewhere(offer, it.maker), {
    origin: ORIGIN,
    deltaTimes: SHORT,
    scheduling: { minLeaseMs: 100 },
  })
  assert.equal(result.fetchedBlocks, it.snapshot.counts.blocks)
})

test('without a neighbour that could make them nothing is waited for', { timeout: 60_000 }, async () => {
  const it = await neighbours()
  const set = await write(it)
  const offer = { base: it.one, set, isComplete: true }
  const scheduling = { minLeaseMs: 100 }
  // The origin is nobody's neighbour, and whoever does not want the tree makes nothing.
  it.maker.wants = false
  const far = await siteWith(it, 'far', 'south')
  const offers = createOffersElsewhere(offer, it.hq, it.maker, far)
  const result = await fetchTwo(it, it.other, offers, { origin: ORIGIN, deltaTimes: PATIENT, scheduling })
  assert.equal(result.fetchedBlocks, it.snapshot.counts.blocks)
})

test('a neighbour that goes in the middle leaves the rest to whoever waited', {
  timeout: 60_000,
}, async () => {
  const it = await neighbours()
  const set = await write(it)
  const offer = { base: it.one, set, isComplete: true }
  const options = { origin: ORIGIN, deltaTimes: PATIENT, scheduling: { minLeaseMs: 100 } }
  const other = it.mesh.fetch(it.other, it.two, {
    ...options,
    deltas: createOffersElsewhere(offer, it.maker),
  })
  const maker = it.mesh.fetch(it.maker, it.two, { ...options, deltas: createOffers(offer) })
  let served = 0
  it.maker.onServe = () => {
    if (++served < 10) return
    it.maker.onServe = undefined
    it.mesh.setConnected(it.maker, false)
  }
  const result = await finish(it, it.other, other)
  assert.ok(served >= 10)
  assert.equal(result.fetchedBlocks, it.snapshot.counts.blocks)
  maker.stop()
  await maker.done.catch(() => undefined)
})

test('a set that names what the snapshot has not is not followed any further', {
  timeout: 60_000,
}, async () => {
  const it = await neighbours()
  const set = await lyingSet(it, await write(it))
  await it.maker.holdings.allow(TREE, set)
  const offer = { base: it.one, set, isComplete: true }
  const offers = createOffersElsewhere(offer, it.maker)
  // The neighbour has the nodes of the set, and its fetch never begins.
  const result = await fetchTwo(it, it.other, offers, {
    origin: ORIGIN,
    deltaTimes: PATIENT,
    scheduling: { minLeaseMs: 100 },
  })
  assert.equal(result.fetchedBlocks, it.snapshot.counts.blocks)
})

/** The same with one target beyond the end of the snapshot, at the neighbour. */
async function lyingSet(it: Scene & { readonly maker: TestNode }, cid: Cid): Promise<Cid> {
  const { blocks } = it.hq.store
  const set = decodeEncodings(cid, (await blocks.get(cid))!)
  const entries = decodePlan(set.plan[0]!, (await blocks.get(set.plan[0]!))!)
  const plan = encodePlan([
    { ...entries[0]!, targets: [{ first: it.snapshot.counts.blocks, count: 1 }] },
    ...entries.slice(1),
  ])
  const lying = encodeEncodings({ ...set, plan: [plan.cid, ...set.plan.slice(1)] })
  await it.maker.store.blocks.put([plan, lying])
  await it.maker.holdings.allow(TREE, plan.cid)
  return lying.cid
}
