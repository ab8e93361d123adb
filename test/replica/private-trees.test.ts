/** What a site without the right does and says, and that a right which ends takes effect in the middle of what it began. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { cidOf, RAW } from '../../src/block/cid.ts'
import { encodePage } from '../../src/dag/block-index.ts'
import { listPages } from '../../src/dag/reader.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import type { HoldingUpdate } from '../../src/net/ports.ts'
import type { KeyPair } from '../../src/record/key.ts'
import { readersInclude } from '../../src/record/mesh-state.ts'
import { foldRecords } from '../../src/record/mesh-state-builder.ts'
import { goalsOf, isWanted } from '../../src/replica/goals.ts'
import { createHoldings } from '../../src/replica/holdings/holdings.ts'
import { isPrivateTree } from '../../src/replica/holdings/tree-views.ts'
import { createBlockService } from '../../src/replica/serve/block-service.ts'
import { treeFacts } from '../../src/replica/site-agent/status.ts'
import { createTraffic } from '../../src/replica/traffic.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { tempDir } from '../store/temp-dir.ts'
import { createMesh, filesPlan, publish, TREE } from './mesh.ts'
import { createTestMesh, START_MS, testKey } from './test-mesh.ts'

const never = new AbortController().signal

test('only a publisher and readers pursue a private tree, and take a share of it', () => {
  const mesh = createTestMesh()
  const [hq, lab, shop] = [testKey(11), testKey(12), testKey(13)]
  const at = (site: string, key: KeyPair) => ({ key, peer: key.peer, site, region: 'eu' })
  const [hqSite, labSite, shopSite] = [at('hq', hq), at('lab', lab), at('shop', shop)]
  const records = [
    mesh.genesis,
    ...[hqSite, labSite, shopSite].map(({ key, site, region }) => mesh.member(key, site, region)),
    ...mesh.tree('secret', hq, 'granted'),
    ...mesh.tree('open', hq),
    mesh.sign(mesh.admin, 'pin', {
      ...{ name: 'all', tree: '*', sites: { all: true }, version: 1, removed: false },
    }),
    mesh.reader(lab, ['sec*']),
  ]
  const state = foldRecords(records, mesh.mesh)
  assert.deepEqual([isPrivateTree(state, 'secret'), isPrivateTree(state, 'open')], [true, false])
  assert.ok(isPrivateTree(state, 'unknown'), 'in doubt it is private')
  for (const site of [hqSite, labSite]) {
    assert.equal(goalsOf(state, site, START_MS).get('secret')?.hasNoRight, undefined)
    assert.ok(isWanted(state, 'secret', site, START_MS))
  }
  const denied = goalsOf(state, shopSite, START_MS)
  assert.deepEqual([denied.get('secret')?.hasNoRight, denied.get('secret')?.isHeldBack], [true, true])
  assert.equal(denied.get('open')?.isHeldBack, undefined)
  assert.equal(isWanted(state, 'secret', shopSite, START_MS), false)
  assert.ok(isWanted(state, 'open', shopSite, START_MS))
  const facts = treeFacts(state, state.trees.get('secret')!, START_MS)
  assert.deepEqual([...(facts.sitesWithoutRight ?? [])], ['shop'])
  assert.equal(treeFacts(state, state.trees.get('open')!, START_MS).sitesWithoutRight, undefined)

  records.push(
    ...mesh.tree('narrow', hq, 'granted'),
    ...mesh.tree('theirs', lab, 'granted'),
    ...mesh.tree('of-a-stranger', testKey(14), 'granted'),
  )
  const nested = foldRecords(records, mesh.mesh)
  const includes = (outer: string, inner: string): boolean => readersInclude(nested, outer, inner, START_MS)
  assert.ok(includes('secret', 'narrow'), 'hq alone reads the narrow one')
  assert.ok(includes('secret', 'theirs'), 'the lab reads both')
  assert.equal(includes('narrow', 'secret'), false)
  assert.equal(includes('theirs', 'secret'), false, 'hq does not')
  assert.equal(includes('secret', 'of-a-stranger'), false, 'its publisher is no reader')
  assert.equal(includes('secret', 'open'), false)
  assert.ok(includes('open', 'secret') && includes('open', 'open') && includes('secret', 'secret'))
  assert.equal(includes('secret', 'unknown') || includes('unknown', 'secret'), false)

  const revoked = foldRecords([...records, mesh.reader(lab, ['sec*'], 2, true)], mesh.mesh)
  assert.equal(goalsOf(revoked, labSite, START_MS).get('secret')?.hasNoRight, true)
  assert.equal(goalsOf(revoked, hqSite, START_MS).get('secret')?.hasNoRight, undefined)
})

test('a right that ends in the middle of an answer or a watch ends it', async () => {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  const { cid } = await publish(hq, filesPlan(600, 100))
  let batches = Number.POSITIVE_INFINITY
  const server = createBlockService({
    blocks: hq.store.blocks,
    holdings: hq.holdings,
    traffic: createTraffic(),
    mayRead: () => batches-- > 0,
  })
  const { index } = decodeSnapshot(cid, (await hq.store.blocks.get(cid))!)
  const pages = []
  for await (const page of listPages(hq.store.blocks, index)) pages.push(page)
  const [page] = pages
  const ask = async (): Promise<number> => {
    let served = 0
    const offsets = Array.from({ length: page!.blocks }, (_, i) => i)
    for await (const batch of server.blocks('lab', { tree: TREE, page: page!.cid, offsets }, never))
      served += batch.filter(({ bytes }) => bytes !== undefined).length
    return served
  }
  assert.equal(await ask(), page!.blocks)
  // Once for the request, once for the first batch.
  batches = 2
  const some = await ask()
  assert.ok(some > 0 && some < page!.blocks, `${some} of ${page!.blocks}`)
  batches = 1
  assert.equal(await ask(), 0)
  batches = 1
  assert.equal(
    await server.object('lab', TREE, cid, never),
    undefined,
    'it is looked at again once it is read',
  )

  const other = cidOf(RAW, Buffer.from('a snapshot that is being fetched'))
  const fetching = hq.holdings.begin(TREE, other)
  batches = 3
  const told: HoldingUpdate[] = []
  const watching = (async () => {
    for await (const update of server.watch('lab', { tree: TREE, snapshot: other }, never)) told.push(update)
  })()
  while (told.length === 0) await new Promise((resolve) => setImmediate(resolve))
  batches = 0
  fetching.fillPage(3)
  await watching
  assert.deepEqual(told, [{ kind: 'pages', full: [] }, { kind: 'unknown' }])
  fetching.end()
})

test('a block of a private tree is served by no page of another, near or far, not even out of a cache', async () => {
  const store = createMemoryStore()
  const blocksOf = (tree: string) => store.blocks.of({ tree, isPrivate: () => tree === 'secret' })
  const holdings = createHoldings({
    ...{ blocks: store.blocks, blocksOf, values: (space) => store.values(space), clock: new VirtualClock() },
  })
  const bytes = new Uint8Array(Buffer.alloc(20_000, 'compresses well '))
  const block = { cid: cidOf(RAW, bytes), bytes }
  const page = encodePage([{ cid: block.cid, lengthBytes: bytes.length }])
  await blocksOf('secret').put([block, page])
  await holdings.allow('secret', page.cid)
  for (const isFar of [false, true]) {
    const server = createBlockService({
      ...{ blocks: store.blocks, blocksOf, holdings, traffic: createTraffic() },
      mayRead: () => true,
      isFar: () => isFar,
    })
    const ask = async (tree: string): Promise<boolean> => {
      const request = { tree, page: page.cid, offsets: [0], acceptsZstd: true }
      for await (const [answer] of server.blocks('lab', request, never)) return answer?.bytes !== undefined
      return false
    }
    assert.equal(await ask('secret'), true)
    assert.equal(await ask('bait'), false, 'its page is not known there')
    await holdings.allow('bait', page.cid)
    assert.equal(await ask('bait'), false, 'nor is the page, which is private too')
    await blocksOf('bait').put([page])
    assert.equal(await ask('bait'), false, 'the block that it lists')
    assert.equal(await server.object('lab', 'bait', block.cid, never), undefined)
    assert.equal(await ask('secret'), true)
  }
  await blocksOf('bait').put([block])
  const server = createBlockService({
    ...{ blocks: store.blocks, blocksOf, holdings, traffic: createTraffic(), mayRead: () => true },
  })
  const request = { tree: 'bait', page: page.cid, offsets: [0] }
  for await (const [answer] of server.blocks('lab', request, never)) assert.deepEqual(answer?.bytes, bytes)
  await store.close()
})

test('what is pulled through of a private tree is kept for nobody', async (t: TestContext) => {
  const mesh = createMesh()
  const [hq, lab] = [mesh.add('hq', 'us'), mesh.add('lab', 'eu')]
  const { cid } = await publish(hq, filesPlan(3, 900))
  for (const isPrivate of [true, false]) {
    const pull = mesh.pull(lab, tempDir(t), { isPrivate })
    assert.ok((await pull.open(TREE, cid).get(cid)) !== undefined)
    await new Promise((resolve) => setImmediate(resolve))
    await pull.cache.get(cid)
    assert.equal(pull.cache.usage().blocks, isPrivate ? 0 : 1)
  }
})
