import assert from 'node:assert/strict'
import { test } from 'node:test'
import zlib from 'node:zlib'
import { type Cid, cidOf, RAW } from '../../src/block/cid.ts'
import { createIndexPositions } from '../../src/dag/index-positions.ts'
import { closure } from '../../src/dag/reader.ts'
import { decodeSnapshot, type Snapshot } from '../../src/dag/snapshot.ts'
import { countBlocks, type MadeDelta } from '../../src/delta/delta.ts'
import { keyPairFromSeed } from '../../src/record/key.ts'
import { openSetWriter, type SetWriter } from '../../src/replica/deltas/set-writer.ts'
import type { DeltaOffers, OfferedSet } from '../../src/replica/fetch/delta-feed.ts'
import type { Fetch, FetchOptions, FetchResult } from '../../src/replica/fetch/fetch-session.ts'
import type { TestMesh, TestNode } from './mesh.ts'
import { createMesh, publish, TREE } from './mesh.ts'
import { makeSimpleDeltas, noise, noisePlan } from './simple-deltas.ts'

const FILES = 60
const FILE_BYTES = 20_000

interface Offers extends DeltaOffers {
  say(offer: OfferedSet): void
}

function createOffers(first?: OfferedSet): Offers {
  const listeners = new Set<() => void>()
  let offer = first
  return {
    current: () => offer,
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    say(next) {
      offer = next
      for (const listener of listeners) listener()
    },
  }
}

interface Scene {
  readonly mesh: TestMesh
  readonly hq: TestNode
  readonly one: Cid
  readonly two: Cid
  readonly snapshot: Snapshot
  readonly deltas: readonly MadeDelta[]
  readonly writer: SetWriter
}

/** Version one and two at hq, and the deltas from one to two, which no set lists yet. */
async function scene(): Promise<Scene> {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  const one = (await publish(hq, noisePlan(FILES, FILE_BYTES, 1))).cid
  const { cid: two, snapshot } = await publish(hq, noisePlan(FILES, FILE_BYTES, 2))
  const deltas: MadeDelta[] = []
  const source = hq.store.blocks
  for await (const delta of makeSimpleDeltas({ source }, { target: two, base: one })) deltas.push(delta)
  assert.ok(deltas.length >= 12)
  const writer = await openSetWriter(
    { blocks: hq.store.blocks, holdings: hq.holdings },
    { tree: TREE, snapshot: two, base: one },
  )
  return { mesh, hq, one, two, snapshot, deltas, writer }
}

async function write({ writer, deltas }: Scene, from = 0, to = deltas.length): Promise<Cid> {
  for (const delta of deltas.slice(from, to)) await writer.add(delta)
  return (await writer.step()).set!
}

const sizeOf = (deltas: readonly MadeDelta[]): number =>
  deltas.reduce((sum, { bytes }) => sum + bytes.length, 0)

/** A site that holds version one. */
async function siteWith({ mesh, one }: Scene, name: string, region: string): Promise<TestNode> {
  const site = mesh.add(name, region)
  await mesh.fetch(site, one).done
  return site
}

async function fetchTwo(
  it: Scene,
  site: TestNode,
  deltas: DeltaOffers,
  more: Partial<FetchOptions> = {},
): Promise<FetchResult> {
  return finish(it, site, it.mesh.fetch(site, it.two, { deltas, ...more }))
}

/** Complete, with every block there, and every block counted once. */
async function finish({ two, snapshot }: Scene, site: TestNode, fetch: Fetch): Promise<FetchResult> {
  const result = await fetch.done
  assert.ok(await site.holdings.isComplete(TREE, two))
  for await (const { cid } of closure(site.store.blocks, snapshot.root))
    assert.notEqual(await site.store.blocks.get(cid), undefined)
  assert.equal(result.heldBlocks, snapshot.counts.blocks)
  assert.equal(result.heldBytes, snapshot.counts.blockBytes)
  return result
}

const targetsOf = (deltas: readonly MadeDelta[]): number =>
  deltas.reduce((sum, { targets }) => sum + countBlocks(targets), 0)

/** As the records of the publisher have it. */
function said({ one, two }: Scene, set: Cid): TestNode['encodings'] {
  const body = { tree: TREE, snapshot: two, base: one, sequence: 2, set, version: 2, isComplete: true }
  const origin = { record: two, issuer: keyPairFromSeed(new Uint8Array(32)).peer, timeMs: 0 }
  return new Map([
    [two.toString(), [{ body: { ...body, bytes: 0, targetBytes: 0 }, baseSequence: 1, origin }]],
  ])
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve))
}

/** Never ends waiting by itself. */
const PATIENT = { waitMs: 600_000, lateMs: 600_000 }

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
  const offers = createOffers({ base: it.one, set, isComplete: true })
  const origin = { site: 'hq', region: 'east' }
  const results = await Promise.all([
    fetchTwo(it, a, offers, { origin }),
    fetchTwo(it, b, offers, { origin }),
    fetchTwo(it, late, createOffers(), { origin, scheduling: { minLeaseMs: 20_000 } }),
  ])
  const after = it.hq.traffic.totals()
  assert.equal(after.blocksSentMoreThanOnce, 0)
  // The last of what one made the other may have taken of it as it is.
  assert.ok(Math.max(...results.slice(0, 2).map(({ deltas }) => deltas!.blocksMade)) >= FILES)
  assert.equal(results[2]!.fetchedBlocks, it.snapshot.counts.blocks)
  const sent = after.bytesSent - before.bytesSent
  // The third took its own share as it is.
  assert.ok(sent < it.snapshot.counts.blockBytes * 0.75, `${sent} bytes left hq`)
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

/** A set with these deltas, by a publisher that may say what it likes. */
async function writeOnly(it: Scene, deltas: readonly MadeDelta[]): Promise<Cid> {
  return write({ ...it, deltas })
}

const other = { first: 3, count: 1 }
for (const [what, change] of [
  ['another base', (delta) => ({ ...delta, base: [other] })],
  [
    'another window of the right length',
    (delta) => ({ ...delta, base: delta.base.toReversed().concat(other) }),
  ],
  ['other targets', (delta) => ({ ...delta, targets: [{ first: delta.targets[0]!.first + 1, count: 2 }] })],
  ['targets of another length', (delta) => ({ ...delta, targets: [other] })],
  ['a frame that expands without bound', (delta) => ({ ...delta, bytes: bomb() })],
  ['a frame of noise', (delta) => ({ ...delta, bytes: noise(5000, 77) })],
  ['the deltas of deltas', (delta) => ({ ...delta, bytes: delta.bytes.slice(0, 40) })],
  ['positions behind the end', (delta) => ({ ...delta, targets: [{ first: 2 ** 40, count: 1 }] })],
  ['a base behind the end', (delta) => ({ ...delta, base: [{ first: FILES + 5, count: 4 }] })],
] as readonly [string, (delta: MadeDelta) => MadeDelta][]) {
  test(`a publisher that says ${what} is not followed, and nothing wrong is stored`, {
    timeout: 30_000,
  }, async () => {
    const it = await scene()
    const site = await siteWith(it, 'lab-a', 'west')
    const blamed: string[] = []
    const set = await writeOnly(
      it,
      it.deltas.map((delta, i) => (i === 6 ? change(delta) : delta)),
    )
    const offers = createOffers({ base: it.one, set, isComplete: true })
    const result = await fetchTwo(it, site, offers, {
      deltaTimes: PATIENT,
      onBlame: (peer) => blamed.push(peer),
    })
    assert.ok(result.fetchedBlocks >= 2, `${result.fetchedBlocks} came plain`)
    assert.deepEqual(blamed, [])
  })
}

function bomb(): Uint8Array {
  return new Uint8Array(zlib.zstdCompressSync(new Uint8Array(64 * 1024 * 1024)))
}

test('a set of other snapshots than its record says is not followed', { timeout: 30_000 }, async () => {
  const it = await scene()
  const site = await siteWith(it, 'lab-a', 'west')
  const wrong = await openSetWriter(
    { blocks: it.hq.store.blocks, holdings: it.hq.holdings },
    { tree: TREE, snapshot: it.one, base: it.two },
  )
  const set = await write({ ...it, writer: wrong })
  const offers = createOffers({ base: it.one, set, isComplete: true })
  const result = await fetchTwo(it, site, offers, { deltaTimes: PATIENT })
  assert.equal(result.deltas?.blocksMade, 0)
})

test('a set whose earlier part is another than before is not followed any further', {
  timeout: 30_000,
}, async () => {
  const it = await scene()
  const site = await siteWith(it, 'lab-a', 'west')
  const offers = createOffers({ base: it.one, set: await write(it, 0, 4), isComplete: false })
  const fetch = it.mesh.fetch(site, it.two, { deltas: offers, deltaTimes: PATIENT })
  await until(() => fetch.progress().deltas?.blocksMade === targetsOf(it.deltas.slice(0, 4)))
  it.writer.close()
  const again = await openSetWriter(
    { blocks: it.hq.store.blocks, holdings: it.hq.holdings },
    { tree: TREE, snapshot: it.two, base: it.one },
  )
  offers.say({ base: it.one, set: await write({ ...it, writer: again }, 2), isComplete: true })
  const result = await finish(it, site, fetch)
  assert.equal(result.deltas?.blocksMade, targetsOf(it.deltas.slice(0, 4)))
})

test('a peer that changes deltas on the way is blamed, and they come from elsewhere', {
  timeout: 30_000,
}, async () => {
  const it = await scene()
  const site = await siteWith(it, 'lab-a', 'west')
  const liar = await siteWith(it, 'liar', 'west')
  const set = await write(it)
  const offer = { base: it.one, set, isComplete: true }
  liar.wants = false
  await fetchTwo(it, liar, createOffers(offer))
  liar.encodings = said(it, set)
  // It has lost what would make deltas needless.
  await liar.holdings.revoke(TREE, it.two)
  liar.corrupt = (bytes) => bytes.map((byte, i) => (i === 9 ? byte ^ 1 : byte))
  const blamed: string[] = []
  const result = await fetchTwo(it, site, createOffers(offer), {
    onBlame: (peer) => blamed.push(peer),
    deltaTimes: PATIENT,
  })
  assert.ok(blamed.includes('liar') && !blamed.includes('hq'))
  assert.equal(result.deltas?.deltasFetched, it.deltas.length)
})

test('a base block that is lost in the middle costs its own delta only', { timeout: 30_000 }, async () => {
  const it = await scene()
  const site = await siteWith(it, 'lab-a', 'west')
  const set = await write(it)
  const [lost] = await createIndexPositions(
    site.store.blocks,
    decodeSnapshot(it.one, (await site.store.blocks.get(it.one))!).index,
  ).blocks(it.deltas[5]!.base)
  const { get } = site.store.blocks
  const store = {
    ...site.store,
    blocks: {
      ...site.store.blocks,
      get: (cid: Cid, signal?: AbortSignal) =>
        cid.equals(lost!.cid) ? Promise.resolve(undefined) : get(cid, signal),
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
