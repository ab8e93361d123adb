/** Sites have each other show what they say they hold: honest ones, ones that lost it, ones that lie, ones too old to be asked. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MirrorError } from '../../src/base/errors.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import type { Cid } from '../../src/block/cid.ts'
import type { NodeSource } from '../../src/dag/source.ts'
import type { MeshState } from '../../src/record/mesh-state.ts'
import { type CopyChallenger, createCopyChallenger } from '../../src/replica/copies/copy-challenger.ts'
import { showPossession } from '../../src/replica/copies/possession.ts'
import { countCopies, verificationsIn } from '../../src/replica/copies/verified-copies.ts'
import { decodeQuestion, encodePossession, UNKNOWN_QUESTION } from '../../src/replica/questions.ts'
import type { VerifiedCopy } from '../../src/replica/status/announced-tree.ts'
import type { HeardSite } from '../../src/replica/status/status.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { sampleBlocks } from '../store/sample-blocks.ts'
import { testSnapshot } from '../store/sample-snapshot.ts'
import { createTestLogger } from './test-mesh.ts'

type Manner = 'honest' | 'lost' | 'wrong' | 'silent' | 'old' | 'late'

interface Site {
  readonly peer: string
  manner: Manner
  version: string
  holds: boolean
  readonly challenger: CopyChallenger
  /** Questions that came to it. */
  asked: number
}

const SNAPSHOT = testSnapshot(sampleBlocks(40, 300, 1), 'build')
const OTHER = testSnapshot(sampleBlocks(40, 300, 100), 'other')

/** Sites that all hear each other at once, and pins of the tree at all of them. */
async function setUp(names: readonly string[], { copies }: { copies?: number } = {}) {
  const clock = new VirtualClock()
  const store = createMemoryStore()
  await store.blocks.put([...SNAPSHOT.all, ...OTHER.all])
  const history = [{ sequence: 1, snapshot: SNAPSHOT.cid, timeMs: clock.nowMs() }]
  const pin = { tree: 't', sites: { all: true }, removed: false, ...(copies === undefined ? {} : { copies }) }
  const state = {
    trees: new Map([
      ['t', { name: 't', body: { readers: 'members', removed: false }, history, tags: new Map() }],
    ]),
    pins: new Map([['t@all', { body: pin }]]),
    sites: new Map(),
    members: new Map(
      names.map((peer) => [peer, { peer, site: peer, region: 'x', isActive: true, expiresMs: null }]),
    ),
    grants: new Map(),
    revoked: new Set(),
    takedowns: new Map(),
  } as unknown as MeshState
  const sites = new Map<string, Site>()
  const logger = createTestLogger()

  function heardBy(self: string): Map<string, HeardSite> {
    return new Map(
      [...sites.values()].flatMap(({ peer, version, holds, challenger }) => {
        if (peer === self) return []
        const tree = {
          tree: 't',
          completeSequence: holds ? 1 : null,
          completeSnapshot: holds ? SNAPSHOT.cid.toString() : null,
          alsoComplete: [],
          verified: challenger.told('t') as VerifiedCopy[],
        }
        const announcement = { timeMs: clock.nowMs(), version, trees: [tree] }
        return [[peer, { announcement, ageMs: 0, isConnected: true } as unknown as HeardSite]]
      }),
    )
  }

  async function answer(
    peer: string,
    bytes: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    const site = sites.get(peer)!
    site.asked++
    const question = decodeQuestion(bytes)
    assert.equal(question.ask, 'possession')
    if (question.ask !== 'possession') throw new Error('not reached')
    switch (site.manner) {
      case 'honest':
        return encodePossession(await showPossession(store.blocks, { holder: peer, ...question }))
      case 'lost':
        return encodePossession(undefined)
      case 'wrong':
        return encodePossession(new Uint8Array(32))
      case 'silent':
        throw new MirrorError('unreachable', 'the peer is gone')
      case 'old':
        throw new MirrorError('refused', `the peer does not answer: ${UNKNOWN_QUESTION}`)
      case 'late':
        return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
    }
  }

  for (const peer of names) {
    const challenger = createCopyChallenger({
      ledger: { state: () => state },
      complete: {
        list: () => (sites.get(peer)?.holds === false ? [] : [{ tree: 't', snapshot: SNAPSHOT.cid }]),
        has: (_tree: string, cid: Cid) => sites.get(peer)?.holds !== false && cid.equals(SNAPSHOT.cid),
        viewOf: () => undefined,
      },
      blocksOf: (): NodeSource => store.blocks,
      host: {
        peers: () => names.filter((each) => each !== peer).map((each) => ({ peer: each })) as never,
        ask: answer,
      },
      heard: () => heardBy(peer),
      clock,
      randomBytes: (size) => crypto.getRandomValues(new Uint8Array(size)),
      logger,
      self: { peer },
      onChange: () => undefined,
    })
    sites.set(peer, { peer, manner: 'honest', version: '1', holds: true, challenger, asked: 0 })
  }

  async function pass(ms: number): Promise<void> {
    const untilMs = clock.monotonicMs() + ms
    for (;;) {
      for (let i = 0; i < 15; i++) await new Promise((resolve) => setImmediate(resolve))
      const nextMs = clock.nextMs()
      if (nextMs === undefined || nextMs > untilMs) break
      clock.advanceTo(nextMs)
    }
    clock.advanceTo(untilMs)
  }

  /** Lets so long go by at once, and then what is due begin, and begin again. */
  async function skip(ms: number): Promise<void> {
    clock.advanceTo(clock.monotonicMs() + ms)
    await pass(20_000)
  }

  const at = (peer: string): Site => sites.get(peer)!
  return {
    clock,
    state,
    sites,
    at,
    logger,
    pass,
    skip,
    start() {
      for (const { challenger } of sites.values()) challenger.start()
    },
    async stop() {
      await Promise.all([...sites.values()].map(({ challenger }) => challenger.stop()))
    },
    /** Whose copies are verified, as that site sees it. */
    verified(self: string): string[] {
      const view = at(self).challenger.view()
      const tree = view.state.trees.get('t')!
      const isHere = at(self).holds
      return countCopies(view, tree, { sequence: 1, filter: undefined, isHere }).map(({ site }) => site)
    },
  }
}

const FIVE = ['a', 'b', 'c', 'd', 'e']

test('one site asks for as many copies as are counted on, and the others take its word', async () => {
  const mesh = await setUp(FIVE)
  mesh.start()
  await mesh.pass(60_000)
  const asked = [...mesh.sites.values()].reduce((sum, site) => sum + site.asked, 0)
  assert.equal(asked, 2)
  const seen = mesh.verified('a')
  assert.equal(seen.length, 2)
  for (const name of FIVE) assert.deepEqual(mesh.verified(name), seen)
  // A day later they are asked again, and are never without.
  for (let hour = 0; hour < 48; hour++) {
    await mesh.skip(3_600_000)
    assert.ok(mesh.verified('c').length >= 2, `after ${hour} h`)
  }
  assert.ok([...mesh.sites.values()].reduce((sum, site) => sum + site.asked, 0) <= 12)
  await mesh.stop()
})

test('a minimum of copies is reached among all that hold it, each seen by another', async () => {
  const mesh = await setUp(FIVE, { copies: 5 })
  mesh.start()
  await mesh.pass(4 * 60_000)
  assert.deepEqual(mesh.verified('a'), FIVE)
  for (const name of FIVE)
    for (const { by } of verificationsIn(mesh.at('a').challenger.view(), 't')(name)) assert.notEqual(by, name)
  await mesh.stop()
})

for (const manner of ['lost', 'wrong'] as const) {
  test(`a site that says it holds what it does not (${manner}) is not counted, is named, and is asked again more and more seldom`, async () => {
    const mesh = await setUp(['a', 'b', 'c'], { copies: 3 })
    mesh.at('b').manner = manner
    mesh.start()
    await mesh.pass(5 * 60_000)
    assert.deepEqual(mesh.verified('a'), ['a', 'c'])
    const failed = mesh.at('a').challenger.failed().concat(mesh.at('c').challenger.failed())
    assert.ok(
      failed.some(({ peer, outcome, failures }) => peer === 'b' && outcome === 'not-shown' && failures > 1),
    )
    const before = mesh.at('b').asked
    for (let hour = 0; hour < 12; hour++) await mesh.skip(3_600_000)
    assert.ok(mesh.at('b').asked - before < 30, `${mesh.at('b').asked - before} times in half a day`)
    // What it has fetched again by then it shows.
    mesh.at('b').manner = 'honest'
    for (let hour = 0; hour < 12; hour++) await mesh.skip(3_600_000)
    assert.deepEqual(mesh.verified('a'), ['a', 'b', 'c'])
    assert.deepEqual(mesh.at('a').challenger.failed(), [])
    mesh.at('b').holds = false
    // What it has vouched for it does not any more: others ask themselves.
    await mesh.pass(2 * 60_000)
    assert.deepEqual(mesh.verified('a'), ['a', 'c'])
    await mesh.stop()
  })
}

test('sites that do not answer, answer too late or are too old are not counted, and hold nobody up', async () => {
  const mesh = await setUp([...FIVE, 'f'], { copies: 3 })
  mesh.at('a').manner = 'silent'
  mesh.at('b').manner = 'old'
  mesh.at('c').manner = 'late'
  mesh.start()
  await mesh.pass(6 * 60_000)
  const seen = mesh.verified('d')
  assert.deepEqual(seen, ['d', 'e', 'f'])
  const outcomes = new Map(
    [...mesh.sites.values()].flatMap(({ challenger }) =>
      challenger.failed().map(({ peer, outcome }) => [peer, outcome] as const),
    ),
  )
  for (const peer of ['a', 'c']) if (outcomes.has(peer)) assert.equal(outcomes.get(peer), 'no-answer')
  if (outcomes.has('b')) assert.equal(outcomes.get('b'), 'older')
  assert.equal(mesh.logger.events.filter(({ event }) => event === 'copies.not-shown').length, 0)
  await mesh.stop()
})

test('a program that is updated is asked at once, and before a drop nobody is waited for', async () => {
  const mesh = await setUp(['a', 'b'])
  mesh.at('b').manner = 'old'
  const wish = { tree: 't', snapshot: SNAPSHOT.cid, peer: 'b' }
  await mesh.at('a').challenger.prove([wish])
  assert.deepEqual(mesh.verified('a'), [])
  assert.equal(mesh.at('a').challenger.failed()[0]?.outcome, 'older')
  mesh.at('b').manner = 'honest'
  mesh.at('b').version = '2'
  mesh.start()
  await mesh.pass(60_000)
  assert.ok(mesh.verified('a').includes('b'))
  await mesh.stop()
})

test('of what is asked for many times at once a bounded part is asked', async () => {
  const mesh = await setUp(['a', 'b'])
  const wishes = Array.from({ length: 500 }, () => ({ tree: 't', snapshot: SNAPSHOT.cid, peer: 'b' }))
  await mesh.at('a').challenger.prove(wishes)
  assert.equal(mesh.at('b').asked, 1)
  // Who does not answer is asked once, whatever it is to show.
  mesh.at('b').manner = 'silent'
  mesh.clock.advanceTo(mesh.clock.monotonicMs() + 60_000)
  await mesh.at('a').challenger.prove(wishes)
  assert.equal(mesh.at('b').asked, 2)
  mesh.at('b').manner = 'honest'
  // What it does not say that it holds is not asked for.
  await mesh.at('a').challenger.prove([{ tree: 't', snapshot: OTHER.cid, peer: 'b' }])
  assert.equal(mesh.at('b').asked, 2)
  await mesh.stop()
})
