import assert from 'node:assert/strict'
import { once } from 'node:events'
import fs from 'node:fs/promises'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { isMirrorError } from '../../src/base/errors.ts'
import type { Cid } from '../../src/block/cid.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import type { CompleteSnapshots } from '../../src/replica/holdings/complete-snapshots.ts'
import { type HeldBack, type HeldBackKeeper, loadHeldBack } from '../../src/replica/publish/held-back.ts'
import { createPublisher } from '../../src/replica/publish/publish.ts'
import { createLedger } from '../../src/replica/records/ledger.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { openStatCaches } from '../../src/tree/stat-cache/stat-caches.ts'
import { withTempDir } from './agent-mesh.ts'
import { createTestLog, createTestLogger, createTestMesh, testKey } from './test-mesh.ts'

const hq = testKey(40)
const lab = testKey(41)
const DAY_MS = 86_400_000

/** A tree `t` of 20 files, published; and what holds back, which can be ended and started like a node. */
async function setUp(dir: string) {
  const mesh = createTestMesh()
  const records = [mesh.genesis, mesh.member(hq, 'hq', 'eu'), ...mesh.tree('t', hq)]
  const log = createTestLog(records.map(({ bytes }) => bytes))
  const logger = createTestLogger()
  const ledger = await createLedger({ log, clock: systemClock, logger }, { mesh: mesh.mesh })
  const { blocks, values } = createMemoryStore({ tempDir: dir })
  const ahead = { ms: 0 }
  const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + ahead.ms }
  const failing = { adopt: '' }
  const complete: Pick<CompleteSnapshots, 'adopt' | 'has'> = {
    has: () => false,
    async adopt() {
      if (failing.adopt !== '') throw new Error(failing.adopt)
    },
  }
  const changes = new EventTarget()
  let keeper: HeldBackKeeper
  let stops: (() => Promise<void>) | undefined
  const components = {
    ...{ ledger, blocks, complete, nodeKey: hq, clock, tempDir: dir, logger },
    statCaches: openStatCaches({ dir: path.join(dir, 'cache'), log: logger }),
    host: { peers: () => [], reconcile: async () => ({ received: 0, sent: 0 }) },
    heldBack: { hold: (dropping: Parameters<HeldBackKeeper['hold']>[0]) => keeper.hold(dropping) },
  }
  const publisher = createPublisher(components)
  const published: HeldBack[] = []
  /** `isDeaf`: it has not got to acting on verdicts. `isKilled`: right after the head, nothing more is written. */
  async function start({ isDeaf = false, isKilled = false } = {}): Promise<void> {
    keeper = await loadHeldBack({
      ...{ ledger, blocks, clock, logger, nodeKey: hq, values: values('held-back') },
      onChanged: () => changes.dispatchEvent(new Event('change')),
    })
    if (!isDeaf)
      keeper.start(async (held, signal) => {
        published.push(held)
        await publisher.publishHeld(held, { deltas: 'off', signal })
        if (!isKilled) return
        void keeper.stop()
        changes.dispatchEvent(new Event('change'))
        throw new Error('killed')
      })
    const { stop } = keeper
    stops = isKilled ? undefined : stop
  }
  await start()
  const source = path.join(dir, 'source')
  await fs.mkdir(source)
  const write = (name: number, text = 'x'): Promise<void> => fs.writeFile(path.join(source, `${name}`), text)
  for (let i = 0; i < 20; i++) await write(i)
  const publish = (options = {}) => publisher.publish({ path: source, tree: 't', ...options })
  await publish()
  const history = () => ledger.state().trees.get('t')!.history
  return {
    ...{ mesh, ledger, blocks, logger, ahead, failing, published, history, publish, publisher, write, start },
    held: () => keeper.of('t'),
    stop: async () => stops?.(),
    async shrink(from = 0): Promise<HeldBack> {
      for (let i = from; i < from + 10; i++) await fs.rm(path.join(source, `${i}`), { force: true })
      await assert.rejects(publish(), (error) => isMirrorError(error, 'refused'))
      return keeper.of('t')!
    },
    leased: () => blocks.leases().flatMap(({ roots }) => roots.map(String)),
    async say(of: HeldBack, accepted: boolean, version = 1): Promise<void> {
      const { tree, snapshot, previous } = of
      const body = { tree, snapshot, previous, accepted, version }
      await ledger.submit(mesh.sign(mesh.admin, 'verdict', body).bytes)
    },
    async until(isSo: () => boolean): Promise<void> {
      const signal = AbortSignal.timeout(20_000)
      while (!isSo()) await once(changes, 'change', { signal })
    },
  }
}

function inDir(run: (node: Awaited<ReturnType<typeof setUp>>, t: TestContext) => Promise<void>) {
  return (t: TestContext): Promise<void> =>
    withTempDir(async (dir) => {
      const node = await setUp(dir)
      try {
        await run(node, t)
      } finally {
        await node.stop()
      }
    })
}

test(
  'what drops much waits, leased and over a restart, and is published after a yes',
  inDir(async ({ shrink, held, leased, say, until, start, stop, history, publish, blocks }) => {
    const pending = await shrink()
    const { snapshot, previous, sequence, files, filesBefore } = pending
    assert.deepEqual([sequence, files, filesBefore], [1, 10, 20])
    assert.ok(previous.equals(history()[0]!.id))
    assert.ok(leased().includes(snapshot.toString()))
    await stop()
    assert.ok(!leased().includes(snapshot.toString()))
    await start({ isDeaf: true })
    assert.deepEqual(held(), pending)
    assert.ok(leased().includes(snapshot.toString()))
    // The yes comes while nobody acts on it.
    await say(pending, true)
    assert.equal(history().length, 1)
    await stop()
    await start()
    await until(() => held() === undefined)
    assert.deepEqual(
      history()
        .map((head) => head.snapshot.toString())
        .slice(1),
      [snapshot.toString()],
    )
    assert.equal(history()[1]!.counts.files, 10)
    assert.ok(!leased().includes(snapshot.toString()))
    const again = await publish()
    assert.deepEqual([again.isNew, again.sequence], [false, 2])
    assert.equal(decodeSnapshot(snapshot, (await blocks.get(snapshot as Cid))!).counts.files, 10)
  }),
)

test(
  'a node that is killed between the head and what follows publishes it once',
  inDir(async ({ shrink, held, say, until, start, stop, history, published }) => {
    const pending = await shrink()
    await stop()
    await start({ isKilled: true })
    await say(pending, true)
    await until(() => history().length === 2)
    await start()
    await until(() => held() === undefined)
    assert.equal(history().length, 2)
    assert.equal(published.length, 1)
  }),
)

test(
  'a tree that has moved on makes the yes mean nothing',
  inDir(async ({ shrink, held, say, until, history, publish, published }) => {
    const first = await shrink()
    assert.equal((await publish({ acceptShrink: true })).sequence, 2)
    await until(() => held() === undefined)
    await say(first, true)

    await shrink(10).catch(() => undefined)
    assert.equal(held(), undefined, 'an empty source does not wait')
    assert.deepEqual([history().length, published.length], [2, 0])
  }),
)

test(
  'another publisher of the tree: what is held back is let go of',
  inDir(async ({ mesh, ledger, shrink, held, say, until, history, published }) => {
    const pending = await shrink()
    const publishers = [hq.publicKey, lab.publicKey].sort(Buffer.compare)
    const { epoch } = ledger.state().trees.get('t')!
    const records = [
      mesh.sign(mesh.admin, 'tree', {
        name: 't',
        readers: 'members',
        publishers,
        version: 2,
        removed: false,
      }),
      mesh.sign(mesh.admin, 'epoch', {
        ...{ tree: 't', epoch: 2, previous: epoch!.id, publisher: lab.publicKey, base: history().at(-1)!.id },
      }),
    ]
    for (const { bytes } of records) await ledger.submit(bytes)
    await until(() => held() === undefined)
    await say(pending, true)
    assert.deepEqual([history().length, published.length], [1, 0])
  }),
)

test(
  'a no lets go of it, and the same source does not ask again; another does',
  inDir(async ({ shrink, held, leased, say, until, publish, write, history, start, stop }) => {
    const pending = await shrink()
    await say(pending, false)
    await until(() => held() === undefined)
    assert.ok(!leased().includes(pending.snapshot.toString()))
    const refused = (error: unknown): boolean => isMirrorError(error, 'refused')
    await assert.rejects(publish(), /an admin has rejected the same|lost/)
    assert.equal(held(), undefined)
    await stop()
    await start()
    await assert.rejects(publish(), refused)
    assert.equal(held(), undefined, 'after a restart neither')
    // A second admin, later: what was let go of does not come back.
    await say(pending, true, 2)
    await write(0)
    await assert.rejects(publish(), refused)
    const next = held()!
    assert.equal(next.files, 11)
    await say(pending, true, 3)
    await say(next, true, 4)
    await until(() => held() === undefined)
    assert.deepEqual(
      history().map(({ counts }) => counts.files),
      [20, 11],
    )
  }),
)

test(
  'the same source keeps its place, a changed one takes it',
  inDir(async ({ shrink, held, publish, write, say, until, leased, history }) => {
    const pending = await shrink()
    await assert.rejects(publish())
    assert.ok(held()!.snapshot.equals(pending.snapshot), 'a timer that publishes again does not outrun a yes')
    await write(10, 'changed')
    await assert.rejects(publish())
    const next = held()!
    assert.ok(!next.snapshot.equals(pending.snapshot))
    assert.deepEqual(
      leased().filter((each) => [pending, next].some(({ snapshot }) => snapshot.toString() === each)),
      [next.snapshot.toString()],
    )
    await say(pending, true)
    await say(next, true, 2)
    await until(() => held() === undefined)
    assert.ok(history()[1]!.snapshot.equals(next.snapshot) && history().length === 2)
  }),
)

test(
  'nobody decides, or some of the tree is taken down: it goes',
  inDir(async ({ mesh, ledger, shrink, held, until, ahead, history, publish, logger }) => {
    await shrink()
    ahead.ms = 7 * DAY_MS + 1
    // Anything that is said of the tree has it looked at; by itself that comes within a minute.
    const note = (through: number) =>
      mesh.sign(mesh.admin, 'takedown', {
        ...{ name: `t:${through}`, tree: 't', snapshots: [], path: 'secret', through, reason: 'r' },
        ...{ version: 1, removed: false },
      })
    await ledger.submit(note(1).bytes)
    await until(() => held() === undefined)
    const whys = () =>
      logger.events.filter(({ event }) => event === 'held-back.gone').map(({ fields }) => fields.why)
    assert.equal(whys().length, 1)
    await assert.rejects(publish())
    assert.ok(held() !== undefined, 'a takedown from before does not matter')
    await ledger.submit(note(2).bytes)
    await until(() => held() === undefined)
    assert.deepEqual(whys().at(-1), 'some of the tree was taken down')
    assert.equal(history().length, 1)
  }),
)

test(
  'a yes that cannot be carried out is told, and tried again',
  inDir(async ({ mesh, ledger, shrink, held, say, until, failing, history }) => {
    const pending = await shrink()
    failing.adopt = 'the disk is full'
    await say(pending, true)
    await until(() => held()?.problem !== undefined)
    assert.match(held()!.problem!, /the disk is full/)
    failing.adopt = ''
    await ledger.submit(
      mesh.sign(mesh.admin, 'tree', { ...ledger.state().trees.get('t')!.body, version: 2 }).bytes,
    )
    await until(() => held() === undefined)
    assert.equal(history().length, 2)
  }),
)
