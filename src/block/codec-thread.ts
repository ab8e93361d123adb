/**
 * The threads in which blocks are compressed and decoded when the caller does not want to wait: a process has a few, as
 * it has libuv's, started with the first block and ended when none has come for a while.
 *
 * zlib's own asynchronous calls cost as much again as zstd itself: an object, a stream and two turns of the loop for each
 * block, and a context that another thread frees. Here many blocks cross in one message, and each is done by one
 * synchronous call. Blocks cross as copies, so that the caller keeps its own; windows are handed over. How much waits here is the callers' to bound.
 */
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { systemClock } from '../base/clock.ts'
import { asMirrorError, MirrorError } from '../base/errors.ts'
import { threadEnvironment } from '../base/thread-environment.ts'

export type CodecJob =
  | { readonly kind: 'compress'; readonly bytes: Uint8Array; readonly level: number }
  | { readonly kind: 'decode'; readonly bytes: Uint8Array; readonly lengthBytes: number }
  | {
      readonly kind: 'decode-windowed'
      readonly bytes: Uint8Array
      /** In a buffer of its own, which goes to the thread: it is empty afterwards. */
      readonly window: Uint8Array
      readonly lengthBytes: number
    }

/** Of one job: the bytes made, nothing where a frame does not pay, or what was wrong with the bytes given. */
export type CodecResult =
  | { readonly bytes: Uint8Array | undefined }
  | { readonly corrupt: string }
  | { readonly failure: string }

interface Waiting {
  readonly job: CodecJob
  readonly resolve: (bytes: Uint8Array | undefined) => void
  readonly reject: (error: Error) => void
}

interface CodecThread {
  readonly worker: Worker
  /** Batches under way, the oldest first. */
  readonly batches: (readonly Waiting[])[]
}

const MAX_THREADS = Math.max(1, Math.min(4, availableParallelism() >> 1))
/** More would make the first of them wait for the last. */
const MAX_BATCH_JOBS = 8
const MAX_BATCH_BYTES = 1024 * 1024
/** One that is worked on, and one that is ready. */
const MAX_BATCHES = 2
const IDLE_MS = 30_000
/** The worker makes much garbage and keeps little. */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 8 }

const threads: CodecThread[] = []
const waiting: Waiting[] = []
let isDue = false
let stopIdle: (() => void) | undefined

/** @throws MirrorError `corrupt` for bytes that do not decode, `internal` when the thread fails */
export function runInCodecThread(job: CodecJob): Promise<Uint8Array | undefined> {
  return new Promise((resolve, reject) => {
    waiting.push({ job, resolve, reject })
    if (isDue) return
    isDue = true
    // What the network delivers in this turn of the loop goes in one message.
    setImmediate(() => {
      isDue = false
      handOut()
    })
  })
}

function handOut(): void {
  while (waiting.length > 0) {
    const thread = freeThread()
    if (thread === undefined) return
    const batch: Waiting[] = []
    for (let bytes = 0; batch.length < MAX_BATCH_JOBS && waiting.length > 0 && bytes < MAX_BATCH_BYTES; ) {
      const next = waiting.shift()!
      batch.push(next)
      bytes += next.job.bytes.length
      if (next.job.kind === 'decode-windowed') bytes += next.job.window.length
    }
    // A view would cross with all of the buffer that it is a view of.
    const jobs: CodecJob[] = batch.map(({ job }) => ({ ...job, bytes: new Uint8Array(job.bytes) }))
    thread.batches.push(batch)
    // A thread keeps the process alive exactly as long as somebody waits for it.
    thread.worker.ref()
    thread.worker.postMessage(
      jobs,
      jobs.flatMap((job) =>
        job.kind === 'decode-windowed' ? [job.bytes.buffer, job.window.buffer] : [job.bytes.buffer],
      ) as ArrayBuffer[],
    )
  }
}

/** The one with the least to do; a new one while all that there are have something. */
function freeThread(): CodecThread | undefined {
  const least = threads.reduce<CodecThread | undefined>(
    (best, thread) => (best === undefined || thread.batches.length < best.batches.length ? thread : best),
    undefined,
  )
  if (least?.batches.length === 0) return least
  if (threads.length < MAX_THREADS) return startThread()
  return least !== undefined && least.batches.length < MAX_BATCHES ? least : undefined
}

function startThread(): CodecThread {
  const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
  const worker = new Worker(new URL(`./codec-worker${extension}`, import.meta.url), {
    resourceLimits: RESOURCE_LIMITS,
    env: threadEnvironment(),
  })
  const thread: CodecThread = { worker, batches: [] }
  const fail = (error: unknown): void => {
    const at = threads.indexOf(thread)
    if (at >= 0) threads.splice(at, 1)
    const lost = thread.batches.splice(0).flat()
    for (const { reject } of lost) {
      reject(
        error === undefined
          ? new MirrorError('internal', 'the thread that codes blocks has ended')
          : asMirrorError(error, 'the thread that codes blocks has ended'),
      )
    }
    handOut()
  }
  worker.on('message', (results: readonly CodecResult[]) => {
    const batch = thread.batches.shift() ?? []
    if (thread.batches.length === 0) worker.unref()
    batch.forEach(({ resolve, reject }, i) => {
      const result = results[i]!
      if ('bytes' in result) resolve(result.bytes)
      else if ('corrupt' in result) reject(new MirrorError('corrupt', result.corrupt))
      else reject(new MirrorError('internal', result.failure))
    })
    handOut()
    if (threads.every(({ batches }) => batches.length === 0)) endWhenIdle()
  })
  worker.on('error', fail)
  worker.on('exit', () => fail(undefined))
  worker.unref()
  threads.push(thread)
  return thread
}

function endWhenIdle(): void {
  stopIdle?.()
  stopIdle = systemClock.after(IDLE_MS, () => {
    if (threads.some(({ batches }) => batches.length > 0)) return
    for (const { worker } of threads.splice(0)) void worker.terminate()
  })
}
