import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { foldRecords } from '../../src/record/mesh-state-builder.ts'
import { loadAddressBook } from '../../src/replica/address-book.ts'
import { createBackground } from '../../src/replica/site-agent-background.ts'
import { createStatusGossip } from '../../src/replica/site-agent-gossip.ts'
import { encodeAnnouncement, type SiteAnnouncement } from '../../src/replica/status-announcement.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { createTestLogger, createTestMesh, START_MS, testKey } from './test-mesh.ts'

const author = testKey(20)

function announcement(timeMs: number, address = '/ip4/10.0.0.1/tcp/4001'): SiteAnnouncement {
  return { timeMs, version: '1', addresses: [address], trees: [], bytesSent: 0, bytesReceived: 0 }
}

async function listen() {
  const mesh = createTestMesh()
  const state = foldRecords([mesh.genesis, mesh.member(author, 'lab', 'eu')], mesh.mesh)
  const clock = new VirtualClock(START_MS)
  const logger = createTestLogger()
  const addressBook = await loadAddressBook(createMemoryStore().values('addresses'))
  let hear: (peer: string, bytes: Uint8Array) => void = () => undefined
  const gossip = createStatusGossip({
    host: {
      publishStatus: async () => undefined,
      onStatus(listener) {
        hear = listener
        return () => undefined
      },
      peers: () => [],
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
  })
  gossip.start()
  return {
    clock,
    gossip,
    addressBook,
    say: (said: SiteAnnouncement) => hear(author.peer, encodeAnnouncement(said)),
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

test('a site whose clock was far ahead is heard again when it is put right', async () => {
  const { clock, gossip, say } = await listen()
  say(announcement(START_MS + 365 * 86_400_000))
  clock.advanceTo(START_MS + 10_000)
  say(announcement(START_MS + 10_000))
  assert.equal(gossip.heard().get(author.peer)?.ageMs, 0)
})

test('the more members there are, the more seldom a site that has no news speaks', async () => {
  for (const [members, leastMs, mostMs] of [
    [2, 14_000, 18_000],
    [50, 360_000, 440_000],
  ] as const) {
    const mesh = createTestMesh()
    const keys = Array.from({ length: members }, (_, number) => testKey(20 + number))
    const records = keys.map((key, number) => mesh.member(key, `site-${number}`, 'eu'))
    const state = foldRecords([mesh.genesis, ...records], mesh.mesh)
    const clock = new VirtualClock(START_MS)
    const logger = createTestLogger()
    const saidMs: number[] = []
    const gossip = createStatusGossip({
      host: {
        async publishStatus() {
          saidMs.push(clock.nowMs())
        },
        onStatus: () => () => undefined,
        peers: () => [],
      },
      ledger: { state: () => state },
      addressBook: await loadAddressBook(createMemoryStore().values('addresses')),
      clock,
      random: () => 0.5,
      logger,
      background: createBackground(logger),
      announce: () => announcement(clock.nowMs()),
      onHeard: () => undefined,
      onAddresses: () => undefined,
    })
    gossip.start()
    clock.advanceTo(START_MS + 2_000_000)
    const pauses = saidMs.slice(1).map((atMs, at) => atMs - saidMs[at]!)
    assert.ok(pauses.length > 2 && pauses.every((pause) => pause >= leastMs && pause <= mostMs), `${pauses}`)
    // News is told at once.
    const before = saidMs.length
    gossip.changed()
    clock.advanceTo(clock.nowMs() + 1_000)
    assert.equal(saidMs.length, before + 1)
  }
})
