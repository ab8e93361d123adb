/** A thread of encode-pool.ts: makes one delta for each message. */
import { parentPort } from 'node:worker_threads'
import type { EncodeJob } from './encode-delta.ts'
import { encodeRun } from './encode-delta.ts'
import type { EncodeReply } from './encode-pool.ts'

parentPort!.on('message', (job: EncodeJob) => {
  const reply = run(job)
  if ('failure' in reply) {
    parentPort!.postMessage(reply)
    return
  }
  const sent = reply.frame === undefined ? reply.returned : [reply.frame, ...reply.returned]
  parentPort!.postMessage(
    reply,
    sent.map(({ buffer }) => buffer as ArrayBuffer),
  )
})

function run(job: EncodeJob): EncodeReply {
  try {
    return { ...encodeRun(job), returned: [job.targets, job.window] }
  } catch (error) {
    return { failure: String(error) }
  }
}
