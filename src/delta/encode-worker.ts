/** A thread of encode-pool.ts: makes one delta for each message. */
import { parentPort } from 'node:worker_threads'
import type { EncodeJob } from './encode-delta.ts'
import { encodeRun } from './encode-delta.ts'
import type { EncodeReply } from './encode-pool.ts'

parentPort!.on('message', (job: EncodeJob) => {
  const reply = run(job)
  const transfer = 'frame' in reply && reply.frame !== undefined ? [reply.frame.buffer as ArrayBuffer] : []
  parentPort!.postMessage(reply, transfer)
})

function run(job: EncodeJob): EncodeReply {
  try {
    return encodeRun(job)
  } catch (error) {
    return { failure: String(error) }
  }
}
