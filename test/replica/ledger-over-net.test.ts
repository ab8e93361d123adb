/** Ledgers of two real hosts, one of which may be hostile. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8 } from '../../src/base/bytes.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import type { VerifiedRecord } from '../../src/record/record.ts'
import { createLedger, type LedgerOptions } from '../../src/replica/records/ledger.ts'
import { introduce, MemoryRecords, withHosts } from '../net/mesh.ts'
import { createTestLog, createTestLogger, createTestMesh, START_MS, testKey } from './test-mesh.ts'

const publisher = testKey(10)

function openLedger(options: LedgerOptions) {
  return createLedger(
    { log: createTestLog(), clock: new VirtualClock(START_MS), logger: createTestLogger() },
    options,
  )
}

function headsOf(mesh: ReturnType<typeof createTestMesh>, count: number): VerifiedRecord[] {
  const heads: VerifiedRecord[] = []
  for (let sequence = 1; sequence <= count; sequence++) {
    heads.push(
      mesh.sign(publisher, 'head', {
        tree: 't',
        epoch: 1,
        sequence,
        previous: heads.at(-1)?.id ?? null,
        snapshot: cidOf(DAG_CBOR, utf8(`s${sequence}`)),
        counts: {},
      }),
    )
  }
  return heads
}

test('a newcomer gets a long history in one go: nothing of it has to wait for the rest', async () => {
  const mesh = createTestMesh()
  const history = [
    mesh.genesis,
    mesh.member(publisher, 'hq', 'eu'),
    ...mesh.tree('t', publisher),
    ...headsOf(mesh, 300),
  ].map(({ bytes }) => bytes)
  const full = await openLedger({ mesh: mesh.mesh })
  await full.offer(history, 'test')
  for (const isAsking of [true, false]) {
    const empty = await openLedger({ mesh: mesh.mesh, maxWaitingRecords: 4 })
    await withHosts(async (start) => {
      const hq = await start('alice', { records: full })
      const newcomer = await start('bob', { records: empty })
      introduce(hq, newcomer)
      await newcomer.host.dial(hq.host.peerId, [hq.address])
      if (isAsking) await newcomer.host.reconcile(hq.host.peerId)
      else await hq.host.reconcile(newcomer.host.peerId)
    })
    assert.equal(empty.state().trees.get('t')?.newest?.sequence, 300)
  }
})

test('a member that signs without end fills nobody: what one key may have here is bounded', async () => {
  const mesh = createTestMesh()
  const mallory = testKey(66)
  const basics = [mesh.genesis, mesh.member(mallory, 'evil', 'eu'), ...mesh.tree('t', publisher)]
  const ledger = await openLedger({ mesh: mesh.mesh })
  await ledger.offer(
    basics.map(({ bytes }) => bytes),
    'test',
  )
  const flood = new MemoryRecords()
  const text = 'x'.repeat(4000)
  for (let i = 0; i < 600; i++) {
    flood.add(
      mesh.sign(mallory, 'pin', {
        name: `p${i}`,
        tree: 't',
        sites: { all: true },
        checkout: `/${text}`,
        version: 1,
        removed: false,
      }).bytes,
    )
  }
  const held = (): number => [...ledger.ids()].length - basics.length
  await withHosts(async (start) => {
    const victim = await start('alice', { records: ledger })
    const evil = await start('mallory', { records: flood })
    introduce(victim, evil)
    await evil.host.dial(victim.host.peerId, [victim.address])
    await evil.host.reconcile(victim.host.peerId)
    assert.ok(held() < 300, `${held()} records of 4 KiB were kept`)
  })
  // The others are not in its way.
  await ledger.offer(
    headsOf(mesh, 3).map(({ bytes }) => bytes),
    'test',
  )
  assert.equal(ledger.state().trees.get('t')?.newest?.sequence, 3)
})
