/**
 * How much of the disk uploads may take before a head names it: of each publisher half of what would be free without it. Blocks
 * that no head ever names stay until the next full collection, so what an upload left behind counts on for a day.
 */
import type { Clock } from '../../base/clock.ts'
import { MirrorError } from '../../base/errors.ts'
import type { PeerId } from '../../record/key.ts'

export interface UploadSpaceComponents {
  readonly clock: Clock
  /** Of the disk with the store; undefined when nobody knows, and then only the reserve is kept (see free-space.ts). */
  readonly readFreeBytes: () => number | undefined
}

export interface UploadSpaceOptions {
  readonly maxShare?: number
  /** By then a collection has looked for what nothing names (see collector.ts). */
  readonly keepMs?: number
}

export interface UploadSpace {
  /** Before they are stored. @throws MirrorError `no-space` */
  take(publisher: PeerId, sizeBytes: number): void
  /** They were not stored, or a head names them now. */
  giveBack(publisher: PeerId, sizeBytes: number): void
}

export function createUploadSpace(
  { clock, readFreeBytes }: UploadSpaceComponents,
  { maxShare = 0.5, keepMs = 24 * 3_600_000 }: UploadSpaceOptions = {},
): UploadSpace {
  const taken = new Map<PeerId, { bytes: number; lastMs: number }>()

  function dropOld(): void {
    for (const [publisher, { lastMs }] of taken) if (clock.nowMs() - lastMs >= keepMs) taken.delete(publisher)
  }

  return {
    take(publisher, sizeBytes) {
      const freeBytes = readFreeBytes() ?? Number.POSITIVE_INFINITY
      dropOld()
      const takenBytes = taken.get(publisher)?.bytes ?? 0
      const mayBytes = Math.floor((freeBytes + takenBytes) * maxShare)
      if (takenBytes + sizeBytes > mayBytes) {
        throw new MirrorError(
          'no-space',
          `what ${publisher} has sent and not published is ${takenBytes} bytes, and ${mayBytes} may be: half of the disk's free space`,
          {
            facts: { publisher, takenBytes, neededBytes: sizeBytes, mayBytes, freeBytes },
            hint: 'Free some space at the node (mirrormesh gc), or publish through one with a larger disk. What was left behind counts for a day.',
          },
        )
      }
      taken.set(publisher, { bytes: takenBytes + sizeBytes, lastMs: clock.nowMs() })
    },
    giveBack(publisher, sizeBytes) {
      const found = taken.get(publisher)
      if (found === undefined) return
      found.bytes -= sizeBytes
      if (found.bytes <= 0) taken.delete(publisher)
    },
  }
}
