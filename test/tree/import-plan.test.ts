import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { ImportPlan } from '../../src/tree/import/import-plan.ts'
import { createImportPlan } from '../../src/tree/import/import-plan.ts'
import type { Help } from '../../src/tree/import/shared-files.ts'
import { createSharedFiles } from '../../src/tree/import/shared-files.ts'
import { openUnnamedFile } from '../../src/tree/spool/record-bytes.ts'
import type { SpoolBatch } from '../../src/tree/spool/spool.ts'

function createPlan(t: TestContext, help?: () => Help | undefined): ImportPlan {
  const fds = {
    batches: openUnnamedFile(os.tmpdir(), 'batches'),
    results: openUnnamedFile(os.tmpdir(), 'results'),
  }
  t.after(() => {
    for (const fd of Object.values(fds)) fs.closeSync(fd)
  })
  return createImportPlan(fds, help)
}

function batchOf(number: number, reads: number): SpoolBatch {
  const dir = new Uint8Array(Buffer.from(`d${'x'.repeat(number % 300)}`))
  return {
    dir,
    startByte: number * 1000,
    endByte: number * 1000 + 999,
    files: reads + 1,
    bytes: 2 ** 40 + number,
    reads,
    known: { startByte: number * 10, endByte: number * 10 + 5 },
  }
}

test('batches are read in order by several and built in order once they are read', async (t) => {
  const plan = createPlan(t)
  const count = 700
  const batches = Array.from({ length: count }, (_, number) => batchOf(number, number % 3))
  const taken: number[] = []
  const built: number[] = []
  async function read(fd: number): Promise<void> {
    for (let task = await plan.nextToRead(); task !== undefined; task = await plan.nextToRead()) {
      assert.ok('batch' in task)
      assert.deepEqual(task.batch, batches[task.number])
      taken.push(task.number)
      // Now this reader is done first, now that one.
      for (let pause = (task.number * 7) % 5; pause > 0; pause--) await Promise.resolve()
      plan.finishRead(task.number, { fd, startByte: task.number, endByte: 2 ** 41 + task.number })
    }
  }
  async function build(): Promise<void> {
    for (let next = await plan.nextToBuild(); next !== undefined; next = await plan.nextToBuild()) {
      const number = built.length
      const { startByte, endByte, reads } = batches[number]!
      assert.deepEqual(next.records, { startByte, endByte })
      if (reads === 0) assert.equal(next.results, undefined)
      else {
        assert.deepEqual([next.results?.startByte, next.results?.endByte], [number, 2 ** 41 + number])
        assert.ok(next.results?.fd === 11 || next.results?.fd === 12)
      }
      built.push(number)
    }
  }
  const all = [read(11), read(12), build()]
  for (const batch of batches) {
    plan.addBatch(batch)
    await Promise.resolve()
  }
  plan.endScan()
  await Promise.all(all)
  const withReads = batches.flatMap(({ reads }, number) => (reads > 0 ? [number] : []))
  assert.deepEqual(taken, withReads)
  assert.equal(built.length, count)
  assert.equal(plan.unread, 0)
})

test('a plan without batches ends at once', async (t) => {
  const plan = createPlan(t)
  const waiting = [plan.nextToRead(), plan.nextToBuild()]
  plan.endScan()
  assert.deepEqual(await Promise.all(waiting), [undefined, undefined])
})

test('who finds no batch helps with a large file, waits for those who may share one, and ends with the last of them', async (t) => {
  const shared = createSharedFiles()
  const plan = createPlan(t, shared.begin)
  plan.addBatch(batchOf(0, 1))
  plan.endScan()
  const task = await plan.nextToRead()
  assert.ok(task !== undefined && 'batch' in task)
  const idle = [plan.nextToRead(), plan.nextToRead()]
  const file = {
    fd: 7,
    sizeBytes: 100,
    holes: [],
    isStored: true,
    starts: [0, 50],
    taken: new Int32Array(new SharedArrayBuffer(4)),
  }
  shared.open(1, file)
  plan.wake()
  const helps = await Promise.all(idle)
  for (const help of helps) assert.ok(help !== undefined && 'file' in help && help.file === file)
  let reports: unknown
  const gathered = shared.close(1).then((found) => {
    reports = found
  })
  const last = plan.nextToRead()
  const found = { spans: [], hasShrunk: false }
  for (const help of helps) {
    assert.equal(reports, undefined, 'one of them still reads')
    assert.ok(help !== undefined && 'report' in help)
    help.report(found)
    await new Promise(setImmediate)
  }
  await gathered
  assert.deepEqual(reports, [found, found])
  plan.finishRead(task.number, { fd: 7, startByte: 0, endByte: 1 })
  assert.equal(await last, undefined)
  file.taken[0] = 2
  shared.open(2, file)
  assert.equal(shared.begin(), undefined, 'all of its spans are taken')
})
