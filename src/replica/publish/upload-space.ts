/**
 * How much of the disk uploads may take before a head names it: of each publisher half of what would be free without it, of
 * all together three quarters. Blocks that no head ever names stay until the next full collection, so what an upload left
 * behind counts on for a day, over a restart too.
 */
import { formatBytes } from '../../base/byte-size.ts'
import type { Clock } from '../../base/clock.ts'
import { MirrorError } from '../../base/errors.ts'
import type { PeerId } from '../../record/key.ts'
import type { KeyValue } from '../../store/index/key-value.ts'

export interface UploadSpaceComponents {
  readonly clock: Clock
  /** Of the disk with the store; undefined when nobody knows, and then only the reserve is kept (see free-space.ts). */
  readonly readFreeBytes: () => number | undefined
  /** Of the account. */
  readonly values: KeyValue
}

export interface UploadSpaceOptions {
  readonly maxShare?: number
  readonly maxShareOfAll?: number
  /** By then a collection has looked for what nothing names (see collector.ts). */
  readonly keepMs?: number
}

export interface UploadSpace {
  /** Before they are stored. @throws MirrorError `no-space` */
  take(publisher: PeerId, sizeBytes: number): Promise<void>
  /** They were not stored, or a head names them now. */
  giveBack(publisher: PeerId, sizeBytes: number): Promise<void>
}

interface Taken {
  bytes: number
  lastMs: number
}

export function createUploadSpace(
  { clock, readFreeBytes, values }: UploadSpaceComponents,
  { maxShare = 0.5, maxShareOfAll = 0.75, keepMs = 24 * 3_600_000 }: UploadSpaceOptions = {},
): UploadSpace {
  let loaded: Promise<Map<PeerId, Taken>> | undefined

  async function load(): Promise<Map<PeerId, Taken>> {
    const taken = new Map<PeerId, Taken>()
    for await (const [publisher, value] of values.entries()) {
      const [bytes = 0, lastMs = 0] = JSON.parse(Buffer.from(value).toString()) as number[]
      taken.set(publisher, { bytes, lastMs })
    }
    return taken
  }

  /** Without `sync`: what a power loss takes of it, it takes of the blocks too. */
  async function save(publisher: PeerId, taken: Taken | undefined): Promise<void> {
    if (taken === undefined) await values.delete(publisher)
    else await values.put(publisher, Buffer.from(JSON.stringify([taken.bytes, taken.lastMs])))
  }

  /** Those that count. What is too old goes. */
  async function current(): Promise<Map<PeerId, Taken>> {
    loaded ??= load().catch((error) => {
      loaded = undefined
      throw error
    })
    const taken = await loaded
    for (const [publisher, { lastMs }] of taken) {
      if (clock.nowMs() - lastMs < keepMs) continue
      taken.delete(publisher)
      await save(publisher, undefined)
    }
    return taken
  }

  return {
    async take(publisher, sizeBytes) {
      const taken = await current()
      const freeBytes = readFreeBytes() ?? Number.POSITIVE_INFINITY
      const takenBytes = taken.get(publisher)?.bytes ?? 0
      let allBytes = 0
      for (const { bytes } of taken.values()) allBytes += bytes
      const mayBytes = Math.floor((freeBytes + takenBytes) * maxShare)
      const allMayBytes = Math.floor((freeBytes + allBytes) * maxShareOfAll)
      if (takenBytes + sizeBytes > mayBytes || allBytes + sizeBytes > allMayBytes) {
        const isOwn = takenBytes + sizeBytes > mayBytes
        throw new MirrorError(
          'no-space',
          isOwn
            ? `what ${publisher} has sent and not published is ${formatBytes(takenBytes)}, and ${formatBytes(mayBytes)} may be: half of the disk's free space`
            : `what publishers have sent and not published is ${formatBytes(allBytes)}, and ${formatBytes(allMayBytes)} may be: three quarters of the disk's free space`,
          {
            facts: {
              publisher,
              takenBytes,
              allBytes,
              neededBytes: sizeBytes,
              mayBytes,
              allMayBytes,
              freeBytes,
            },
            hint: 'Free some space at the node (mirrormesh gc), or publish through one with a larger disk. What was left behind counts for a day.',
          },
        )
      }
      const now = { bytes: takenBytes + sizeBytes, lastMs: clock.nowMs() }
      taken.set(publisher, now)
      await save(publisher, now)
    },
    async giveBack(publisher, sizeBytes) {
      const taken = await current()
      const found = taken.get(publisher)
      if (found === undefined) return
      found.bytes -= sizeBytes
      if (found.bytes <= 0) taken.delete(publisher)
      await save(publisher, taken.get(publisher))
    },
  }
}
