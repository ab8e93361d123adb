/** Sets and deltas that are not what their publisher or a peer says. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import zlib from 'node:zlib'
import type { Cid } from '../../src/block/cid.ts'
import type { MadeDelta } from '../../src/delta/delta.ts'
import { openSetWriter } from '../../src/replica/deltas/set-writer.ts'
import {
  createOffers,
  FILES,
  fetchTwo,
  finish,
  PATIENT,
  type Scene,
  said,
  scene,
  siteWith,
  targetsOf,
  until,
  write,
} from './delta-scene.ts'
import { TREE } from './mesh.ts'
import { noise } from './simple-deltas.ts'

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
