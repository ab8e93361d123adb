/** The power fails, the disk fills up or a sync fails at every single operation of a run; nothing durable is lost. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { equalBytes } from '../../src/base/bytes.ts'
import { isMirrorError, MirrorError } from '../../src/base/errors.ts'
import type { Block } from '../../src/block/block.ts'
import { cidToKeyBytes } from '../../src/block/cid.ts'
import { createPackAppender } from '../../src/store/packs/pack-appender.ts'
import { sampleBlocks, sampleBytes } from './sample-blocks.ts'
import type { SimulatedDisk } from './simulated-disk.ts'
import { errnoError, PowerLoss } from './simulated-disk.ts'
import type { Machine } from './simulated-machine.ts'
import { losePower, newMachine, openBlocks, openRecords } from './simulated-machine.ts'

const PUT = sampleBlocks(40, 200)
const PACKED = sampleBlocks(12, 200, 1000)
const ALL = [...PUT, ...PACKED]
const RECORDS = Array.from({ length: 8 }, (_, i) => sampleBytes(i, 20 + i * 9))

/** What the store has told its user is safe. */
interface Told {
  readonly blocks: Block[]
  readonly records: Uint8Array[]
}

async function open(machine: Machine) {
  const opened = await openBlocks(machine)
  return { ...opened, records: await openRecords(machine.disk, (found) => void opened.damage.push(found)) }
}

type Opened = Awaited<ReturnType<typeof open>>

/** Steps that a node takes; each says what is safe once it has passed. */
function steps(node: Opened, disk: SimulatedDisk): ((told: Told) => Promise<void>)[] {
  const { blocks } = node
  const list: ((told: Told) => Promise<void>)[] = []
  const put: Block[] = []
  for (let i = 0; i < RECORDS.length; i++) {
    const group = PUT.slice(i * 5, i * 5 + 5)
    list.push(async () => {
      await blocks.put(group)
      put.push(...group)
    })
    list.push(async (told) => {
      await node.records.append([RECORDS[i]!])
      told.records.push(RECORDS[i]!)
    })
    if (i % 3 === 2 || i === RECORDS.length - 1) {
      list.push(async (told) => {
        await blocks.flush()
        told.blocks.push(...put)
      })
    }
    if (i % 3 === 1) {
      list.push(async (told) => {
        const { packId, path } = await blocks.reservePack()
        const appender = createPackAppender(path, packId, { bufferBytes: 250, files: disk })
        try {
          for (const half of [
            PACKED.slice((i - 1) * 2, (i - 1) * 2 + 3),
            PACKED.slice((i - 1) * 2 + 3, (i - 1) * 2 + 6),
          ]) {
            const entries = half.map(({ cid, bytes }) => appender.hold(cidToKeyBytes(cid), bytes))
            appender.flush()
            await blocks.commitPacked(packId, entries)
            told.blocks.push(...half)
          }
        } finally {
          appender.close()
        }
      })
    }
  }
  return list
}

async function checkReads({ blocks, damage }: Opened, told: Told, where: string): Promise<void> {
  for (const { cid, bytes } of told.blocks) {
    const got = await blocks.get(cid)
    assert.ok(
      got !== undefined,
      `${where}: block ${ALL.findIndex((block) => block.cid === cid)} is lost ${JSON.stringify(damage)}`,
    )
    assert.ok(equalBytes(got, bytes), `${where}: a block is wrong`)
  }
  const listed = await blocks.has(ALL.map(({ cid }) => cid))
  for (const [i, { cid, bytes }] of ALL.entries()) {
    const got = await blocks.get(cid)
    assert.equal(
      got !== undefined,
      listed[i],
      `${where}: block ${i} is listed and missing, or the other way round`,
    )
    assert.ok(got === undefined || equalBytes(got, bytes), `${where}: block ${i} is wrong`)
  }
}

async function readRecords({ records }: Opened): Promise<Uint8Array[]> {
  const found: Uint8Array[] = []
  for await (const record of records.readAll()) found.push(record)
  return found
}

async function runToTheEnd(machine: Machine): Promise<Told> {
  const told: Told = { blocks: [], records: [] }
  const opened = await open(machine)
  for (const step of steps(opened, machine.disk)) await step(told)
  await opened.blocks.close()
  await opened.records.close()
  return told
}

async function countOperations(): Promise<number> {
  const machine = await newMachine()
  const told = await runToTheEnd(machine)
  assert.equal(new Set(told.blocks).size, ALL.length)
  return machine.disk.operations
}

test('a power loss at any operation loses nothing that was called safe, and lists nothing that is missing', async () => {
  const operations = await countOperations()
  assert.ok(operations > 60, `only ${operations} operations`)
  let lossesWithUnsafeBlocks = 0
  for (let at = 1; at <= operations; at++) {
    for (let seed = 0; seed < 4; seed++) {
      const machine = await newMachine()
      machine.disk.beforeOperation = (operation) => {
        if (operation >= at) throw new PowerLoss('the power is gone')
      }
      const told: Told = { blocks: [], records: [] }
      try {
        const opened = await open(machine)
        for (const step of steps(opened, machine.disk)) await step(told)
        await opened.blocks.close()
      } catch (error) {
        assert.match(String(error), /power is gone/, `operation ${at}`)
      }
      const where = `power lost at operation ${at}, seed ${seed}`
      const after = await losePower(machine, at * 100 + seed)
      const opened = await open(after)
      await checkReads(opened, told, where)
      assert.ok(
        opened.damage.every(({ cid }) => cid === undefined),
        `${where}: a listed block was damaged`,
      )
      if (
        (await opened.blocks.has(ALL.map(({ cid }) => cid))).filter(Boolean).length >
        new Set(told.blocks).size
      ) {
        lossesWithUnsafeBlocks += 1
      }
      const records = await readRecords(opened)
      assert.deepEqual(records.slice(0, told.records.length), told.records, where)
      for (const record of records)
        assert.ok(
          RECORDS.some((known) => equalBytes(known, record)),
          where,
        )
      // It goes on from there, and a second loss finds all of it.
      const again: Told = { blocks: [], records: [] }
      for (const step of steps(opened, after.disk)) await step(again)
      const last = await open(await losePower(after, at))
      await checkReads(last, again, `${where}, then again`)
      assert.deepEqual(await readRecords(last), [...records, ...RECORDS])
    }
  }
  // The simulation is only worth something when recovery also finds blocks that the index did not know.
  assert.ok(lossesWithUnsafeBlocks > 20, String(lossesWithUnsafeBlocks))
})

for (const { name, code, width } of [
  { name: 'the disk is full for one operation', code: 'ENOSPC', width: 1 },
  { name: 'the disk is full for a while', code: 'ENOSPC', width: 5 },
  { name: 'the disk fails once', code: 'EIO', width: 1 },
]) {
  test(`${name}, at any operation: what was safe stays readable, and a later try succeeds`, async () => {
    const operations = await countOperations()
    let failures = 0
    for (let at = 1; at <= operations; at++) {
      const machine = await newMachine()
      machine.disk.beforeOperation = (operation, what) => {
        if (operation >= at && operation < at + width) throw errnoError(code, what)
      }
      const told: Told = { blocks: [], records: [] }
      const where = `${code} at operation ${at}`
      const opened = await untilItWorks(() => open(machine))
      let wasLogReopened = false
      for (const step of steps(opened, machine.disk)) {
        await untilItWorks(async () => {
          try {
            await step(told)
          } catch (error) {
            failures += 1
            assert.ok(isMirrorError(error), where)
            await checkReads(opened, told, where)
            if (/could not be undone/.test(error.message)) {
              // The log promises to refuse what follows until it is opened again.
              wasLogReopened = true
              opened.records = await untilItWorks(() => openRecords(machine.disk))
            } else {
              assert.equal(error.code, code === 'ENOSPC' ? 'no-space' : 'io', `${where}: ${error}`)
            }
            throw error
          }
        })
      }
      const records = await readRecords(opened)
      if (!wasLogReopened) assert.deepEqual(records, RECORDS, `${where}: a refused record was kept`)
      const after = await open(await losePower(machine, at))
      await checkReads(after, told, `${where}, then a power loss`)
      assert.deepEqual(await readRecords(after), records)
      assert.equal(new Set(told.blocks).size, ALL.length)
    }
    assert.ok(failures > operations / 3, `only ${failures} failures were seen`)
  })
}

/** Faults end after a few operations, so a few tries are enough; each failure was judged where it was thrown. */
async function untilItWorks<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt()
    } catch (error) {
      if (tries === 10 || !(error instanceof MirrorError)) throw error
    }
  }
}
