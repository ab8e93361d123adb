import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hex, utf8 } from '../../src/base/bytes.ts'
import { isMirrorError, MirrorError } from '../../src/base/errors.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import { draftOpaque, signRecord } from '../../src/record/draft.ts'
import { decodeSigned, type VerifiedRecord } from '../../src/record/record.ts'
import { createLedger, type Ledger, type LedgerEvent } from '../../src/replica/records/ledger.ts'
import { createTestLog, createTestLogger, createTestMesh, START_MS, testKey } from './test-mesh.ts'

const node = testKey(10)
const other = testKey(11)
const snapshot = (text: string) => cidOf(DAG_CBOR, utf8(text))
const bytesOf = (records: readonly VerifiedRecord[]): Uint8Array[] => records.map((record) => record.bytes)

function setUp() {
  const mesh = createTestMesh()
  const basics = [mesh.genesis, mesh.member(node, 'hq', 'eu'), ...mesh.tree('t', node)]
  const log = createTestLog()
  const logger = createTestLogger()
  const open = (options = {}): Promise<Ledger> =>
    createLedger({ log, clock: new VirtualClock(START_MS), logger }, { mesh: mesh.mesh, ...options })
  return { mesh, basics, log, logger, open }
}

function headBody(sequence: number, previous: VerifiedRecord | undefined, text = `s${sequence}`) {
  return {
    tree: 't',
    epoch: 1,
    sequence,
    previous: previous?.id ?? null,
    snapshot: snapshot(text),
    counts: {},
  }
}

test('what is offered is durable before it is in the state or told', async () => {
  const { mesh, basics, log, open } = setUp()
  const ledger = await open()
  const events: LedgerEvent[] = []
  ledger.subscribe((event) => events.push(event))
  log.whenAppended(() => {
    assert.equal(ledger.ids().length, 0)
    assert.equal(events.length, 0)
  })
  assert.deepEqual(await ledger.offer(bytesOf(basics), 'peer-a'), { accepted: 4, refused: [] })
  assert.equal(log.records.length, 4)
  assert.equal(ledger.state().trees.get('t')?.epoch?.publisher, node.peer)
  assert.equal(events.length, 1)
  assert.equal(events[0]?.from, 'peer-a')
  assert.deepEqual(
    events[0]?.records.map((record) => record.id.toString()).sort(),
    basics.map((record) => record.id.toString()).sort(),
  )
  assert.deepEqual(await ledger.get([mesh.genesis.id.multihash.digest, new Uint8Array(32)]), [
    mesh.genesis.bytes,
  ])
})

test('when the log fails nothing happened, and the same records can come again', async () => {
  const { basics, log, open } = setUp()
  const ledger = await open()
  let told = 0
  ledger.subscribe(() => told++)
  log.failWith(new MirrorError('no-space', 'append a record: no space left'))
  await assert.rejects(ledger.offer(bytesOf(basics), 'p'), (error) => isMirrorError(error, 'no-space'))
  assert.equal(ledger.ids().length, 0)
  assert.equal(ledger.state().name, undefined)
  assert.equal(told, 0)
  log.failWith(undefined)
  assert.equal((await ledger.offer(bytesOf(basics), 'p')).accepted, 4)
  assert.equal(told, 1)
})

test('a restart at any append has the state of what was appended', async () => {
  const { mesh, basics, log, open } = setUp()
  const first = await open()
  for (const record of basics) await first.offer([record.bytes], 'p')
  await first.issue(node, 'head', () => headBody(1, undefined))
  for (let kept = 0; kept <= log.records.length; kept++) {
    const again = await createLedger(
      {
        log: createTestLog(log.records.slice(0, kept)),
        clock: new VirtualClock(START_MS),
        logger: createTestLogger(),
      },
      { mesh: mesh.mesh },
    )
    assert.equal(again.ids().length, kept)
  }
  const whole = await open()
  assert.deepEqual(whole.ids().map(hex), first.ids().map(hex))
  assert.equal(whole.state().trees.get('t')?.newest?.sequence, 1)
  assert.deepEqual(whole.tip(node.publicKey), first.tip(node.publicKey))
})

test('known records are counted as accepted and written no second time', async () => {
  const { basics, log, open } = setUp()
  const ledger = await open()
  await ledger.offer(bytesOf(basics), 'p')
  const twice = await ledger.offer(bytesOf([...basics, ...basics]), 'q')
  assert.deepEqual(twice, { accepted: 8, refused: [] })
  assert.equal(log.records.length, 4)
  const fresh = await (await open()).offer(bytesOf([basics[0]!, basics[0]!]), 'q')
  assert.equal(fresh.accepted, 2)
})

test('records in reverse order wait, durably, and take effect together', async () => {
  const { basics, log, open } = setUp()
  const ledger = await open()
  const kept: number[] = []
  ledger.subscribe((event) => kept.push(event.records.length))
  for (const record of basics.toReversed()) await ledger.offer([record.bytes], 'p')
  assert.equal(ledger.ids().length, 4)
  assert.deepEqual(kept, [4])
  assert.equal(log.records.length, 4)
})

test('what waits is bounded; over the bound it is asked to come again, and it converges', async () => {
  const { basics, log, open } = setUp()
  const ledger = await open({ maxWaitingRecords: 1 })
  const orphans = bytesOf(basics.slice(1).reverse())
  const answer = await ledger.offer(orphans, 'p')
  assert.equal(answer.accepted, 1)
  assert.equal(answer.refused.length, 2)
  assert.match(answer.refused[0]!.reason, /offer it again/)
  assert.equal(log.records.length, 1)
  for (let round = 0; round < 3; round++) await ledger.offer(bytesOf([...basics].reverse()), 'p')
  assert.equal(ledger.ids().length, 4)
  assert.equal(log.records.length, 4)
})

test('garbage, wrong signatures and records of another mesh are refused by reason, the rest is kept', async () => {
  const { basics, log, logger, open } = setUp()
  const ledger = await open()
  await ledger.offer(bytesOf(basics), 'p')
  const forged = Uint8Array.from(basics[1]!.bytes)
  forged[forged.length - 5]! ^= 1
  // The same payload with a bad signature must not pass as the record that is known.
  const fresh = await (await setUp().open()).offer([forged, utf8('garbage'), new Uint8Array(0)], 'evil')
  assert.equal(fresh.accepted, 0)
  assert.equal(fresh.refused.length, 3)
  const foreign = signRecord(
    draftOpaque({
      kind: 'pin',
      body: {},
      mesh: snapshot('another mesh'),
      issuer: node.publicKey,
      tip: undefined,
      timeMs: 0,
    }),
    node,
  )
  const answer = await ledger.offer([foreign], 'evil')
  assert.equal(answer.accepted, 0)
  assert.equal(log.records.length, 4)
  assert.ok(logger.events.some(({ event, fields }) => event === 'record.refused' && fields.peer === 'evil'))
})

test('a head of a tree by a key that is not its publisher has no effect', async () => {
  const { mesh, basics, open } = setUp()
  const ledger = await open()
  await ledger.offer(bytesOf([...basics, mesh.member(other, 'lab', 'eu')]), 'p')
  await ledger.offer([mesh.sign(other, 'head', headBody(1, undefined)).bytes], other.peer)
  assert.equal(ledger.state().trees.get('t')?.newest, undefined)
  await assert.rejects(ledger.submit(mesh.sign(other, 'head', headBody(1, undefined)).bytes), (error) =>
    isMirrorError(error, 'refused'),
  )
})

test('a kind of a later version is kept and given to others', async () => {
  const { mesh, basics, open } = setUp()
  const ledger = await open()
  await ledger.offer(bytesOf(basics), 'p')
  const draft = draftOpaque({
    kind: 'hologram',
    body: { x: 1 },
    mesh: mesh.mesh,
    issuer: node.publicKey,
    tip: undefined,
    timeMs: 0,
  })
  const bytes = signRecord(draft, node)
  assert.equal((await ledger.offer([bytes], 'p')).accepted, 1)
  assert.deepEqual(await ledger.get([draft.id.multihash.digest]), [bytes])
})

test('submit: a taken place is a conflict, the same record again is fine', async () => {
  const { mesh, basics, open } = setUp()
  const ledger = await open()
  await ledger.offer(bytesOf(basics), 'p')
  const tip = ledger.tip(mesh.admin.publicKey)
  const pin = (name: string) => ({
    name,
    tree: 't',
    sites: { all: true } as const,
    version: 1,
    removed: false,
  })
  const first = mesh.signAt(mesh.admin, tip, 'pin', pin('a'))
  const second = mesh.signAt(mesh.admin, tip, 'pin', pin('b'))
  assert.ok((await ledger.submit(first.bytes)).id.equals(first.id))
  assert.ok((await ledger.submit(first.bytes)).id.equals(first.id))
  await assert.rejects(
    ledger.submit(second.bytes),
    (error) => isMirrorError(error, 'conflict') && /again/.test(error.hint ?? ''),
  )
  assert.deepEqual([...ledger.state().pins.keys()], ['a'])
  const far = mesh.signAt(mesh.admin, { counter: 99, id: first.id }, 'pin', pin('c'))
  await assert.rejects(ledger.submit(far.bytes), (error) => isMirrorError(error, 'conflict'))
})

test('submit: what its signer may not say is refused and not stored', async () => {
  const { mesh, basics, log, open } = setUp()
  const ledger = await open()
  await ledger.offer(bytesOf(basics), 'p')
  const before = log.records.length
  const body = { name: 'x', tree: 't', sites: { all: true } as const, version: 1, removed: false }
  for (const key of [node, testKey(99)]) {
    await assert.rejects(
      ledger.submit(mesh.signAt(key, undefined, 'pin', body).bytes),
      (error) => isMirrorError(error, 'refused') || isMirrorError(error, 'conflict'),
    )
  }
  assert.equal(log.records.length, before)
})

test('issue: signers take turns, so no place in a chain or a history is used twice', async () => {
  const { basics, open } = setUp()
  const ledger = await open()
  await ledger.offer(bytesOf(basics), 'p')
  const sign = (text: string) =>
    ledger.issue(node, 'head', (state) => {
      const newest = state.trees.get('t')?.newest
      return {
        tree: 't',
        epoch: 1,
        sequence: (newest?.sequence ?? 0) + 1,
        previous: newest?.id ?? null,
        snapshot: snapshot(text),
        counts: {},
      }
    })
  await Promise.all(Array.from({ length: 8 }, (_, i) => sign(`version ${i}`)))
  const tree = ledger.state().trees.get('t')
  assert.deepEqual(
    tree?.history.map((head) => head.sequence),
    [1, 2, 3, 4, 5, 6, 7, 8],
  )
  assert.equal(tree?.fork, undefined)
  assert.equal(ledger.tip(node.publicKey)?.counter, 8)
})

test('issue: a body that gives up, or a full disk, leaves the chain where it was', async () => {
  const { basics, log, open } = setUp()
  const ledger = await open()
  await ledger.offer(bytesOf(basics), 'p')
  await assert.rejects(
    ledger.issue(node, 'head', () => {
      throw new MirrorError('conflict', 'changed my mind')
    }),
    /changed my mind/,
  )
  log.failWith(new MirrorError('no-space', 'full'))
  await assert.rejects(
    ledger.issue(node, 'head', () => headBody(1, undefined)),
    /full/,
  )
  assert.equal(ledger.tip(node.publicKey), undefined)
  log.failWith(undefined)
  const record = await ledger.issue(node, 'head', () => headBody(1, undefined, 'other'))
  assert.equal(record.counter, 1)
})

test('a record of a later version in the log is passed over, not lost', async () => {
  const { basics, log, logger, open } = setUp()
  log.records.push(utf8('from the future'), ...bytesOf(basics))
  const ledger = await open()
  assert.equal(ledger.ids().length, 4)
  assert.ok(logger.events.some(({ event }) => event === 'ledger.record-unreadable'))
  assert.equal(decodeSigned(log.records[1]!).kind, 'genesis')
})

test('a listener that throws is reported and keeps nobody else from hearing', async () => {
  const { basics, logger, open } = setUp()
  const ledger = await open()
  let heard = 0
  ledger.subscribe(() => {
    throw new Error('boom')
  })
  const end = ledger.subscribe(() => heard++)
  await ledger.offer([basics[0]!.bytes], 'p')
  end()
  await ledger.offer([basics[1]!.bytes], 'p')
  assert.equal(heard, 1)
  assert.equal(logger.events.filter(({ event }) => event === 'ledger.listener-failed').length, 2)
})
