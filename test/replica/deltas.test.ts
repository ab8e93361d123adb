/** Fetches that are given deltas: early, late, in part, once they are gone. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Cid, cidOf, RAW } from '../../src/block/cid.ts'
import { createIndexPositions } from '../../src/dag/index-positions.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import {
  createOffers,
  createOffersElsewhere,
  FILES,
  fetchTwo,
  finish,
  PATIENT,
  said,
  scene,
  siteWith,
  sizeOf,
  targetsOf,
  until,
  write,
} from './delta-scene.ts'

test('a site that holds the base fetches deltas, and nothing that they give', async () => {
  const it = await scene()
  const site = await siteWith(it, 'lab-a', 'west')
  const before = it.hq.traffic.totals().bytesSent
  const set = await write(it)
  const result = await fetchTwo(it, site, createOffers({ base: it.one, set, isComplete: true }))
  const sent = it.hq.traffic.totals().bytesSent - before
  assert.ok(sent < sizeOf(it.deltas) * 1.1 + 20_000, `${sent} bytes for deltas of ${sizeOf(it.deltas)}`)
  assert.ok(sent < it.snapshot.counts.blockBytes / 5)
  assert.equal(result.deltas?.deltasFetched, it.deltas.length)
  assert.equal(result.deltas?.deltaBytesFetched, sizeOf(it.deltas))
  assert.ok(result.deltas.blocksMade >= FILES)
  // The root directory's node has no like.
  assert.ok(result.fetchedBlocks <= 2, `${result.fetchedBlocks} came plain`)
})

test('deltas that are made while the fetch waits are used as they come', { timeout: 30_000 }, async () => {
  const it = await scene()
  const site = await siteWith(it, 'lab-a', 'west')
  const offers = createOffers({ base: it.one, set: null, isComplete: false })
  const fetch = it.mesh.fetch(site, it.two, { deltas: offers, deltaTimes: PATIENT })
  const steps = 4
  for (let step = 1; step <= steps; step++) {
    const at = (part: number): number => Math.round((it.deltas.length * part) / steps)
    const set = await write(it, at(step - 1), at(step))
    offers.say({ base: it.one, set, isComplete: step === steps })
    await until(() => fetch.progress().deltas?.blocksMade === targetsOf(it.deltas.slice(0, at(step))))
  }
  const result = await finish(it, site, fetch)
  assert.equal(result.deltas?.deltasFetched, it.deltas.length)
  assert.ok(result.fetchedBlocks <= 2, `${result.fetchedBlocks} came plain`)
})

test('what is gone through and has no delta is fetched at once, while deltas are still to come', {
  timeout: 30_000,
}, async () => {
  const it = await scene()
  const site = await siteWith(it, 'lab-a', 'west')
  // Every second delta is as if it had not been worth it.
  const listed = it.deltas.filter((_, i) => i % 2 === 0)
  const half = listed.length >> 1
  const some = { ...it, deltas: listed }
  const offers = createOffers({ base: it.one, set: await write(some, 0, half), isComplete: false })
  const fetch = it.mesh.fetch(site, it.two, { deltas: offers, deltaTimes: PATIENT })
  const made = targetsOf(listed.slice(0, half))
  const decided = it.writer.state().decided
  await until(() => (fetch.progress().heldBlocks ?? 0) >= decided - 1)
  const { deltas, fetchedBlocks } = fetch.progress()
  assert.equal(deltas?.blocksMade, made)
  assert.ok(
    fetchedBlocks >= made / 2 && fetchedBlocks <= decided,
    `${fetchedBlocks} of ${decided} came plain`,
  )
  offers.say({ base: it.one, set: await write(some, half), isComplete: true })
  const result = await finish(it, site, fetch)
  assert.equal(result.deltas?.blocksMade, targetsOf(listed))
})

test('without news for a while, what has no delta yet is fetched as it is', { timeout: 30_000 }, async () => {
  const it = await scene()
  const site = await siteWith(it, 'lab-a', 'west')
  const never = createOffers({ base: it.one, set: null, isComplete: false })
  const plain = await fetchTwo(it, site, never, { deltaTimes: { waitMs: 30 } })
  assert.equal(plain.deltas?.blocksMade, 0)
  assert.ok(plain.fetchedBlocks >= FILES)

  const other = await siteWith(it, 'lab-b', 'south')
  const set = await write(it, 0, 4)
  const stopped = createOffers({ base: it.one, set, isComplete: false })
  const result = await fetchTwo(it, other, stopped, { deltaTimes: { waitMs: 60, lateMs: 60_000 } })
  assert.equal(result.deltas?.blocksMade, targetsOf(it.deltas.slice(0, 4)))
})

test('deltas that nobody gives are not waited for for ever', { timeout: 30_000 }, async () => {
  const it = await scene()
  const site = await siteWith(it, 'lab-a', 'west')
  const set = await write(it)
  const { blocks: serve } = it.hq.server
  const deltas = new Set(it.deltas.map(({ bytes }) => cidOf(RAW, bytes).toString()))
  it.hq.server.blocks = async function* (peer, request, signal) {
    for await (const answers of serve(peer, request, signal))
      yield answers.map((answer) =>
        answer.bytes !== undefined && deltas.has(cidOf(RAW, answer.bytes).toString())
          ? { offset: answer.offset }
          : answer,
      )
  }
  const result = await fetchTwo(it, site, createOffers({ base: it.one, set, isComplete: true }), {
    deltaTimes: { waitMs: 30, lateMs: 60 },
  })
  assert.equal(result.deltas?.blocksMade, 0)
})

test('a set that is complete and empty, and no word of one, make no difference', async () => {
  const it = await scene()
  for (const [name, offer] of [
    ['lab-a', { base: it.one, set: null, isComplete: true }],
    ['lab-b', undefined],
  ] as const) {
    const site = await siteWith(it, name, name)
    const result = await fetchTwo(it, site, createOffers(offer), { deltaTimes: PATIENT })
    assert.equal(result.deltas?.blocksMade, 0)
    assert.ok(result.fetchedBlocks >= FILES)
  }
})

test('a set that is heard of late is used for what is still missing', { timeout: 30_000 }, async () => {
  const it = await scene()
  const site = await siteWith(it, 'lab-a', 'west')
  const set = await write(it)
  const offers = createOffers()
  let served = 0
  it.hq.onServe = () => {
    if (++served === 10) offers.say({ base: it.one, set, isComplete: true })
  }
  // So little is asked for at a time that the rest is still there to be withheld.
  const scheduling = { minPipelineBytes: 50_000, maxPipelineBytes: 50_000 }
  const result = await fetchTwo(it, site, offers, { scheduling })
  assert.ok(result.deltas!.blocksMade > FILES / 3, `${result.deltas!.blocksMade} made`)
  assert.ok(result.fetchedBlocks >= 10)
})

test('the sites of a region share the deltas, and one without the base takes from them what they made', {
  timeout: 30_000,
}, async () => {
  const it = await scene()
  const [a, b] = [await siteWith(it, 'lab-a', 'west'), await siteWith(it, 'lab-b', 'west')]
  const late = it.mesh.add('lab-c', 'west')
  const set = await write(it)
  const before = it.hq.traffic.totals()
  const offer = { base: it.one, set, isComplete: true }
  const options = {
    ...{ origin: { site: 'hq', region: 'east' }, scheduling: { minLeaseMs: 20_000 } },
    deltaTimes: PATIENT,
  }
  const [one, other, taken] = await Promise.all([
    fetchTwo(it, a, createOffers(offer), options),
    fetchTwo(it, b, createOffers(offer), options),
    fetchTwo(it, late, createOffersElsewhere(offer, a, b), options),
  ])
  const after = it.hq.traffic.totals()
  assert.equal(after.blocksSentMoreThanOnce, 0)
  // The last of what one made the others may have taken of it as it is, and of the third what that took of both.
  const made = one!.deltas!.blocksMade + other!.deltas!.blocksMade
  assert.ok(made >= targetsOf(it.deltas), `${made} blocks were made`)
  assert.equal(taken!.fetchedBlocks, it.snapshot.counts.blocks)
  const sent = after.bytesSent - before.bytesSent
  assert.ok(sent < it.snapshot.counts.blockBytes / 4, `${sent} bytes left hq`)
})

test('a site passes deltas on after their publisher is gone, and after a restart', {
  timeout: 30_000,
}, async () => {
  const it = await scene()
  const site = await siteWith(it, 'lab-a', 'west')
  const other = await siteWith(it, 'lab-b', 'south')
  const set = await write(it)
  const offer = { base: it.one, set, isComplete: true }
  await fetchTwo(it, site, createOffers(offer))
  it.mesh.remove(it.hq)
  it.mesh.remove(site)
  const again = it.mesh.add('lab-a', 'west', site.store)
  again.encodings = said(it, set)
  const result = await fetchTwo(it, other, createOffers(offer))
  assert.equal(result.deltas?.deltasFetched, it.deltas.length)
  assert.ok(result.fetchedBlocks <= 2)
  assert.ok(again.traffic.totals().bytesSent < it.snapshot.counts.blockBytes / 5)
})

test('a fetch that was cut off in the middle asks for no delta twice', { timeout: 30_000 }, async () => {
  const it = await scene()
  const site = await siteWith(it, 'lab-a', 'west')
  const set = await write(it)
  const offer = { base: it.one, set, isComplete: true }
  const first = it.mesh.fetch(site, it.two, { deltas: createOffers(offer) })
  await until(() => (first.progress().deltas?.deltasFetched ?? 0) >= 5)
  first.stop()
  await assert.rejects(first.done, { code: 'aborted' })
  const { deltasFetched = 0 } = first.progress().deltas ?? {}
  it.mesh.remove(site)
  const again = it.mesh.add('lab-a', 'west', site.store)
  const result = await fetchTwo(it, again, createOffers(offer))
  assert.ok(result.deltas!.deltasFetched <= it.deltas.length - deltasFetched)
  assert.ok(result.fetchedBlocks <= 2)
})

test('a base block that is lost in the middle costs its own delta only', { timeout: 30_000 }, async () => {
  const it = await scene()
  const site = await siteWith(it, 'lab-a', 'west')
  const set = await write(it)
  const [lost] = await createIndexPositions(
    site.store.blocks,
    decodeSnapshot(it.one, (await site.store.blocks.get(it.one))!).index,
  ).blocks(it.deltas[5]!.base)
  const { get, getMany } = site.store.blocks
  const store = {
    ...site.store,
    blocks: {
      ...site.store.blocks,
      get: (cid: Cid, signal?: AbortSignal) =>
        cid.equals(lost!.cid) ? Promise.resolve(undefined) : get(cid, signal),
      getMany: async (cids: readonly Cid[], signal?: AbortSignal) => {
        const found = await getMany(cids, signal)
        return found.map((bytes, at) => (cids[at]!.equals(lost!.cid) ? undefined : bytes))
      },
    },
  }
  it.mesh.remove(site)
  const again = it.mesh.add('lab-a', 'west', store)
  const offers = createOffers({ base: it.one, set, isComplete: true })
  const result = await fetchTwo(it, again, offers, { deltaTimes: PATIENT })
  assert.equal(result.deltas?.blocksMade, targetsOf(it.deltas) - targetsOf([it.deltas[5]!]))
})

test('a base of which the snapshot is gone costs all deltas, and no more', { timeout: 30_000 }, async () => {
  const it = await scene()
  const site = it.mesh.add('lab-a', 'west')
  const offers = createOffers({ base: it.one, set: await write(it), isComplete: true })
  const result = await fetchTwo(it, site, offers, { deltaTimes: PATIENT })
  assert.equal(result.deltas?.blocksMade, 0)
  assert.equal(result.fetchedBlocks, it.snapshot.counts.blocks)
})

test('a collection in the middle takes neither the base nor deltas, though nobody asks for them any more', {
  timeout: 30_000,
}, async () => {
  const it = await scene()
  const site = await siteWith(it, 'lab-a', 'west')
  const set = await write(it)
  const offers = createOffers({ base: it.one, set, isComplete: true })
  const fetch = it.mesh.fetch(site, it.two, { deltas: offers, deltaTimes: PATIENT })
  let served = 0
  it.hq.onServe = async () => {
    if (++served === 4) await site.store.collect({ choose: () => ({ whole: [], partial: [] }) })
  }
  const result = await finish(it, site, fetch)
  assert.equal(result.deltas?.blocksMade, targetsOf(it.deltas))
  assert.ok(served >= 4 && result.fetchedBlocks <= 2)
  await site.store.collect({ choose: () => ({ whole: [it.two], partial: [] }) })
  assert.equal(await site.store.blocks.get(it.one), undefined)
})
