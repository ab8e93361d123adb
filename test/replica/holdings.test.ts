import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { type Cid, cidOf, RAW } from '../../src/block/cid.ts'
import { listPages } from '../../src/dag/reader.ts'
import type { HoldingUpdate } from '../../src/net/ports.ts'
import { loadCompleteSnapshots } from '../../src/replica/holdings/complete-snapshots.ts'
import { createWatcher } from '../../src/replica/holdings/holding-watcher.ts'
import { createHoldings } from '../../src/replica/holdings/holdings.ts'
import { findMissing } from '../../src/replica/holdings/index-check.ts'
import { createDamageWatch } from '../../src/replica/retain/damage-watch.ts'
import { createBlockService } from '../../src/replica/serve/block-service.ts'
import { createTraffic } from '../../src/replica/traffic.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { clock, createMesh, filesPlan, publish, TREE } from './mesh.ts'
import { createTestLogger } from './test-mesh.ts'

const never = new AbortController().signal

async function pagesOf(source: Parameters<typeof listPages>[0], index: Parameters<typeof listPages>[1]) {
  const pages = []
  for await (const { cid } of listPages(source, index)) pages.push(cid)
  return pages
}

test('a watch tells first what is held, then what comes, and ends when all is there', async () => {
  const store = createMemoryStore()
  const holdings = createHoldings({ blocks: store.blocks, values: (space) => store.values(space), clock })
  const snapshot = cidOf(RAW, new Uint8Array([1]))
  const page = cidOf(RAW, new Uint8Array([2]))
  const updates = holdings.watch(TREE, snapshot, never)[Symbol.asyncIterator]()
  const next = async (): Promise<HoldingUpdate> => (await updates.next()).value
  assert.deepEqual(await next(), { kind: 'unknown' })
  const holding = holdings.begin(TREE, snapshot)
  assert.deepEqual(await next(), { kind: 'pages', full: [] })
  holding.addPage(0, page, [true, false, false])
  holding.addBlocks(0, [2])
  assert.deepEqual(await next(), { kind: 'blocks', page: 0, offsets: [0, 2] })
  holding.addPage(1, page, [true, true])
  holding.addBlocks(0, [1])
  holding.fillPage(0)
  assert.deepEqual(await next(), { kind: 'pages', full: [1, 0] })
  await holding.complete()
  assert.deepEqual(await next(), { kind: 'complete' })
  assert.equal((await updates.next()).done, true)
  holding.end()
})

test('one who begins to watch in mid-fetch is told all that is held', async () => {
  const store = createMemoryStore()
  const holdings = createHoldings({ blocks: store.blocks, values: (space) => store.values(space), clock })
  const snapshot = cidOf(RAW, new Uint8Array([1]))
  const holding = holdings.begin(TREE, snapshot)
  holding.addPage(0, snapshot, [false, true])
  holding.addPage(1, snapshot, [true])
  const seen: HoldingUpdate[] = []
  const abort = new AbortController()
  await assert.rejects(async () => {
    for await (const update of holdings.watch(TREE, snapshot, abort.signal)) {
      seen.push(update)
      if (seen.length === 2) abort.abort(new Error('seen enough'))
    }
  }, /seen enough/)
  assert.deepEqual(seen, [
    { kind: 'pages', full: [1] },
    { kind: 'blocks', page: 0, offsets: [1] },
  ])
  assert.throws(() => holdings.begin(TREE, snapshot), { code: 'busy' })
})

test('what is complete stays so after a restart', async () => {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  const { cid } = await publish(hq, filesPlan(5, 100))
  const again = mesh.add('hq', 'east', hq.store)
  assert.equal(await again.holdings.isComplete(TREE, cid), true)
  assert.equal(await again.holdings.isComplete('other', cid), false)
  assert.ok(await again.server.object('lab', TREE, cid, never))
})

test('what lacks a block is not adopted, and what was complete and lost one is so no longer', async () => {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  const { cid, snapshot } = await publish(hq, filesPlan(5, 100))
  const lost = cidOf(RAW, Buffer.alloc(100, '0/0 '))
  const blocks = {
    get: async (asked: Cid) => (asked.equals(lost) ? undefined : hq.store.blocks.get(asked)),
    has: async (asked: readonly Cid[]) => {
      const has = await hq.store.blocks.has(asked)
      return has.map((isHere, i) => isHere && !asked[i]!.equals(lost))
    },
  }
  const values = (space: string) => hq.store.values(space)
  const holdings = createHoldings({ blocks, values, clock })
  await holdings.revoke(TREE, cid)
  await assert.rejects(holdings.adopt(TREE, cid), {
    code: 'unstable',
    facts: { tree: TREE, cid: String(lost) },
  })
  assert.equal(await holdings.isComplete(TREE, cid), false)
  assert.equal(await findMissing(hq.store.blocks, cid), undefined)
  for (const gone of [cid, snapshot.index]) {
    const without = {
      ...blocks,
      get: async (asked: Cid) => (asked.equals(gone) ? undefined : hq.store.blocks.get(asked)),
    }
    assert.deepEqual(await findMissing(without, cid), gone)
  }

  await hq.holdings.adopt(TREE, cid)
  const complete = await loadCompleteSnapshots({ values, holdings })
  const revoked = Promise.withResolvers<void>()
  const watch = createDamageWatch({ clock: systemClock, logger: createTestLogger() })
  watch.found()
  watch.start({ complete, blocks, onRevoked: revoked.resolve })
  assert.equal(complete.has(TREE, cid), true)
  await revoked.promise
  assert.equal(complete.has(TREE, cid), false)
  assert.equal(await holdings.isComplete(TREE, cid), false)
  await watch.stop()
})

test('blocks are served by their position in a tree that is held here, and by nothing else', async () => {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  const { cid, snapshot } = await publish(hq, filesPlan(20, 100))
  const [page] = await pagesOf(hq.store.blocks, snapshot.index)
  const ask = async (tree: string, offsets: number[], server = hq.server) => {
    const answers = []
    for await (const batch of server.blocks('lab', { tree, page: page!, offsets }, never))
      for (const { offset, bytes } of batch) answers.push([offset, bytes !== undefined])
    return answers
  }
  assert.deepEqual(await ask(TREE, [0, 3, 500]), [
    [0, true],
    [3, true],
    [500, false],
  ])
  assert.deepEqual(await ask('logs/private', [0]), [[0, false]])
  assert.equal(await hq.server.object('lab', 'logs/private', cid, never), undefined)
  // A chunk is no control object, even of the right tree.
  const chunk = cidOf(RAW, Buffer.alloc(100, '0/0 '))
  assert.deepEqual(await hq.store.blocks.has([chunk]), [true])
  assert.equal(await hq.server.object('lab', TREE, chunk, never), undefined)

  const closed = createBlockService({
    blocks: hq.store.blocks,
    holdings: hq.holdings,
    traffic: createTraffic(),
    mayRead: () => false,
  })
  assert.deepEqual(await ask(TREE, [0], closed), [[0, false]])
  assert.equal(await closed.object('lab', TREE, cid, never), undefined)
  const watch = closed.watch('lab', { tree: TREE, snapshot: cid }, never)[Symbol.asyncIterator]()
  assert.deepEqual((await watch.next()).value, { kind: 'unknown' })
})

test('traffic tells repeats from different blocks, and what was given before it was complete', () => {
  const traffic = createTraffic()
  const page = cidOf(RAW, new Uint8Array([7]))
  const one = { offset: 1, bytes: 100 }
  const early = { tree: TREE, page, isIncomplete: true }
  const late = { ...early, isIncomplete: false }
  traffic.sentBlocks('a', early, [one])
  traffic.sentBlocks('b', late, [one])
  traffic.sentBlocks('b', late, [one, { ...one, offset: 2 }])
  traffic.sentBlocks('b', late, [])
  traffic.sentBlocks('b', { ...late, tree: 'other' }, [one])
  traffic.receivedBlock('a', 50, 80)
  traffic.sentBlocks('c', early, [{ offset: 3, bytes: 10, plainBytes: 90 }])
  traffic.sentObject('a', 7)
  const totals = traffic.totals()
  assert.equal(totals.blocksSent, 6)
  assert.equal(totals.distinctBlocksSent, 4)
  assert.equal(totals.blocksSentMoreThanOnce, 1)
  assert.equal(totals.bytesSentBeforeComplete, 110)
  assert.deepEqual([totals.bytesSent, totals.plainBytesSent], [517, 597])
  assert.deepEqual(totals.peers.get('a'), {
    bytesSent: 107,
    bytesReceived: 50,
    plainBytesSent: 107,
    plainBytesReceived: 80,
    blocksSent: 1,
    blocksReceived: 1,
    bytesSentBeforeComplete: 100,
  })
})

test('the longer a watch has lasted the longer changes are gathered, and the first after a pause goes at once', async () => {
  const time = new VirtualClock(0)
  const watcher = createWatcher(time)
  const delays: number[] = []
  for (const atMs of [0, 1000, 5000, 60_000]) {
    time.advanceTo(atMs)
    watcher.push({ kind: 'blocks', page: 0, offsets: [1] })
    const first = await watcher.next(never)
    assert.deepEqual(first, [{ kind: 'blocks', page: 0, offsets: [1] }])
    const second = watcher.next(never)
    watcher.push({ kind: 'blocks', page: 0, offsets: [2] })
    watcher.push({ kind: 'blocks', page: 0, offsets: [3] })
    for (let turn = 0; turn < 5; turn++) await Promise.resolve()
    delays.push(time.nextMs()! - atMs)
    time.advanceTo(time.nextMs()!)
    assert.deepEqual(await second, [{ kind: 'blocks', page: 0, offsets: [2, 3] }])
  }
  assert.deepEqual(delays, [50, 50, 100, 200])
})
