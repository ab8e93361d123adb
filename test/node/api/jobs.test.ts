import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JobDocument } from '../../../node/api/jobs/job-document.ts'
import { createJobs } from '../../../node/api/jobs/jobs.ts'
import { systemClock } from '../../../src/base/clock.ts'
import { isMirrorError, MirrorError } from '../../../src/base/errors.ts'

const log = { info: () => undefined, warn: () => undefined }
const never = new AbortController().signal

async function collect(documents: AsyncIterable<JobDocument>): Promise<JobDocument[]> {
  const all: JobDocument[] = []
  for await (const document of documents) all.push(document)
  return all
}

test('a watcher sees the progress and the result of a job, and so does one that comes later', async () => {
  const jobs = createJobs({ clock: systemClock, log })
  const { id } = jobs.start('verify', async ({ report }) => {
    report({ phase: 'read', bytes: 7 })
    return { good: true }
  })
  const seen = await collect(jobs.watch(id, never))
  assert.deepEqual(seen.at(-1)?.result, { good: true })
  assert.equal(seen.at(-1)?.state, 'done')
  assert.equal((await collect(jobs.watch(id, never))).length, 1)
  assert.equal(jobs.get(id).progress?.bytes, 7)
})

test('a job that is cancelled ends as cancelled, one that fails keeps its problem', async () => {
  const jobs = createJobs({ clock: systemClock, log })
  const waiting = jobs.start(
    'publish',
    ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  )
  const watching = collect(jobs.watch(waiting.id, never))
  await jobs.cancel(waiting.id)
  assert.equal(jobs.get(waiting.id).state, 'cancelled')
  assert.equal((await watching).at(-1)?.state, 'cancelled')

  const failing = jobs.start('checkout', async () => {
    throw new MirrorError('no-space', 'the disk is full', { hint: 'Make room.' })
  })
  const last = (await collect(jobs.watch(failing.id, never))).at(-1)
  assert.equal(last?.state, 'failed')
  assert.deepEqual(
    [last?.problem?.code, last?.problem?.status, last?.problem?.hint],
    ['no-space', 507, 'Make room.'],
  )
})

test('jobs are bounded, and none outlives the daemon', async () => {
  const jobs = createJobs({ clock: systemClock, log }, { maxRunning: 2, maxRemembered: 1 })
  const untilAborted = ({ signal }: { signal: AbortSignal }) =>
    new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
  jobs.start('verify', untilAborted)
  jobs.start('verify', untilAborted)
  assert.throws(
    () => jobs.start('verify', untilAborted),
    (error) => isMirrorError(error, 'busy'),
  )
  await jobs.stop()
  assert.ok(jobs.list().every((job) => job.state === 'done'))
  assert.throws(
    () => jobs.start('verify', untilAborted),
    (error) => isMirrorError(error, 'unreachable'),
  )
  assert.throws(
    () => jobs.get('nope'),
    (error) => isMirrorError(error, 'not-found'),
  )
})
