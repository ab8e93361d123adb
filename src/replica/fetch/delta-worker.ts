/** The thread of delta-thread.ts: for each message the targets of one delta, verified, or nothing. */
import { parentPort } from 'node:worker_threads'
import { cidFromKeyBytes, isBlockOf } from '../../block/cid.ts'
import { decodeWindowed } from '../../block/encoding.ts'
import { nativeZstd } from '../../posix/zstd.ts'
import type { DeltaJob, DeltaReply } from './delta-thread.ts'
import { createWindowReader } from './window-reader.ts'

const reader = createWindowReader()

parentPort!.on('message', (job: DeltaJob) => {
  const made = make(job)
  const kept = [made, job.spare].filter((bytes) => bytes !== undefined)
  const buffers = new Set(kept.map(({ buffer }) => buffer as ArrayBuffer))
  const reply: DeltaReply = { made, spare: made?.buffer === job.spare?.buffer ? undefined : job.spare }
  parentPort!.postMessage(reply, [...buffers])
})

/** Undefined for whatever is wrong: it is done again where that is found out. */
function make({ frame, window: places, targets, spare }: DeltaJob): Uint8Array | undefined {
  try {
    const window = reader.read(places)
    if (window === undefined) return undefined
    const lengthBytes = targets.reduce((sum, target) => sum + target.lengthBytes, 0)
    const into =
      spare !== undefined && spare.length >= lengthBytes ? spare.subarray(0, lengthBytes) : undefined
    const made = decodeWindowed(
      { bytes: frame, window, lengthBytes },
      nativeZstd(),
      into === undefined ? undefined : () => into,
    )
    let at = 0
    for (const { key, lengthBytes: length } of targets) {
      if (!isBlockOf(cidFromKeyBytes(key), made.subarray(at, at + length))) return undefined
      at += length
    }
    return made
  } catch {
    return undefined
  }
}
