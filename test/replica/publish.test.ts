import assert from 'node:assert/strict'
import fs from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { isMirrorError } from '../../src/base/errors.ts'
import { DEFAULT_CHUNKER } from '../../src/block/chunker.ts'
import type { Cid } from '../../src/block/cid.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import type { VerifiedRecord } from '../../src/record/record.ts'
import type { CompleteSnapshots } from '../../src/replica/holdings/complete-snapshots.ts'
import { createPublisher } from '../../src/replica/publish/publish.ts'
import { createLedger } from '../../src/replica/records/ledger.ts'
import type { BlockStore } from '../../src/store/block-store.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { importTree } from '../../src/tree/import/import.ts'
import { openStatCaches } from '../../src/tree/stat-cache/stat-caches.ts'
import { withTempDir } from './agent-mesh.ts'
import { createTestLog, createTestLogger, createTestMesh, testKey } from './test-mesh.ts'

const hq = testKey(40)
const lab = testKey(41)

/** Every durable step, in order, each of which may be told to fail. */
async function setUp(
  dir: string,
  {
    reconcile,
  }: { reconcile?: (offer: (records: VerifiedRecord[]) => Promise<unknown>) => Promise<void> } = {},
) {
  const mesh = createTestMesh()
  const basics = [
    mesh.genesis,
    mesh.member(hq, 'hq', 'eu'),
    mesh.member(lab, 'lab', 'us'),
    ...mesh.tree('t', hq),
  ]
  const log = createTestLog(basics.map(({ bytes }) => bytes))
  const logger = createTestLogger()
  const ledger = await createLedger({ log, clock: systemClock, logger }, { mesh: mesh.mesh })
  const store = createMemoryStore({ tempDir: dir })
  const steps: string[] = []
  const failing = new Set<string>()
  const step = (name: string): void => {
    steps.push(name)
    if (failing.has(name)) throw new Error(`killed at ${name}`)
  }
  const lost = new Set<string>()
  const blocks: BlockStore = {
    ...store.blocks,
    of: () => blocks,
    get: async (cid) => (lost.has(cid.toString()) ? undefined : store.blocks.get(cid)),
    async flush() {
      step('flush')
      await store.blocks.flush()
    },
  }
  const clock = { aheadMs: 0 }
  const known = new Set<string>()
  const complete: Pick<CompleteSnapshots, 'adopt' | 'has'> = {
    has: (_, cid) => known.has(cid.toString()),
    async adopt(_, cid: Cid) {
      step('complete')
      assert.ok((await store.blocks.get(cid)) !== undefined)
      known.add(cid.toString())
    },
  }
  log.whenAppended(() => steps.push('record'))
  const host = {
    peers: () => [{ peer: lab.peer, direction: 'outbound' as const, addresses: [] }],
    async reconcile() {
      step('reconcile')
      await reconcile?.((records) =>
        ledger.offer(
          records.map(({ bytes }) => bytes),
          lab.peer,
        ),
      )
      return { received: 0, sent: 0 }
    },
  }
  const source = path.join(dir, 'source')
  await fs.mkdir(source)
  await fs.writeFile(path.join(source, 'a'), 'one')
  const publisher = createPublisher({
    ledger,
    blocks,
    complete,
    nodeKey: hq,
    clock: { ...systemClock, nowMs: () => systemClock.nowMs() + clock.aheadMs },
    tempDir: dir,
    statCaches: openStatCaches({ dir: path.join(dir, 'cache'), log: logger }),
    host,
    logger,
  })
  const publish = (options = {}) => publisher.publish({ path: source, tree: 't', ...options })
  return { mesh, basics, log, logger, ledger, steps, failing, source, lost, known, clock, blocks, publish }
}

test('the order is: reconcile, blocks durable, complete, then the signed head', async () => {
  await withTempDir(async (dir) => {
    const { steps, publish, source } = await setUp(dir)
    await publish()
    assert.equal(steps[0], 'reconcile')
    assert.ok(steps.lastIndexOf('flush') < steps.indexOf('complete'))
    assert.deepEqual(steps.slice(-2), ['complete', 'record'])
    await fs.writeFile(path.join(source, 'a'), 'two')
    assert.equal((await publish()).sequence, 2)
    assert.equal(steps.filter((name) => name === 'reconcile').length, 1)
  })
})

test('killed at any step nothing is signed, and the next try publishes the same sequence', async () => {
  for (const name of ['flush', 'complete', 'record']) {
    await withTempDir(async (dir) => {
      const { failing, log, ledger, publish } = await setUp(dir)
      failing.add(name)
      if (name === 'record') log.failWith(new Error('killed at record'))
      await assert.rejects(publish(), new RegExp(`killed at ${name}`))
      assert.equal(ledger.state().trees.get('t')?.newest, undefined)
      assert.equal(ledger.tip(hq.publicKey), undefined)
      failing.clear()
      log.failWith(undefined)
      const { sequence, newBytes } = await publish()
      assert.equal(sequence, 1)
      // What was stored before stays stored; only the snapshot block itself, which has a time in it, may be new.
      if (name !== 'flush') assert.ok(newBytes < 1000, String(newBytes))
    })
  }
})

test('a publisher that came back from an old backup goes on after its own later heads', async () => {
  await withTempDir(async (dir) => {
    let later: VerifiedRecord[] = []
    const { mesh, ledger, publish } = await setUp(dir, {
      reconcile: async (offer) => void (await offer(later)),
    })
    const head = (sequence: number, previous: VerifiedRecord | undefined): VerifiedRecord =>
      mesh.sign(hq, 'head', {
        tree: 't',
        epoch: 1,
        sequence,
        previous: previous?.id ?? null,
        snapshot: mesh.mesh,
        counts: {},
      })
    const first = head(1, undefined)
    later = [first, head(2, first)]
    await assert.rejects(publish(), { code: 'refused', message: /^t@2 is not stored/, hint: /--no-exclude/ })
    assert.equal((await publish({ ignore: [] })).sequence, 3)
    assert.equal(ledger.state().trees.get('t')?.fork, undefined)
    assert.equal(ledger.tip(hq.publicKey)?.counter, 3)
  })
})

test('when no peer answers it publishes all the same, says so, and asks again the next time', async () => {
  await withTempDir(async (dir) => {
    const { failing, steps, logger, publish, source } = await setUp(dir)
    failing.add('reconcile')
    assert.equal((await publish()).sequence, 1)
    assert.ok(logger.events.some(({ event }) => event === 'publish.unreconciled'))
    failing.clear()
    await fs.writeFile(path.join(source, 'b'), 'more')
    assert.equal((await publish()).sequence, 2)
    assert.equal(steps.filter((name) => name === 'reconcile').length, 2)
  })
})

test('two publishes of one tree at the same time make two heads in a row, never two at one place', async () => {
  await withTempDir(async (dir) => {
    const { ledger, publish, source } = await setUp(dir)
    const other = path.join(dir, 'other')
    await fs.mkdir(other)
    await fs.writeFile(path.join(other, 'x'), 'x')
    const sequences = (await Promise.all([publish({ path: source }), publish({ path: other })])).map(
      (each) => each.sequence,
    )
    assert.deepEqual(sequences.toSorted(), [1, 2])
    assert.equal(ledger.state().trees.get('t')?.fork, undefined)
  })
})

test('an emptied source is refused until it is meant, an unknown tree is not found', async () => {
  await withTempDir(async (dir) => {
    const { publish, source, lost } = await setUp(dir)
    const { snapshot } = await publish()
    await fs.rm(path.join(source, 'a'))
    const isRefused = (error: unknown): boolean =>
      isMirrorError(error, 'refused') && /mounted/.test(error.hint ?? '')
    await assert.rejects(publish(), isRefused)
    // The head says how many files there were, also where its snapshot is not stored.
    lost.add(snapshot.toString())
    await assert.rejects(publish({ ignore: [] }), isRefused)
    assert.equal((await publish({ ignore: [], allowEmpty: true })).sequence, 2)
    await assert.rejects(publish({ tree: 'unknown' }), (error) => isMirrorError(error, 'not-found'))
    await assert.rejects(publish({ path: path.join(dir, 'gone') }), (error) =>
      isMirrorError(error, 'not-found'),
    )
  })
})

test('a source that has lost much of what it held is refused until that is meant', async () => {
  await withTempDir(async (dir) => {
    const { publish, source } = await setUp(dir)
    for (let i = 0; i < 20; i++) await fs.writeFile(path.join(source, `file-${i}`), `${i}`)
    await publish()
    for (let i = 0; i < 10; i++) await fs.rm(path.join(source, `file-${i}`))
    await assert.rejects(
      publish(),
      (error) => isMirrorError(error, 'refused') && /lost 48 % of its 21 files/.test(error.message),
    )
    assert.equal((await publish({ acceptShrink: true })).sequence, 2)
    assert.equal((await publish()).sequence, 2)
  })
})

test('a tree keeps the chunk lengths of the snapshot before', async () => {
  await withTempDir(async (dir) => {
    const { ledger, blocks, lost, source, publish } = await setUp(dir)
    const chunkerOf = async (cid: Cid) => decodeSnapshot(cid, (await blocks.get(cid))!).chunker
    assert.deepEqual(await chunkerOf((await publish()).snapshot), DEFAULT_CHUNKER)

    const chunker = { ...DEFAULT_CHUNKER, avgBytes: DEFAULT_CHUNKER.avgBytes * 2 }
    await fs.writeFile(path.join(source, 'a'), 'cut by another version')
    const other = await importTree(
      { blocks, tempDir: dir, clock: systemClock },
      { path: source, tree: 't', chunker },
    )
    await ledger.issue(hq, 'head', (state) => ({
      tree: 't',
      epoch: state.trees.get('t')!.epoch!.epoch,
      sequence: 2,
      previous: state.trees.get('t')!.newest!.id,
      snapshot: other.snapshotCid,
      counts: { files: other.files },
    }))
    assert.equal((await publish()).isNew, false, 'the same content is the same snapshot')
    await fs.writeFile(path.join(source, 'a'), 'three')
    const third = await publish()
    assert.deepEqual(await chunkerOf(third.snapshot), chunker)

    lost.add(third.snapshot.toString())
    await fs.writeFile(path.join(source, 'a'), 'four')
    assert.deepEqual(await chunkerOf((await publish({ ignore: [] })).snapshot), DEFAULT_CHUNKER)
  })
})

test('a folder that is as its newest snapshot has it is not even imported, unless that is not complete here', async () => {
  await withTempDir(async (dir) => {
    const { steps, publish, source, lost, known, clock } = await setUp(dir)
    // Old enough by this clock that a stat cache trusts it.
    clock.aheadMs = 3_600_000
    const first = await publish()
    steps.length = 0
    const again = await publish()
    assert.deepEqual([again.sequence, again.isNew, again.files, again.newBlocks], [1, false, 1, 0])
    assert.deepEqual(steps, [], 'nothing was stored, proved or signed')
    assert.equal((await publish({ notes: { why: 'a note' } })).sequence, 2)
    assert.equal((await publish({ notes: { why: 'a note' } })).isNew, false)
    known.clear()
    steps.length = 0
    assert.equal((await publish({ notes: { why: 'a note' } })).isNew, false)
    assert.deepEqual(steps, ['flush', 'complete'], 'it was imported and proved again')
    await fs.writeFile(path.join(source, 'b'), 'new')
    assert.equal((await publish()).sequence, 3)
    lost.add(first.snapshot.toString())
    assert.equal((await publish()).isNew, false)
  })
})

test('a publish that fails before its head leaves the stat cache of the head before it', async () => {
  await withTempDir(async (dir) => {
    const { steps, failing, publish, source, clock } = await setUp(dir)
    clock.aheadMs = 3_600_000
    await publish()
    await fs.writeFile(path.join(source, 'a'), 'two')
    failing.add('complete')
    await assert.rejects(publish(), /killed at complete/)
    assert.deepEqual((await fs.readdir(path.join(dir, 'cache'))).length, 1, 'no temporary file is left')
    failing.clear()
    assert.equal((await publish()).sequence, 2)
    steps.length = 0
    assert.equal((await publish()).isNew, false)
    assert.deepEqual(steps, [])
  })
})

test('rules hold until others are given, and a dry run changes nothing', async () => {
  await withTempDir(async (dir) => {
    const { steps, publish, source } = await setUp(dir)
    await fs.writeFile(path.join(source, 'b.tmp'), 'b')
    const dry = await publish({ isDry: true, ignore: ['*.tmp'] })
    assert.deepEqual([dry.sequence, dry.isNew, dry.files, dry.ignore], [1, true, 1, ['*.tmp']])
    assert.deepEqual(steps, ['reconcile'])
    assert.deepEqual(await fs.readdir(path.join(dir, 'cache')), [])
    const first = await publish({ ignore: ['*.tmp'] })
    assert.deepEqual([first.files, first.newBlocks], [1, dry.newBlocks])
    assert.deepEqual([(await publish()).isNew, (await publish()).ignore], [false, ['*.tmp']])
    const all = await publish({ ignore: [] })
    assert.deepEqual([all.sequence, all.files, all.ignore], [2, 2, []])
  })
})

test('rules that were lost with the newest snapshot are never taken for none', async () => {
  await withTempDir(async (dir) => {
    const { publish, source, lost, ledger, known } = await setUp(dir)
    await fs.writeFile(path.join(source, 'secret.key'), 'secret')
    const first = await publish({ ignore: ['*.key'] })
    lost.add(first.snapshot.toString())
    known.delete(first.snapshot.toString())
    for (const isDry of [true, false]) {
      await assert.rejects(publish({ isDry }), {
        code: 'refused',
        message: /t@1 is not stored at its publisher .* patterns/,
        hint: /--exclude.*--no-exclude/,
      })
    }
    assert.equal(ledger.state().trees.get('t')?.newest?.sequence, 1)
    await fs.writeFile(path.join(source, 'b'), 'b')
    const second = await publish({ ignore: ['*.key'] })
    assert.deepEqual([second.sequence, second.files, second.ignore], [2, 2, ['*.key']])
    assert.deepEqual((await publish()).ignore, ['*.key'])
  })
})
