/** Publishing through a node: whose right is looked at when, how many at a time, and what a collection may take meanwhile. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import type { Block } from '../../src/block/block.ts'
import { type Cid, cidKey, cidOf, RAW } from '../../src/block/cid.ts'
import { createMemoryScratch } from '../../src/dag/scratch.ts'
import type { KeyPair } from '../../src/record/key.ts'
import { takenDown } from '../../src/record/mesh-state.ts'
import type { VerifiedRecord } from '../../src/record/record.ts'
import { signUpload } from '../../src/record/upload-proof.ts'
import type { FinishedUpload } from '../../src/replica/publish/upload-types.ts'
import { createUploads } from '../../src/replica/publish/uploads.ts'
import { createLedger } from '../../src/replica/records/ledger.ts'
import { directoryPlan, filePlan } from '../dag/trees.ts'
import { createMesh, publish } from './mesh.ts'
import { createTestLog, createTestLogger, createTestMesh, START_MS, testKey } from './test-mesh.ts'

const NAME = 'logs/brq'
const node = testKey(50)
const ci = testKey(51)
const other = testKey(52)

async function setUp(disk = { freeBytes: 1e9 }) {
  const mesh = createTestMesh()
  const clock = new VirtualClock(START_MS + 1000)
  /** From the key's third record on: what it said before stays. */
  const grant = (version: number, removed = false, expiresMs: number | null = null): VerifiedRecord =>
    mesh.sign(mesh.admin, 'grant', {
      ...{ grants: [ci.publicKey], name: 'ci', role: 'publisher', trees: ['logs/*'], may: [] },
      ...{ expiresMs, version, removed, ...(version === 1 ? { counter: 0, last: null } : ended()) },
    })
  const own = [
    mesh.sign(ci, 'tree', {
      ...{ name: NAME, readers: 'members', publishers: [ci.publicKey], version: 1, removed: false },
    }),
    mesh.sign(ci, 'epoch', {
      ...{ tree: NAME, epoch: 1, previous: null, publisher: ci.publicKey, base: null },
    }),
  ]
  function ended() {
    const { counter, id } = own.at(-1)!
    return { counter, last: id }
  }
  const records = [...[mesh.genesis, mesh.member(node, 'hq', 'eu'), ...mesh.tree('builds', other), grant(1)]]
  const ledger = await createLedger(
    { log: createTestLog(records.map(({ bytes }) => bytes)), clock, logger: createTestLogger() },
    { mesh: mesh.mesh },
  )
  const replica = createMesh().add('hq', 'eu')
  const { store, holdings } = replica
  const held: { promise: Promise<void> | undefined } = { promise: undefined }
  const uploads = createUploads({
    ledger,
    blocks: {
      ...store.blocks,
      of: (tree) => ({
        ...store.blocks.of(tree),
        async flush() {
          await held.promise
          await store.blocks.flush()
        },
      }),
    },
    complete: {
      adopt: holdings.adopt,
    },
    readFreeBytes: () => disk.freeBytes,
    values: store.values('uploads'),
    isGone: (tree, snapshot) => takenDown(ledger.state(), tree).has(cidKey(snapshot)),
    host: { peers: () => [], reconcile: async () => ({ received: 0, sent: 0 }) },
    nodeKey: node,
    scratch: createMemoryScratch(),
    clock,
    logger: createTestLogger(),
  })
  const open = (key: KeyPair = ci, tree = NAME) => {
    const timeMs = clock.nowMs()
    return uploads.open({
      ...{ tree, publisher: key.peer, timeMs, records: own.map(({ bytes }) => bytes) },
      signature: signUpload(key, { mesh: mesh.mesh, tree, timeMs }),
    })
  }
  const add = (record: VerifiedRecord) => ledger.submit(record.bytes)
  const signal = new AbortController().signal
  const finish = (id: string, snapshot: Cid) =>
    uploads.finish(id, { snapshot, allowEmpty: false, acceptShrink: false }, signal)
  const head = (snapshot: Cid, { epoch, sequence, previous }: FinishedUpload): VerifiedRecord =>
    mesh.sign(ci, 'head', { ...{ tree: NAME, epoch, sequence, previous, snapshot }, counts: {} })
  /** Opened, sent, proved. */
  const bring = async ({ cid, blocks }: Awaited<ReturnType<typeof contentOf>>) => {
    const { id } = await open()
    await uploads.put(id, blocks)
    return { id, cid, end: await finish(id, cid) }
  }
  return { finish, head, bring, mesh, clock, ledger, uploads, open, add, grant, ended, store, held }
}

function blockOf(text: string): Block {
  const bytes = Buffer.from(text)
  return { cid: cidOf(RAW, bytes), bytes }
}

/** What a client would send of a tree with one file. */
async function contentOf(file: string) {
  const source = createMesh().add('elsewhere', 'eu')
  const blocks: Block[] = []
  const keep = (block: Block): boolean => blocks.push(block) > 0
  const { cid } = await publish(source, directoryPlan({ a: filePlan(file) }), { tree: NAME, keep })
  blocks.push({ cid, bytes: (await source.store.blocks.get(cid))! })
  return { cid, blocks }
}

test('a key whose grant is taken back, or that is revoked, stores nothing more and opens nothing', async () => {
  for (const how of ['grant', 'expiry', 'revocation'] as const) {
    const { mesh, clock, uploads, open, add, grant, ended, store } = await setUp()
    const { id } = await open()
    if (how === 'expiry') await add(grant(2, false, clock.nowMs() + 1000))
    await uploads.put(id, [blockOf('before')])
    if (how === 'grant') await add(grant(2, true))
    else if (how === 'expiry') clock.advanceTo(clock.nowMs() + 2000)
    else {
      await add(
        mesh.sign(mesh.admin, 'revocation', {
          ...{ key: ci.publicKey, ...ended(), reason: 'stolen' },
        }),
      )
    }
    const late = blockOf(`after the ${how}`)
    await assert.rejects(uploads.put(id, [late]), { code: 'refused' })
    assert.deepEqual(await store.blocks.has([late.cid]), [false])
    assert.deepEqual(store.blocks.leases(), [], 'nothing keeps what it brought')
    await assert.rejects(uploads.has(id, [late.cid]), { code: 'not-found' })
    await assert.rejects(open(), /has been revoked|no grant lets/)
  }
})

test('many that open at once get no more than there is room for, and one key not all of it', async () => {
  const { uploads, open } = await setUp()
  const outcomes = await Promise.allSettled(Array.from({ length: 12 }, () => open()))
  const opened = outcomes.flatMap((each) => (each.status === 'fulfilled' ? [each.value.id] : []))
  assert.equal(opened.length, 4)
  for (const each of outcomes) if (each.status === 'rejected') assert.equal(each.reason.code, 'busy')
  // Another key finds room.
  await open(other, 'builds')
  for (const id of opened) uploads.close(id)
  await open()
})

test('a long proof is not idle, and what is given up in the middle of it does not count as complete', async () => {
  const { clock, uploads, open, store, held } = await setUp()
  const { cid, blocks } = await contentOf('one')
  const signal = new AbortController().signal
  const end = { snapshot: cid, allowEmpty: false, acceptShrink: false }
  const collect = () => store.collect({ choose: () => ({ whole: [], partial: [] }) })
  const gate = Promise.withResolvers<void>()
  held.promise = gate.promise
  const { id } = await open()
  await uploads.put(id, blocks)
  const proof = uploads.finish(id, end, signal)
  // What only looks must not start the time that ends it.
  await uploads.has(id, [cid])
  clock.advanceTo(clock.nowMs() + 3_600_000)
  await collect()
  gate.resolve()
  assert.equal((await proof).isNew, true)
  assert.deepEqual([...new Set(await store.blocks.has(blocks.map((each) => each.cid)))], [true])
  clock.advanceTo(clock.nowMs() + 3_600_000)
  await assert.rejects(uploads.has(id, [cid]), { code: 'not-found' }, 'afterwards it is')

  const second = Promise.withResolvers<void>()
  held.promise = second.promise
  const { id: given } = await open()
  await uploads.put(given, blocks)
  const givenUp = uploads.finish(given, end, signal)
  await uploads.has(given, [cid])
  uploads.close(given)
  assert.equal(store.blocks.leases().length, 1, 'the proof is still reading')
  second.resolve()
  await assert.rejects(givenUp, { code: 'not-found' })
  assert.deepEqual(store.blocks.leases(), [])
})

test('a snapshot that was taken down is not published again', async () => {
  const { mesh, uploads, open, add } = await setUp()
  const { cid, blocks } = await contentOf('leaked')
  const { id } = await open()
  await uploads.put(id, blocks)
  await add(
    mesh.sign(mesh.admin, 'takedown', {
      ...{ name: 'x', tree: NAME, snapshots: [cid], path: null, through: 0, reason: 'leaked' },
      ...{ version: 1, removed: false },
    }),
  )
  const signal = new AbortController().signal
  await assert.rejects(
    uploads.finish(id, { snapshot: cid, allowEmpty: false, acceptShrink: false }, signal),
    { code: 'refused', message: /taken this very snapshot down/ },
  )
})

test('an upload ends after a day, however busy, and when a takedown asks for it', async () => {
  const { clock, uploads, open, store, bring, head, held, finish } = await setUp()
  const first = await bring(await contentOf('leaked'))
  await uploads.publish(first.id, head(first.cid, first.end).bytes)
  const { id: busy } = await open()
  for (let hour = 0; hour < 24 * 7; hour++) {
    clock.advanceTo(clock.nowMs() + 9 * 60_000)
    if (hour < 24 * 6) await uploads.has(busy, [first.cid])
  }
  await assert.rejects(uploads.has(busy, [first.cid]), { code: 'not-found' })
  assert.deepEqual(store.blocks.leases(), [])

  const { id } = await open()
  const [lease] = store.blocks.leases()
  assert.deepEqual(lease?.roots.map(String), [first.cid.toString()])
  // What runs for it is ended, and keeps its lease until then.
  const more = await contentOf('more')
  await uploads.put(id, more.blocks)
  const gate = Promise.withResolvers<void>()
  held.promise = gate.promise
  const proof = finish(id, more.cid)
  await uploads.has(id, [first.cid])
  lease.end!()
  assert.equal(store.blocks.leases().length, 1)
  gate.resolve()
  await assert.rejects(proof, { code: 'not-found' })
  assert.deepEqual(store.blocks.leases(), [])
})

test('an upload over what was taken down does not hold the takedown up', async () => {
  const { mesh, uploads, open, add, store, bring, head } = await setUp()
  const { id: first, cid, end } = await bring(await contentOf('leaked'))
  await uploads.publish(first, head(cid, end).bytes)
  await add(
    mesh.sign(mesh.admin, 'takedown', {
      ...{ name: 'x', tree: NAME, snapshots: [cid], path: null, through: 0, reason: 'leaked' },
      ...{ version: 1, removed: false },
    }),
  )
  await open()
  assert.deepEqual(
    store.blocks.leases().map(({ roots }) => roots),
    [[]],
  )
})

test('what no head names takes half of the free space at most, also when it was left behind', async () => {
  const disk = { freeBytes: 10_000 }
  const { clock, uploads, open, bring, head, store } = await setUp(disk)
  const junk = (text: string): Block => blockOf(text.repeat(2000).slice(0, 2000))
  const send = async (id: string, block: Block): Promise<void> => {
    await uploads.put(id, [block])
    disk.freeBytes -= block.bytes.length
  }
  const published = await bring(await contentOf('published'))
  await uploads.publish(published.id, head(published.cid, published.end).bytes)
  const { id } = await open()
  await send(id, junk('a'))
  // The same again takes nothing.
  for (let again = 0; again < 9; again++) await uploads.put(id, [junk('a')])
  await send(id, junk('b'))
  await assert.rejects(uploads.put(id, [junk('c')]), {
    code: 'no-space',
    message: /is 4\.0 kB, and 5\.0 kB may be/,
  })
  assert.deepEqual(await store.blocks.has([junk('c').cid]), [false])
  uploads.close(id)
  const { id: next } = await open()
  await assert.rejects(uploads.put(next, [junk('c')]), { code: 'no-space' }, 'it is still on the disk')
  clock.advanceTo(clock.nowMs() + 24 * 3_600_000)
  const { id: later } = await open()
  await uploads.put(later, [junk('c')])
})

test('a small publish does not account for much that no head names', async () => {
  const { uploads, open, head, finish } = await setUp({ freeBytes: 100_000 })
  const { cid, blocks } = await contentOf('small')
  const { id } = await open()
  await uploads.put(id, [blockOf('j'.repeat(45_000)), ...blocks.slice(0, 1)])
  await uploads.put(id, blocks)
  await uploads.publish(id, head(cid, await finish(id, cid)).bytes)
  const { id: next } = await open()
  await assert.rejects(uploads.put(next, [blockOf('k'.repeat(30_000))]), { code: 'no-space' })
})

test('of two uploads that were judged against one head the second is judged again', async () => {
  const { uploads, ledger, bring, head, finish } = await setUp()
  const one = await bring(await contentOf('one'))
  const two = await bring(await contentOf('two'))
  await uploads.publish(one.id, head(one.cid, one.end).bytes)
  const { id } = ledger.state().trees.get(NAME)!.newest!
  // As a client would sign it that does not ask again.
  const unjudged = { ...two.end, sequence: 2, previous: id }
  const early = head(two.cid, unjudged)
  await assert.rejects(uploads.publish(two.id, early.bytes), {
    code: 'conflict',
    message: /published meanwhile/,
  })
  const again = await finish(two.id, two.cid)
  assert.deepEqual([again.sequence, again.previous?.toString()], [2, id.toString()])
  await uploads.publish(two.id, early.bytes)
  assert.equal(ledger.state().trees.get(NAME)!.newest?.sequence, 2)
})
