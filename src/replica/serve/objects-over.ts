/**
 * Objects as frames over what the asker has: index nodes over those of an older snapshot. The last ones are kept, because
 * the sites of a region hold the same and ask for the same. The right to an object, and to each base, is looked at each
 * time: how small a frame is tells something of its bases.
 */
import type { Cid } from '../../block/cid.ts'
import { cidKey } from '../../block/cid.ts'
import { encodeWindowed } from '../../block/encoding.ts'
import type { ObjectOver } from '../../net/ports.ts'

/** Nodes of an index have 256 KiB at most. */
const MAX_OBJECT_BYTES = 512 * 1024
const MAX_WINDOW_BYTES = 1024 * 1024
/** Less is not worth the time. */
const SMALLEST_BYTES = 1024
const MAX_KEPT = 64

export interface ObjectsOver {
  /** @param read the object or base, if the asker may have it. Undefined when it is better sent whole */
  encode(
    cid: Cid,
    bases: readonly Cid[],
    read: (cid: Cid) => Promise<Uint8Array | undefined>,
  ): Promise<ObjectOver | undefined>
}

export function createObjectsOver(): ObjectsOver {
  const kept = new Map<string, Promise<Uint8Array | undefined>>()

  function frameOf(key: string, bytes: Uint8Array, window: Uint8Array): Promise<Uint8Array | undefined> {
    const known = kept.get(key)
    kept.delete(key)
    const frame = known ?? encodeWindowed(bytes, window)
    frame.catch(() => kept.delete(key))
    kept.set(key, frame)
    if (kept.size > MAX_KEPT) kept.delete(kept.keys().next().value!)
    return frame
  }

  return {
    async encode(cid, bases, read) {
      const bytes = await read(cid)
      if (bytes === undefined || bytes.length < SMALLEST_BYTES || bytes.length > MAX_OBJECT_BYTES)
        return undefined
      const used: number[] = []
      const parts: Uint8Array[] = []
      let leftBytes = MAX_WINDOW_BYTES
      for (const [number, base] of bases.entries()) {
        const part = await read(base)
        if (part === undefined || part.length > leftBytes) continue
        leftBytes -= part.length
        used.push(number)
        parts.push(part)
      }
      if (used.length === 0) return undefined
      const key = [cid, ...used.map((number) => bases[number]!)].map(cidKey).join()
      const frame = await frameOf(key, bytes, new Uint8Array(Buffer.concat(parts)))
      return frame && { bytes: frame, over: { bases: used, lengthBytes: bytes.length } }
    },
  }
}
