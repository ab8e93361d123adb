/** Whom to ask for index pages: once for a region, and never for ever of one that does not have them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { cidOf, RAW } from '../../src/block/cid.ts'
import { createFetchObjects } from '../../src/replica/fetch/fetch-objects.ts'
import { objectSources, type Told } from '../../src/replica/fetch/object-sources.ts'
import type { FetchMember } from '../../src/replica/fetch-network.ts'
import { createHoldings } from '../../src/replica/holdings/holdings.ts'
import { createTraffic } from '../../src/replica/traffic.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { createMesh, filesPlan, publish, TREE } from './mesh.ts'

const origin = { site: 'hq', region: 'east' }
const member = (site: string, region: string): FetchMember => ({
  peer: `peer of ${site}`,
  site,
  region,
  wants: site !== 'hq',
  isConnected: true,
})
const everybody = [
  member('hq', 'east'),
  ...['e1', 'e2', 'e3'].map((site) => member(site, 'east')),
  ...['w1', 'w2', 'w3', 'w4'].map((site) => member(site, 'west')),
]
const cids = Array.from({ length: 200 }, (_, i) => cidOf(RAW, Uint8Array.of(i)))
const at = (self: FetchMember, told: (peer: string) => Told | undefined) =>
  cids.map((cid) =>
    objectSources(
      cid,
      everybody.filter((other) => other !== self),
      { self, origin, told },
    ),
  )

test('all of a region agree on who gets an object, and share them', () => {
  for (const region of ['east', 'west']) {
    const sites = everybody.filter((each) => each.region === region && each.site !== 'hq')
    const views = sites.map((site) => at(site, () => 'begun'))
    const shares = new Map<string, number>()
    for (const i of cids.keys()) {
      const own = sites.filter((_, s) => views[s]![i]!.carrier === undefined)
      assert.equal(own.length, 1, 'one site gets it itself')
      const [carrier] = own
      for (const [s, site] of sites.entries())
        if (site !== carrier) {
          assert.equal(views[s]![i]!.carrier, carrier!.peer)
          assert.equal(views[s]![i]!.near[0], carrier!.peer)
        }
      shares.set(carrier!.site, (shares.get(carrier!.site) ?? 0) + 1)
    }
    const fair = cids.length / sites.length
    for (const [site, share] of shares) assert.ok(share > fair / 2, `${site} gets ${share} of ${cids.length}`)
  }
})

test('the origin is nobody’s neighbour: what has all of it elsewhere is asked before it', () => {
  for (const { near, otherNear, far } of at(everybody[1]!, () => 'begun')) {
    assert.ok(![...near, ...otherNear].includes('peer of hq'))
    assert.equal(far[0], 'peer of hq')
  }
  const told = (peer: string) => (peer === 'peer of e2' ? 'complete' : undefined)
  for (const { far } of at(everybody[5]!, told))
    assert.deepEqual(far.slice(0, 2), ['peer of e2', 'peer of hq'])
})

test('who has not begun is not waited for, nor anybody where a neighbour has all of it', () => {
  for (const { carrier, near } of at(everybody[5]!, () => undefined)) {
    assert.equal(carrier, undefined)
    assert.deepEqual(near, [])
  }
  for (const { carrier, near } of at(everybody[5]!, (peer) =>
    peer === 'peer of w3' ? 'complete' : 'begun',
  )) {
    assert.equal(carrier, undefined)
    assert.equal(near[0], 'peer of w3')
  }
})

test('each page of the index leaves the origin once for each region', async () => {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  hq.wants = false
  const labs = ['east', 'west', 'north'].flatMap((region) =>
    [1, 2].map((number) => mesh.add(`${region}-${number}`, region)),
  )
  const { cid } = await publish(hq, filesPlan(2500, 100))
  const given = new Map<string, number>()
  const { object } = hq.server
  hq.server.object = async (peer, tree, asked, signal) => {
    const bytes = await object(peer, tree, asked, signal)
    if (bytes !== undefined) given.set(asked.toString(), (given.get(asked.toString()) ?? 0) + 1)
    return bytes
  }
  const options = { origin: { site: 'hq', region: 'east' } }
  await Promise.all(labs.map((lab) => mesh.fetch(lab, cid, options).done))
  const copies = [...given.values()].sort((a, b) => a - b)
  assert.ok(copies.length > 4, `${copies.length} objects`)
  // The snapshot block and the root come before anybody has told that it has begun.
  const pages = copies.slice(0, -2)
  assert.ok(
    pages.every((count) => count <= 3),
    `given so many times: ${copies.join(' ')}`,
  )
  for (const lab of labs) assert.ok(await lab.holdings.isComplete(TREE, cid))
})

test('a neighbour that never gets it is waited for once, and then the origin is asked', async () => {
  const clock = new VirtualClock(0)
  const store = createMemoryStore()
  const asked = new Map<string, number>()
  const bytes = cids.map((_, i) => Uint8Array.of(i))
  const objects = createFetchObjects(
    {
      network: {
        async fetchObject(peer, { cid }) {
          asked.set(peer, (asked.get(peer) ?? 0) + 1)
          return peer === 'peer of hq' ? bytes[cids.findIndex((each) => each.equals(cid))] : undefined
        },
        openBlocks: () => assert.fail('no blocks here'),
        watch: () => assert.fail('no watch here'),
      },
      members: { list: () => [everybody[0]!, everybody[5]!], onChange: () => () => undefined },
      blocks: store.blocks,
      holdings: createHoldings({ blocks: store.blocks, values: (space) => store.values(space), clock }),
      traffic: createTraffic(),
      clock,
    },
    {
      tree: TREE,
      self: everybody[4]!,
      origin,
      signal: new AbortController().signal,
      isBlamed: () => false,
      told: (peer) => (peer === 'peer of w2' ? 'begun' : undefined),
      onWrongBytes: () => assert.fail('no wrong bytes'),
    },
  )
  const timeOf = async (cid: (typeof cids)[number]): Promise<number> => {
    const startMs = clock.monotonicMs()
    let found: Uint8Array | undefined
    void objects.get(cid).then((got) => {
      found = got
    })
    while (found === undefined) {
      for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
      const next = clock.nextMs()
      if (next !== undefined && found === undefined) clock.advanceTo(next)
    }
    return clock.monotonicMs() - startMs
  }
  const waits: number[] = []
  for (const cid of cids.slice(0, 12)) waits.push(await timeOf(cid))
  const long = waits.filter((ms) => ms > 0)
  assert.equal(long.length, 1, `waited ${waits.join(' ')} ms`)
  assert.ok(long[0]! >= 3000 && long[0]! < 3300)
  assert.ok(asked.get('peer of w2')! < 60, `the neighbour was asked ${asked.get('peer of w2')} times`)
})
