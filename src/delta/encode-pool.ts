/**
 * The threads that make deltas. A job's bytes are given away and come back with the result: they cross without a copy, both ways.
 * How many jobs wait is the caller's to bound.
 */
import { Worker } from 'node:worker_threads'
import { MirrorError } from '../base/errors.ts'
import { boundAllocator } from '../posix/allocator.ts'
import type { EncodedRun, EncodeJob } from './encode-delta.ts'
import { encodeRun } from './encode-delta.ts'

export interface EncodedJob extends EncodedRun {
  /** The job's own bytes, for another one. */
  readonly returned: readonly Uint8Array[]
}

export type EncodeReply = EncodedJob | { readonly failure: string }

export interface EncodePool {
  /** @throws MirrorError `internal` when a thread fails, `aborted` after close */
  encode(job: EncodeJob): Promise<EncodedJob>
  close(): Promise<void>
}

interface Waiting {
  readonly job: EncodeJob
  readonly resolve: (result: EncodedJob) => void
  readonly reject: (error: Error) => void
}

interface Thread {
  readonly worker: Worker
  current: Waiting | undefined
}

/** Makes much garbage and keeps little. */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 8 }

/** @param threads 0: jobs are done on the spot */
export function startEncodePool(threads: number): EncodePool {
  if (threads === 0)
    return {
      encode: async (job) => ({ ...encodeRun(job), returned: [job.targets, job.window] }),
      close: async () => undefined,
    }
  boundAllocator()
  const pool: Thread[] = []
  const waiting: Waiting[] = []
  let failure: MirrorError | undefined

  function fail(error: MirrorError): void {
    failure ??= error
    const lost = [...waiting.splice(0), ...pool.flatMap(({ current }) => current ?? [])]
    for (const thread of pool) thread.current = undefined
    for (const { reject } of lost) reject(failure)
  }

  function start(): Thread {
    const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
    const worker = new Worker(new URL(`./encode-worker${extension}`, import.meta.url), {
      resourceLimits: RESOURCE_LIMITS,
    })
    const thread: Thread = { worker, current: undefined }
    worker.on('message', (reply: EncodeReply) => {
      const done = thread.current
      thread.current = undefined
      handOut()
      if (done === undefined) return
      if ('failure' in reply) done.reject(ended(reply.failure))
      else done.resolve(reply)
    })
    worker.on('error', (error) => fail(ended(String(error), error)))
    worker.on('exit', () => fail(ended('it ended')))
    pool.push(thread)
    return thread
  }

  function handOut(): void {
    while (waiting.length > 0) {
      const idle = pool.find(({ current }) => current === undefined)
      const thread = idle ?? (pool.length < threads ? start() : undefined)
      if (thread === undefined) return
      const next = waiting.shift()!
      thread.current = next
      const { targets, window } = next.job
      thread.worker.postMessage(next.job, [targets.buffer as ArrayBuffer, window.buffer as ArrayBuffer])
    }
  }

  return {
    encode(job) {
      if (failure !== undefined) return Promise.reject(failure)
      return new Promise((resolve, reject) => {
        waiting.push({ job, resolve, reject })
        handOut()
      })
    },
    async close() {
      fail(new MirrorError('aborted', 'deltas are no longer made'))
      await Promise.all(pool.splice(0).map(({ worker }) => worker.terminate()))
    },
  }
}

function ended(why: string, cause?: unknown): MirrorError {
  return new MirrorError('internal', `a thread that makes deltas failed: ${why}`, { cause })
}
