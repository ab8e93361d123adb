/** Proofs that are given again and again: made once for each state of the ledger, and bounded. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { createLedger } from '../../src/replica/records/ledger.ts'
import { proofOf } from '../../src/replica/records/proof.ts'
import { createProofs } from '../../src/replica/records/proofs.ts'
import { createTestLog, createTestLogger, createTestMesh, START_MS, testKey } from './test-mesh.ts'

const publisher = testKey(60)

async function setUp(options: Parameters<typeof createProofs>[1] = {}) {
  const mesh = createTestMesh()
  const records = [mesh.genesis, mesh.member(publisher, 'hq', 'eu'), ...mesh.tree('a', publisher)]
  records.push(...mesh.tree('b', publisher))
  const ledger = await createLedger(
    {
      log: createTestLog(records.map(({ bytes }) => bytes)),
      clock: new VirtualClock(START_MS + 1000),
      logger: createTestLogger(),
    },
    { mesh: mesh.mesh },
  )
  let looks = 0
  const watched = {
    ...ledger,
    record(id: Parameters<typeof ledger.record>[0]) {
      looks++
      return ledger.record(id)
    },
  }
  const work = (task: () => unknown): number => {
    const before = looks
    task()
    return looks - before
  }
  return { mesh, ledger, proofs: createProofs({ ledger: watched }, options), work }
}

test('a proof is made once, and anew when a record has come', async () => {
  const { mesh, ledger, proofs, work } = await setUp()
  assert.ok(work(() => proofs.of('a')) > 0)
  assert.equal(
    work(() => proofs.of('a')),
    0,
  )
  const before = proofs.of('a')!
  assert.deepEqual(before.records, proofOf(ledger, ledger.state().trees.get('a')!))
  assert.equal(
    before.bytes,
    before.records.reduce((sum, { bytes }) => sum + bytes.length, 0),
  )
  const [epoch] = mesh.tree('c', mesh.admin).slice(0, 1)
  await ledger.submit(epoch!.bytes)
  assert.ok(work(() => proofs.of('a')) > 0)
  const after = proofs.of('a')!
  assert.deepEqual(after.records, proofOf(ledger, ledger.state().trees.get('a')!))
  assert.ok(after.records.length > before.records.length, "an admin's whole chain is in it")
  assert.equal(proofs.of('nowhere'), undefined)
})

test('what is kept is bounded, but for the last', async () => {
  const { proofs, work } = await setUp({ maxRecords: 1 })
  proofs.of('a')
  assert.equal(
    work(() => proofs.of('a')),
    0,
  )
  proofs.of('b')
  assert.ok(work(() => proofs.of('a')) > 0, 'b took its place')
  const { proofs: few, work: workOfFew } = await setUp({ maxProofs: 1 })
  few.of('a')
  few.of('b')
  assert.ok(workOfFew(() => few.of('a')) > 0)
})
