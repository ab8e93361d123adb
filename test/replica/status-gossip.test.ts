import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import { foldRecords } from '../../src/record/mesh-state-builder.ts'
import { announcePeriodMs } from '../../src/replica/announce-period.ts'
import { decodeQuestion } from '../../src/replica/questions.ts'
import { loadAddressBook } from '../../src/replica/records/address-book.ts'
import { createBackground } from '../../src/replica/site-agent/background.ts'
import { createStatusGossip } from '../../src/replica/site-agent/gossip.ts'
import type { AnnouncedTree } from '../../src/replica/status/announced-tree.ts'
import {
  applyAnnouncementDelta,
  decodeDelta,
  deltaBetween,
  encodeDelta,
} from '../../src/replica/status/announcement-delta.ts'
import { createAnnouncementSender, wholePeriodMs } from '../../src/replica/status/announcement-sender.ts'
import {
  decodeAnnouncement,
  encodeAnnouncement,
  type SiteAnnouncement,
} from '../../src/replica/status/status-announcement.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { createTestLogger, createTestMesh, START_MS, testKey } from './test-mesh.ts'

const author = testKey(20)
const self = testKey(30)
const SNAPSHOT = cidOf(DAG_CBOR, Buffer.from('a snapshot')).toString()

function treeAt(tree: string, completeSequence: number | null): AnnouncedTree {
  return {
    tree,
    completeSequence,
    completeSnapshot: completeSequence === null ? null : SNAPSHOT,
    isFetching: false,
    fetchingSnapshot: null,
    missingBytes: 0,
    reason: '',
    checkouts: [],
    alsoComplete: [],
  }
}

function announcement(timeMs: number, address = '/ip4/10.0.0.1/tcp/4001'): SiteAnnouncement {
  return { timeMs, version: '1', addresses: [address], trees: [], bytesSent: 0, bytesReceived: 0 }
}

async function listen(ask?: () => Promise<Uint8Array>) {
  const asked: Uint8Array[] = []
  const published: Uint8Array[] = []
  const mesh = createTestMesh()
  const state = foldRecords([mesh.genesis, mesh.member(author, 'lab', 'eu')], mesh.mesh)
  const clock = new VirtualClock(START_MS)
  const logger = createTestLogger()
  const addressBook = await loadAddressBook(createMemoryStore().values('addresses'))
  let hear: (peer: string, bytes: Uint8Array) => void = () => undefined
  const gossip = createStatusGossip({
    host: {
      publishStatus: async (bytes) => void published.push(bytes),
      onStatus(listener) {
        hear = listener
        return () => undefined
      },
      peers: () => (ask === undefined ? [] : [{ peer: author.peer, direction: 'inbound', addresses: [] }]),
      ask(_peer, question) {
        asked.push(question)
        return ask?.() ?? Promise.reject(new Error('nobody is connected'))
      },
    },
    ledger: { state: () => state },
    addressBook,
    clock,
    random: () => 0.5,
    logger,
    background: createBackground(logger),
    announce: () => announcement(clock.nowMs()),
    onHeard: () => undefined,
    onAddresses: () => undefined,
    self: self.peer,
  })
  gossip.start()
  return {
    clock,
    gossip,
    addressBook,
    asked,
    published,
    say: (said: SiteAnnouncement) => hear(author.peer, encodeAnnouncement(said)),
    sayBytes: (bytes: Uint8Array) => hear(author.peer, bytes),
  }
}

test('what a site said before is no sign of life when somebody repeats it, and moves no address', async () => {
  const { clock, gossip, addressBook, say } = await listen()
  const old = announcement(START_MS - 1000, '/ip4/10.6.6.6/tcp/4001')
  const last = announcement(START_MS)
  say(old)
  say(last)
  clock.advanceTo(START_MS + 60_000)
  for (const repeated of [old, last]) say(repeated)
  await Promise.resolve()
  const heard = gossip.heard().get(author.peer)
  assert.equal(heard?.ageMs, 60_000)
  assert.deepEqual(heard?.announcement.addresses, last.addresses)
  assert.deepEqual(addressBook.of(author.peer), last.addresses)
  say(announcement(START_MS + 60_000))
  assert.equal(gossip.heard().get(author.peer)?.ageMs, 0)
})

test('who is suspected says at once that it is there, and who suspects names it until it is heard of', async () => {
  const { clock, gossip, published, say } = await listen()
  clock.advanceTo(START_MS + 1_000)
  say({ ...announcement(START_MS + 1_000), contradicts: true })
  const before = published.length
  say({ ...announcement(START_MS + 2_000), contradicts: true, suspects: [self.peer] })
  clock.advanceTo(START_MS + 2_000)
  assert.equal(published.length, before + 1)
  say({ ...announcement(START_MS + 3_000), contradicts: true, suspects: [self.peer] })
  clock.advanceTo(START_MS + 5_000)
  assert.equal(published.length, before + 1, 'not as often as somebody likes')
  gossip.lost(author.peer)
  clock.advanceTo(START_MS + 45_000)
  assert.ok(published.some((bytes) => decodeDelta(bytes)?.suspects?.includes(author.peer) === true))
  assert.equal(gossip.heard().get(author.peer)?.isGone, undefined)
  clock.advanceTo(START_MS + 80_000)
  assert.equal(gossip.heard().get(author.peer)?.isGone, true)
  say({ ...announcement(START_MS + 81_000), contradicts: true })
  assert.equal(gossip.heard().get(author.peer)?.isGone, undefined)
  clock.advanceTo(START_MS + 200_000)
  assert.equal(decodeDelta(published.at(-1)!)?.suspects, undefined)
})

test('a site whose clock was far ahead is heard again when it is put right', async () => {
  const { clock, gossip, say } = await listen()
  say(announcement(START_MS + 365 * 86_400_000))
  clock.advanceTo(START_MS + 10_000)
  say(announcement(START_MS + 10_000))
  assert.equal(gossip.heard().get(author.peer)?.ageMs, 0)
})

test('the more members there are, the more seldom a site that has no news speaks', async () => {
  for (const [members, leastMs, mostMs] of [
    [2, 10_000, 14_000],
    [50, 270_000, 330_000],
  ] as const) {
    const mesh = createTestMesh()
    const keys = Array.from({ length: members }, (_, number) => testKey(20 + number))
    const records = keys.map((key, number) => mesh.member(key, `site-${number}`, 'eu'))
    const state = foldRecords([mesh.genesis, ...records], mesh.mesh)
    const clock = new VirtualClock(START_MS)
    const logger = createTestLogger()
    const saidMs: number[] = []
    let trees: readonly AnnouncedTree[] = []
    const gossip = createStatusGossip({
      host: {
        async publishStatus() {
          saidMs.push(clock.nowMs())
        },
        onStatus: () => () => undefined,
        peers: () => [],
        ask: () => Promise.reject(new Error('nobody is asked here')),
      },
      ledger: { state: () => state },
      addressBook: await loadAddressBook(createMemoryStore().values('addresses')),
      clock,
      random: () => 0.5,
      logger,
      background: createBackground(logger),
      announce: () => ({ ...announcement(clock.nowMs()), trees }),
      onHeard: () => undefined,
      onAddresses: () => undefined,
      self: self.peer,
    })
    gossip.start()
    clock.advanceTo(START_MS + 2_000_000)
    const pauses = saidMs.slice(1).map((atMs, at) => atMs - saidMs[at]!)
    assert.ok(pauses.length > 2 && pauses.every((pause) => pause >= leastMs && pause <= mostMs), `${pauses}`)
    // News is told at once, and what is none is not told.
    const before = saidMs.length
    gossip.changed()
    clock.advanceTo(clock.nowMs() + 1_000)
    assert.equal(saidMs.length, before)
    trees = [treeAt('x', 1)]
    gossip.changed()
    clock.advanceTo(clock.nowMs() + 4_000)
    assert.equal(saidMs.length, before + 1)
  }
})

test('whatever is lost, a delta that fits what was heard leads to what its author said', () => {
  const trees = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd/e'), fc.option(fc.nat(3)))
  const step = fc.record({ trees, isLost: fc.boolean(), isBeat: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 20 }), (steps) => {
      const sender = createAnnouncementSender()
      let base: SiteAnnouncement | undefined
      for (const [at, { trees, isLost, isBeat }] of steps.entries()) {
        const now = {
          ...announcement(START_MS + at * 100_000),
          trees: Object.entries(trees).map(([name, sequence]) => treeAt(name, sequence)),
        }
        const bytes = sender.next(now, { isBeat, members: 3 })
        if (bytes === undefined || isLost) continue
        const delta = decodeDelta(bytes)
        if (delta === undefined) base = now
        else if (delta.baseMs === base?.timeMs) {
          const byName = (a: AnnouncedTree, b: AnnouncedTree): number => (a.tree < b.tree ? -1 : 1)
          const made = applyAnnouncementDelta(base, delta)
          assert.deepEqual(made.trees.toSorted(byName), now.trees.toSorted(byName))
          assert.equal(made.timeMs, now.timeMs)
        }
      }
    }),
  )
})

test('a delta whose base was not heard is a sign of life, and its author is asked for the rest', async () => {
  const base = { ...announcement(START_MS), trees: [treeAt('x', 1), treeAt('y', 1)] }
  const now = { ...base, timeMs: START_MS + 5000, trees: [treeAt('x', 2), treeAt('y', 1)] }
  const bytes = encodeDelta(deltaBetween(base, now)!)
  const deaf = await listen()
  deaf.sayBytes(bytes)
  assert.deepEqual(deaf.gossip.heard().get(author.peer)?.announcement.trees, [])
  assert.equal(deaf.gossip.heard().get(author.peer)?.ageMs, 0)
  assert.equal(deaf.gossip.heard().get(author.peer)?.isOutdated, true)
  assert.equal(deaf.asked.length, 0)

  const { promise, resolve } = Promise.withResolvers<Uint8Array>()
  const { gossip, asked, sayBytes, clock } = await listen(() => promise)
  sayBytes(bytes)
  clock.advanceTo(START_MS + 10_000)
  sayBytes(encodeDelta({ ...deltaBetween(base, now)!, timeMs: START_MS + 10_000 }))
  assert.equal(asked.length, 1)
  assert.deepEqual(decodeQuestion(asked[0]!), { ask: 'status' })
  resolve(encodeAnnouncement(base))
  for (let i = 0; i < 10; i++) await Promise.resolve()
  const heard = gossip.heard().get(author.peer)
  assert.deepEqual(heard?.announcement.trees, now.trees)
  assert.deepEqual(heard?.announcement.addresses, base.addresses)
  assert.equal(heard?.isOutdated, undefined)
})

test('at rest a site of many trees costs every site less than 1 KB a second, at 100 sites and at 1,000', () => {
  // As src/replica/status/announcement-sender.ts reckons: 3.5 copies of each message by each site, and what is around it.
  const costOf = (members: number, trees: number): number => {
    const sender = createAnnouncementSender()
    const periodMs = announcePeriodMs(members)
    const all = Array.from({ length: trees }, (_, n) => ({
      ...treeAt(`builds/product/branch-${n}`, 100 + n),
      checkouts: [{ path: `/srv/mirror/product/branch-${n}`, sequence: 100 + n }],
    }))
    const spanMs = Math.max(
      4 * 3_600_000,
      3 * wholePeriodMs(members, encodeAnnouncement({ ...announcement(0), trees: all }).length),
    )
    let sent = 0
    for (let atMs = 0; atMs < spanMs; atMs += periodMs) {
      const now = {
        ...announcement(START_MS + atMs),
        trees: all,
        bytesSent: 5e12 + atMs,
        freeBytes: 7e12 - atMs,
      }
      sent += 480 + sender.next(now, { isBeat: true, members })!.length
    }
    return (sent * 3.5 * members) / (spanMs / 1000)
  }
  for (const members of [10, 100, 1000]) {
    for (const trees of [1, 50, 250]) {
      const bytesPerSecond = costOf(members, trees)
      assert.ok(bytesPerSecond < 1000, `${members} sites, ${trees} trees: ${bytesPerSecond} B/s`)
      if (process.env.SHOW !== undefined) console.log(members, trees, Math.round(bytesPerSecond))
    }
  }
})

test('what only an announcement tells is announced at once, and a part is another thing than the whole', () => {
  const sender = createAnnouncementSender()
  const base = { ...announcement(START_MS), trees: [treeAt('x', 1)], takedownsDone: [] }
  const asked = { isBeat: false, members: 3 }
  assert.equal(decodeDelta(sender.next(base, asked)!), undefined)
  assert.equal(sender.next({ ...base, timeMs: START_MS + 1 }, asked), undefined)
  const done = { ...base, timeMs: START_MS + 2, takedownsDone: ['0123456789abcdef'] }
  const bytes = sender.next(done, asked)!
  assert.equal(decodeDelta(bytes), undefined)
  assert.deepEqual(decodeAnnouncement(bytes), done)
  const part = { ...done, timeMs: START_MS + 3, trees: [{ ...treeAt('x', 1), isFiltered: true }] }
  // All of it: a delta of one tree out of one would be no shorter.
  assert.deepEqual(decodeAnnouncement(sender.next(part, asked)!), part)
})
