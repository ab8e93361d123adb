import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CorruptBlock } from '../../src/store/block-store.ts'
import { openFileRecordLog } from '../../src/store/file-record-log.ts'
import { MAX_LOGGED_RECORD_BYTES } from '../../src/store/record-log.ts'
import { sampleBytes, seededRandom } from './sample-blocks.ts'
import type { SimulatedDisk } from './simulated-disk.ts'
import { createSimulatedDisk, errnoError } from './simulated-disk.ts'

const PATH = '/s/records.log'
const RECORDS = Array.from({ length: 12 }, (_, i) => sampleBytes(i, 1 + i * 17))

async function openOn(disk: SimulatedDisk) {
  const damage: CorruptBlock[] = []
  const log = await openFileRecordLog(
    { files: disk, log: () => undefined, onCorrupt: (found) => void damage.push(found) },
    { dir: '/s' },
  )
  const all = async () => {
    const found: Uint8Array[] = []
    for await (const record of log.readAll()) found.push(record)
    return found
  }
  return { log, all, damage }
}

/** A log with RECORDS, and where each ends. */
async function written(): Promise<{ bytes: Uint8Array; ends: number[] }> {
  const disk = createSimulatedDisk()
  const { log } = await openOn(disk)
  const ends: number[] = []
  for (const record of RECORDS) {
    await log.append([record])
    ends.push(log.sizeBytes)
  }
  return { bytes: disk.bytesOf(PATH), ends }
}

test('records come back in the order appended, across calls made at one time and restarts', async () => {
  const disk = createSimulatedDisk()
  const first = await openOn(disk)
  await Promise.all([
    first.log.append(RECORDS.slice(0, 3)),
    first.log.append(RECORDS.slice(3, 5)),
    first.log.append([]),
  ])
  assert.deepEqual(await first.all(), RECORDS.slice(0, 5))
  await first.log.close()
  const second = await openOn(disk.afterPowerLoss(seededRandom(1)))
  await second.log.append(RECORDS.slice(5))
  assert.deepEqual(await second.all(), RECORDS)
})

test('many appends at one time share few syncs', async () => {
  const disk = createSimulatedDisk()
  const { log, all } = await openOn(disk)
  const before = disk.operations
  await Promise.all(RECORDS.map((record) => log.append([record])))
  assert.ok(disk.operations - before <= 4, `${disk.operations - before} operations`)
  assert.equal((await all()).length, RECORDS.length)
})

test('a tail torn at any byte is cut off, and the next record takes its place', async () => {
  const { bytes, ends } = await written()
  for (let cutAt = ends[9]!; cutAt < bytes.length; cutAt++) {
    const disk = createSimulatedDisk(new Map([[PATH, bytes.subarray(0, cutAt)]]))
    const whole = ends.filter((end) => end <= cutAt).length
    const { log, all, damage } = await openOn(disk)
    await log.append([sampleBytes(99, 40)])
    assert.deepEqual(await all(), [...RECORDS.slice(0, whole), sampleBytes(99, 40)], `cut at ${cutAt}`)
    assert.deepEqual(damage, [])
  }
})

test('a flipped bit costs one record, which is reported', async () => {
  const { bytes, ends } = await written()
  for (let at = ends[4]!; at < ends[5]!; at++) {
    const flipped = bytes.slice()
    flipped[at]! ^= 16
    const { all, damage } = await openOn(createSimulatedDisk(new Map([[PATH, flipped]])))
    assert.deepEqual(
      await all(),
      RECORDS.filter((_, i) => i !== 5),
      `flipped at ${at}`,
    )
    assert.deepEqual(
      damage.map(({ path, offset }) => ({ path, offset })),
      [{ path: PATH, offset: ends[4] }],
    )
  }
})

test('records of the largest size are read back, more of them than fit the reader at one time', async () => {
  const { log, all } = await openOn(createSimulatedDisk())
  const large = Array.from({ length: 5 }, (_, i) => new Uint8Array(MAX_LOGGED_RECORD_BYTES - i).fill(i))
  await log.append([RECORDS[3]!, ...large, RECORDS[4]!])
  const found = await all()
  assert.equal(found.length, 7)
  for (const [i, record] of [RECORDS[3]!, ...large, RECORDS[4]!].entries())
    assert.ok(Buffer.from(record).equals(found[i]!))
})

test('an empty record and one over the limit are refused, with all of their call', async () => {
  const { log, all } = await openOn(createSimulatedDisk())
  await assert.rejects(log.append([RECORDS[1]!, new Uint8Array(0)]), { code: 'limit' })
  await assert.rejects(log.append([new Uint8Array(MAX_LOGGED_RECORD_BYTES + 1)]), { code: 'limit' })
  assert.deepEqual(await all(), [])
})

test('a record that was refused is never read back, and the log goes on', async () => {
  for (const failing of ['write', 'sync']) {
    const disk = createSimulatedDisk()
    const { log, all } = await openOn(disk)
    await log.append([RECORDS[0]!])
    let isFailing = true
    disk.beforeOperation = (_, what) => {
      if (!isFailing || what !== `${failing} ${PATH}`) return
      isFailing = false
      throw errnoError('ENOSPC', PATH)
    }
    await assert.rejects(log.append([RECORDS[1]!]), { code: 'no-space' })
    assert.deepEqual(await all(), [RECORDS[0]])
    await log.append([RECORDS[2]!])
    assert.deepEqual(await (await openOn(disk.afterPowerLoss(seededRandom(3)))).all(), [
      RECORDS[0],
      RECORDS[2],
    ])
  }
})

test('when a failed write cannot be undone the log takes nothing more, and says what to do', async () => {
  const disk = createSimulatedDisk()
  const { log, all } = await openOn(disk)
  await log.append([RECORDS[0]!])
  disk.beforeOperation = () => {
    throw errnoError('EIO', PATH)
  }
  await assert.rejects(log.append([RECORDS[1]!]), { code: 'io' })
  disk.beforeOperation = () => undefined
  await assert.rejects(log.append([RECORDS[2]!]), { code: 'io', hint: /start the daemon again/ })
  assert.deepEqual(await all(), [RECORDS[0]])
})

test('a file that is no record log is refused and left as it is', async () => {
  const bytes = new TextEncoder().encode('somebody else wrote this')
  const disk = createSimulatedDisk(new Map([[PATH, bytes]]))
  await assert.rejects(openOn(disk), { code: 'corrupt' })
  assert.deepEqual(disk.bytesOf(PATH), bytes)
})
