/** A thread of codec-thread.ts: codes the blocks of each message, in order, and answers with one message. */
import { parentPort } from 'node:worker_threads'
import { isMirrorError } from '../base/errors.ts'
import type { CodecJob, CodecResult } from './codec-thread.ts'
import { decodeBlock, decodeWindowed, tryZstd } from './encoding.ts'

parentPort!.on('message', (jobs: readonly CodecJob[]) => {
  const results = jobs.map(run)
  // Each lies in a buffer of its own.
  const buffers = results.flatMap((result) =>
    'bytes' in result && result.bytes !== undefined ? [result.bytes.buffer as ArrayBuffer] : [],
  )
  parentPort!.postMessage(results, buffers)
})

function run(job: CodecJob): CodecResult {
  try {
    if (job.kind === 'compress') return { bytes: tryZstd(job.bytes, job.level) }
    if (job.kind === 'decode-windowed') return { bytes: decodeWindowed(job) }
    const { bytes, lengthBytes } = job
    return { bytes: decodeBlock({ encoding: 'zstd', bytes, lengthBytes }) }
  } catch (error) {
    if (isMirrorError(error, 'corrupt')) return { corrupt: error.message }
    return { failure: String(error) }
  }
}
