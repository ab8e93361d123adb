/**
 * The thread in which a lender's packs are read and its blocks verified, so that the main thread has nothing to do with large
 * files but to hand them to sockets. Memory crosses without a copy and comes back; what is asked for in one turn of the loop
 * crosses in one message. It is started when something is to be read, and ended when nothing has been for a while.
 *
 * How much is asked for at a time is the lender's to bound.
 */
import { Worker } from 'node:worker_threads'
import { systemClock } from '../base/clock.ts'
import { threadEnvironment } from '../base/thread-environment.ts'
import { boundAllocator } from '../posix/allocator.ts'

export interface ReadJob {
  readonly id: number
  readonly slab: ArrayBuffer
  /** Stretches of files, and where they go in the slab. */
  readonly runs: readonly {
    readonly path: string
    readonly startByte: number
    readonly lengthBytes: number
    readonly at: number
  }[]
  readonly blocks: readonly {
    /** Of `cidToKeyBytes`. */
    readonly key: Uint8Array
    /** In the slab. */
    readonly at: number
    readonly lengthBytes: number
    /** Index of the run that it lies in. */
    readonly run: number
  }[]
}

export interface ReadReply {
  readonly id: number
  readonly slab: ArrayBuffer
  /** Of each block: it was read, and is what its CID says. */
  readonly isRight: readonly boolean[]
}

export interface LenderThread {
  /** Undefined when the thread failed, and the slab is lost with it. Does not reject. */
  read(job: Omit<ReadJob, 'id'>): Promise<Omit<ReadReply, 'id'> | undefined>
}

interface Waiting {
  readonly job: ReadJob
  readonly resolve: (reply: ReadReply | undefined) => void
}

const IDLE_MS = 30_000
/** After a failure: whatever it was, it is not tried again with each block. */
const REST_MS = 10_000
/** It makes little garbage. */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 8 }

export function createLenderThread(): LenderThread {
  const asked = new Map<number, Waiting>()
  let unsent: Waiting[] = []
  let worker: Worker | undefined
  let cancelIdle: (() => void) | undefined
  let failedMs = Number.NEGATIVE_INFINITY
  let lastId = 0

  function running(): Worker {
    cancelIdle?.()
    cancelIdle = undefined
    if (worker !== undefined) return worker
    boundAllocator()
    const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
    const started = new Worker(new URL(`./lender-worker${extension}`, import.meta.url), {
      resourceLimits: RESOURCE_LIMITS,
      env: threadEnvironment(),
    })
    const fail = (): void => {
      if (worker !== started) return
      worker = undefined
      failedMs = systemClock.monotonicMs()
      for (const { resolve } of asked.values()) resolve(undefined)
      asked.clear()
    }
    started.on('message', (replies: readonly ReadReply[]) => {
      for (const reply of replies) {
        asked.get(reply.id)?.resolve(reply)
        asked.delete(reply.id)
      }
      if (asked.size === 0) rest(started)
    })
    started.on('error', fail)
    started.on('exit', fail)
    worker = started
    return started
  }

  /** It keeps the process alive as long as somebody waits for it. */
  function rest(idle: Worker): void {
    idle.unref()
    cancelIdle ??= systemClock.after(IDLE_MS, () => {
      cancelIdle = undefined
      if (asked.size > 0 || worker !== idle) return
      worker = undefined
      void idle.terminate()
    })
  }

  function send(): void {
    const batch = unsent
    unsent = []
    const to = running()
    to.ref()
    for (const each of batch) asked.set(each.job.id, each)
    to.postMessage(
      batch.map(({ job }) => job),
      batch.map(({ job }) => job.slab),
    )
  }

  return {
    read(job) {
      if (systemClock.monotonicMs() - failedMs < REST_MS) return Promise.resolve(undefined)
      return new Promise((resolve) => {
        if (unsent.length === 0) setImmediate(send)
        unsent.push({ job: { ...job, id: ++lastId }, resolve })
      })
    },
  }
}
