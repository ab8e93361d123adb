/**
 * SHA-256 in a thread of its own: Node has no call that takes a stream and leaves the main thread alone, and a file of a
 * gigabyte would keep that busy for a second. The thread is started for the first file, and ended when none has come for a while.
 *
 * Bounded: each hash has BUFFERS of BUFFER_BYTES, which cross without a copy and come back; what is read waits for one of
 * them. Small files are hashed on the spot: to cross would cost more.
 */
import { createHash } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import type { Clock } from '../../src/base/clock.ts'
import { asMirrorError, MirrorError } from '../../src/base/errors.ts'
import { threadEnvironment } from '../../src/base/thread-environment.ts'

export interface Sha256Thread {
  /** Of pieces whose memory may be used again when the next is asked for. @throws MirrorError `internal` when the thread fails */
  hash(pieces: AsyncIterable<Uint8Array>, sizeBytes: number): Promise<Uint8Array>
  close(): Promise<void>
}

/** Of hash `id`: bytes to take in, its end, or that nobody wants it any more. */
export type Sha256Job =
  | { readonly id: number; readonly kind: 'bytes'; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly id: number; readonly kind: 'end' | 'drop' }

/** The buffer back, or the digest. */
export type Sha256Reply =
  | { readonly id: number; readonly buffer: ArrayBuffer }
  | { readonly id: number; readonly digest: Uint8Array }

const BUFFERS = 2
const BUFFER_BYTES = 256 * 1024
const MAX_ON_THE_SPOT_BYTES = 128 * 1024
const IDLE_MS = 30_000
/** It makes little garbage. */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 8 }

interface Hashing {
  readonly free: ArrayBuffer[]
  readonly digest: PromiseWithResolvers<Uint8Array>
  failure: MirrorError | undefined
  /** A buffer is back, or the thread has failed. */
  wake: () => void
}

export function createSha256Thread({ clock }: { readonly clock: Pick<Clock, 'after'> }): Sha256Thread {
  let worker: Worker | undefined
  let cancelIdle: (() => void) | undefined
  let lastId = 0
  const hashings = new Map<number, Hashing>()

  function running(): Worker {
    cancelIdle?.()
    cancelIdle = undefined
    if (worker !== undefined) return worker
    const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
    const started = new Worker(new URL(`./sha256-worker${extension}`, import.meta.url), {
      resourceLimits: RESOURCE_LIMITS,
      env: threadEnvironment(),
    })
    started.unref()
    started.on('message', take)
    const fail = (cause?: unknown): void => {
      if (worker !== started) return
      worker = undefined
      const what = 'the thread that makes digests has ended'
      failAll(cause === undefined ? new MirrorError('internal', what) : asMirrorError(cause, what))
    }
    started.on('error', fail)
    started.on('exit', () => fail())
    worker = started
    return started
  }

  function failAll(failure: MirrorError): void {
    for (const hashing of hashings.values()) {
      hashing.failure = failure
      hashing.digest.reject(failure)
      hashing.wake()
    }
    hashings.clear()
  }

  function take(reply: Sha256Reply): void {
    const hashing = hashings.get(reply.id)
    if (hashing === undefined) return
    if ('digest' in reply) hashing.digest.resolve(reply.digest)
    else hashing.free.push(reply.buffer)
    hashing.wake()
  }

  function post(job: Sha256Job): void {
    worker?.postMessage(job, job.kind === 'bytes' ? [job.bytes.buffer] : [])
  }

  async function hashThere(
    id: number,
    hashing: Hashing,
    pieces: AsyncIterable<Uint8Array>,
  ): Promise<Uint8Array> {
    let filling: Uint8Array<ArrayBuffer> | undefined
    let filled = 0
    const send = (bytes: Uint8Array<ArrayBuffer>): void => post({ id, kind: 'bytes', bytes })
    for await (const piece of pieces) {
      for (let at = 0; at < piece.length; ) {
        filling ??= await freeBuffer(hashing)
        const take = Math.min(piece.length - at, filling.length - filled)
        filling.set(piece.subarray(at, at + take), filled)
        filled += take
        at += take
        if (filled < filling.length) continue
        send(filling)
        filling = undefined
        filled = 0
      }
    }
    if (filling !== undefined) send(filling.subarray(0, filled))
    post({ id, kind: 'end' })
    return hashing.digest.promise
  }

  return {
    async hash(pieces, sizeBytes) {
      if (sizeBytes <= MAX_ON_THE_SPOT_BYTES) return hashHere(pieces)
      running()
      const id = ++lastId
      const free = Array.from({ length: BUFFERS }, () => new ArrayBuffer(BUFFER_BYTES))
      const hashing: Hashing = {
        free,
        digest: Promise.withResolvers(),
        failure: undefined,
        wake: () => undefined,
      }
      hashing.digest.promise.catch(() => undefined)
      hashings.set(id, hashing)
      try {
        return await hashThere(id, hashing, pieces)
      } catch (error) {
        post({ id, kind: 'drop' })
        throw error
      } finally {
        hashings.delete(id)
        if (hashings.size === 0) cancelIdle = clock.after(IDLE_MS, () => void stop())
      }
    },
    close: stop,
  }

  async function stop(): Promise<void> {
    cancelIdle?.()
    const ending = worker
    worker = undefined
    failAll(new MirrorError('aborted', 'digests are no longer made'))
    await ending?.terminate()
  }
}

/** @throws the thread's failure */
async function freeBuffer(hashing: Hashing): Promise<Uint8Array<ArrayBuffer>> {
  for (;;) {
    if (hashing.failure !== undefined) throw hashing.failure
    const buffer = hashing.free.pop()
    if (buffer !== undefined) return new Uint8Array(buffer)
    await new Promise<void>((resolve) => {
      hashing.wake = resolve
    })
  }
}

async function hashHere(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const hash = createHash('sha256')
  for await (const piece of pieces) hash.update(piece)
  return Uint8Array.from(hash.digest())
}
