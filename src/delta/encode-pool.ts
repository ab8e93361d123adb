/**
 * Makes the frames of a few runs at a time, in threads of libuv's pool: with zstd's own calls where they are at hand, else with
 * Node's zlib, which takes several times as long. No threads of ours: each would be another heap, of 40 MB with what it makes. How
 * many jobs wait is the caller's to bound.
 */
import { promisify } from 'node:util'
import zlib from 'node:zlib'
import { MirrorError } from '../base/errors.ts'
import { Semaphore } from '../base/semaphore.ts'
import { boundAllocator } from '../posix/allocator.ts'
import { createZstdEncoder, type ZstdEncoder } from '../posix/zstd-encoder.ts'
import type { Compress, EncodedRun, EncodeJob } from './encode-delta.ts'
import { encodeRun } from './encode-delta.ts'

export interface EncodePool {
  /**
   * None of the job's bytes are to change until it resolves.
   * @throws MirrorError `aborted` after close
   */
  encode(job: EncodeJob): Promise<EncodedRun>
  /** What is being made is waited for; what waits is not made. */
  close(): Promise<void>
}

interface Encoder {
  readonly compress: Compress
  close(): void
}

const compressLater = promisify<Uint8Array, zlib.ZstdOptions, Buffer>(zlib.zstdCompress)
const FRAME_CHUNK_BYTES = 128 * 1024

/** @param atOnce runs */
export function startEncodePool(
  atOnce: number,
  createEncoder: () => ZstdEncoder | undefined = createZstdEncoder,
): EncodePool {
  boundAllocator()
  const turns = new Semaphore(atOnce)
  const idle: Encoder[] = []
  const running = new Set<Promise<unknown>>()
  let isClosed = false

  async function run(job: EncodeJob): Promise<EncodedRun> {
    if (isClosed) throw new MirrorError('aborted', 'deltas are no longer made')
    const encoder = idle.pop() ?? openEncoder(createEncoder())
    try {
      return await encodeRun(job, encoder.compress)
    } finally {
      idle.push(encoder)
    }
  }

  return {
    encode(job) {
      const work = turns.run(() => run(job)).finally(() => running.delete(work))
      running.add(work)
      return work
    },
    async close() {
      isClosed = true
      await Promise.allSettled(running)
      for (const encoder of idle.splice(0)) encoder.close()
    },
  }
}

function openEncoder(native: ZstdEncoder | undefined): Encoder {
  if (native === undefined) return { compress: compressWithZlib, close: () => undefined }
  let scratch = new Uint8Array()
  return {
    async compress(bytes, { maxBytes, parameters, window }) {
      if (scratch.length < maxBytes) scratch = new Uint8Array(new ArrayBuffer(maxBytes))
      const length = await native.encode(bytes, scratch.subarray(0, maxBytes), parameters, window)
      return length === undefined ? undefined : scratch.slice(0, length)
    },
    close: native.close,
  }
}

const compressWithZlib: Compress = async (bytes, { maxBytes, parameters, window }) => {
  const frame = await compressLater(bytes, {
    ...(window === undefined ? {} : { dictionary: window }),
    // Most frames are a small part of their run.
    chunkSize: FRAME_CHUNK_BYTES,
    // Told the length, zstd writes it into the frame, and readers need no larger window.
    pledgedSrcSize: bytes.length,
    params: Object.fromEntries(parameters),
  })
  return frame.length <= maxBytes ? new Uint8Array(frame) : undefined
}
