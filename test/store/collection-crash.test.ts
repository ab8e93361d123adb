/** The power fails, or the disk does, at every operation of a collection: what is retained is whole, what goes stays gone. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isMirrorError } from '../../src/base/errors.ts'
import { sampleBlocks } from './sample-blocks.ts'
import { testSnapshot } from './sample-snapshot.ts'
import { errnoError, PowerLoss } from './simulated-disk.ts'
import type { Machine } from './simulated-machine.ts'
import { losePower, newMachine, openBlocks } from './simulated-machine.ts'

const LIVE = sampleBlocks(14, 200, 100)
const DEAD = sampleBlocks(50, 200, 1000)
const KEPT = testSnapshot(LIVE, 'kept')
const LATER = testSnapshot(sampleBlocks(6, 200, 3000), 'later')

/** Packs of all kinds: without a live block, with a few, with garbage in the one that is written to. */
async function prepare(): Promise<Machine> {
  const machine = await newMachine()
  const { blocks } = await openBlocks(machine)
  for (let i = 0; i < 10; i++) await blocks.put([LIVE[i]!, ...DEAD.slice(i * 2, i * 2 + 2)])
  for (let i = 20; i < 44; i += 4) await blocks.put(DEAD.slice(i, i + 4))
  await blocks.put([...LIVE.slice(10), ...KEPT.own, ...DEAD.slice(44)])
  await blocks.close()
  return machine
}

/** A collection with an import beside it. */
async function run(machine: Machine): Promise<void> {
  const { blocks } = await openBlocks(machine)
  const lease = blocks.lease({ purpose: 'import', isWriter: true })
  const writing = (async () => {
    await blocks.put(LATER.all)
    await blocks.flush()
  })()
  writing.catch(() => undefined)
  await blocks.collect({ choose: () => ({ whole: [KEPT.cid], partial: [] }) })
  await writing
  lease.close()
}

/** A pack that was begun and not synced may have lost its header with the power: nothing names it. */
const TORN_HEADER = /header of the pack/

async function checkKept(machine: Machine, where: string): Promise<void> {
  const { blocks, damage: all } = await openBlocks(machine)
  const damage = all.filter(({ reason }) => !TORN_HEADER.test(reason))
  for (const [i, { cid, bytes }] of KEPT.all.entries()) {
    assert.deepEqual(await blocks.get(cid), bytes, `${where}: block ${i} is lost: ${JSON.stringify(damage)}`)
  }
  for (const { cid, bytes } of DEAD) {
    const got = await blocks.get(cid)
    if (got !== undefined) assert.deepEqual(got, bytes, `${where}: a collected block came back wrong`)
  }
  assert.deepEqual(damage, [], `${where}: something is called damaged`)
  await blocks.collect({ choose: () => ({ whole: [KEPT.cid], partial: [LATER.cid] }) })
  for (const { cid, bytes } of KEPT.all)
    assert.deepEqual(await blocks.get(cid), bytes, `${where}, collected again`)
  assert.ok((await blocks.has(DEAD.map(({ cid }) => cid))).filter(Boolean).length < 8, where)
  assert.deepEqual(damage, [], `${where}, collected again`)
  await blocks.close()
}

async function countOperations(): Promise<{ first: number; last: number }> {
  const machine = await prepare()
  const first = machine.disk.operations + 1
  await run(machine)
  return { first, last: machine.disk.operations }
}

test('the power fails at every operation', async () => {
  const { first, last } = await countOperations()
  assert.ok(last - first > 20)
  for (let operation = first; operation <= last; operation++) {
    const machine = await prepare()
    machine.disk.beforeOperation = (number) => {
      if (number >= operation) throw new PowerLoss()
    }
    await run(machine).catch(() => undefined)
    for (const seed of [operation, operation + 1000]) {
      await checkKept(await losePower(machine, seed), `power loss at operation ${operation}`)
    }
  }
})

for (const errno of ['EIO', 'ENOSPC'] as const) {
  test(`an operation fails with ${errno}, each in turn: the store goes on, and so does the next run`, async () => {
    const { first, last } = await countOperations()
    for (let operation = first; operation <= last; operation++) {
      const machine = await prepare()
      let failed = ''
      machine.disk.beforeOperation = (number, what) => {
        if (number !== operation) return
        failed = what
        throw errnoError(errno, what)
      }
      const where = `${errno} at operation ${operation}`
      await run(machine).catch((error: unknown) => {
        assert.ok(isMirrorError(error), `${where} (${failed}): ${String(error)}`)
      })
      machine.disk.beforeOperation = () => undefined
      await checkKept(machine, `${where} (${failed}), opened again`)
      await checkKept(await losePower(machine, operation), `${where} (${failed}), and a power loss`)
    }
  })
}
