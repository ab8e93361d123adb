/**
 * The thread in which blocks are made of deltas: it reads the window where it lies, decodes over it and verifies what comes
 * out, with memory that it uses again and again. Windows cross no thread and wait for no collection; a megabyte of blocks does,
 * and comes back with a later delta.
 *
 * One thread makes 500 MB/s and more. It starts with the first delta and ends when none has come for a while. Whatever it cannot
 * do it does not do: the caller knows how to find out why.
 */
import { Worker } from 'node:worker_threads'
import { systemClock } from '../../base/clock.ts'
import { threadEnvironment } from '../../base/thread-environment.ts'
import { boundAllocator } from '../../posix/allocator.ts'
import type { BlockPlace } from '../../store/block-store.ts'

export interface DeltaJob {
  readonly frame: Uint8Array
  readonly window: readonly BlockPlace[]
  readonly targets: readonly { readonly key: Uint8Array; readonly lengthBytes: number }[]
  /** Memory for what is made. */
  readonly spare?: Uint8Array
}

export interface DeltaReply {
  /** All targets, one after the other and verified. */
  readonly made: Uint8Array | undefined
  /** What was not needed. */
  readonly spare: Uint8Array | undefined
}

interface Waiting {
  readonly job: DeltaJob
  readonly resolve: (made: Uint8Array | undefined) => void
}

/** The next one is read and decoded while the last one is stored. */
const MAX_AT_ONCE = 2
const MAX_SPARE = 3
/** A run of blocks, as deltas are made by default. */
const SPARE_BYTES = 2 * 1024 * 1024
const IDLE_MS = 30_000
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 4 }

const waiting: Waiting[] = []
const underWay: Waiting[] = []
let spare: Uint8Array[] = []
let thread: Worker | undefined
let stopIdle: (() => void) | undefined

/**
 * @param use has the targets' bytes, one after the other, until it resolves
 * @returns what `use` returns; undefined where nothing could be made
 */
export async function makeInThread<T>(
  job: Omit<DeltaJob, 'spare'>,
  use: (made: Uint8Array) => Promise<T>,
): Promise<T | undefined> {
  const made = await new Promise<Uint8Array | undefined>((resolve) => {
    waiting.push({ job, resolve })
    handOut()
  })
  if (made === undefined) return undefined
  try {
    return await use(made)
  } finally {
    keepSpare(made)
  }
}

function keepSpare({ buffer }: Uint8Array): void {
  if (thread !== undefined && spare.length < MAX_SPARE && buffer.byteLength >= SPARE_BYTES / 2)
    spare.push(new Uint8Array(buffer as ArrayBuffer))
}

function handOut(): void {
  while (waiting.length > 0 && underWay.length < MAX_AT_ONCE) {
    const next = waiting.shift()!
    thread ??= start()
    // It keeps the process alive exactly as long as somebody waits for it.
    thread.ref()
    // A view would cross with all of the buffer that it is a view of.
    const frame = new Uint8Array(next.job.frame)
    const memory = spare.pop() ?? new Uint8Array(new ArrayBuffer(SPARE_BYTES))
    const job: DeltaJob = { ...next.job, frame, spare: memory }
    thread.postMessage(job, [frame.buffer, memory.buffer as ArrayBuffer])
    // Replies come in the order of the jobs.
    underWay.push(next)
  }
}

function start(): Worker {
  boundAllocator()
  stopIdle?.()
  const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
  const worker = new Worker(new URL(`./delta-worker${extension}`, import.meta.url), {
    resourceLimits: RESOURCE_LIMITS,
    env: threadEnvironment(),
  })
  const lose = (): void => {
    if (thread !== worker) return
    thread = undefined
    spare = []
    for (const { resolve } of underWay.splice(0)) resolve(undefined)
    handOut()
  }
  worker.on('message', ({ made, spare: unused }: DeltaReply) => {
    const done = underWay.shift()
    if (underWay.length === 0) worker.unref()
    if (unused !== undefined) keepSpare(unused)
    done?.resolve(made)
    handOut()
    if (underWay.length === 0) endWhenIdle(worker)
  })
  worker.on('error', lose)
  worker.on('exit', lose)
  worker.unref()
  return worker
}

function endWhenIdle(worker: Worker): void {
  stopIdle?.()
  stopIdle = systemClock.after(IDLE_MS, () => {
    if (thread !== worker || underWay.length > 0) return
    thread = undefined
    spare = []
    void worker.terminate()
  })
}
