/**
 * The blocks that were stored last, in the encoding in which they rest, in one ring of memory: in a mesh, what came a
 * moment ago is what neighbours ask for next, and looking it up, reading, decoding and hashing it again for each of them
 * would cost more than all else that is done with a small block.
 *
 * Everything in it was verified before it was given. What is taken out is a copy: the ring goes over its bytes. The memory
 * is there from the first block on, and given back when none has been added for a while.
 */
import type { Clock } from '../../base/clock.ts'
import { systemClock } from '../../base/clock.ts'
import type { BlockEncoding, EncodedBlock } from '../../block/encoding.ts'

export interface RecentBlocks {
  /** @param key as `cidKey` gives it @param block copied */
  add(key: string, block: EncodedBlock, owner?: number): void
  get(key: string): EncodedBlock | undefined
  /** As `get`, of many: what is given shares memory. Without a key, nothing. */
  getMany(keys: readonly (string | undefined)[]): (EncodedBlock | undefined)[]
  /** Undefined for everybody's; as it was when it was added. */
  ownerOf(key: string): number | undefined
  delete(key: string): void
  /** Gives the memory back. */
  clear(): void
}

interface Slot {
  readonly key: string
  readonly encoding: BlockEncoding
  readonly lengthBytes: number
  readonly start: number
  readonly end: number
  readonly owner: number | undefined
}

const IDLE_MS = 60_000

/** @param clock the machine's own, as memory is: a virtual one may stand still for days */
export function createRecentBlocks({
  sizeBytes = 16 * 1024 * 1024,
  clock = systemClock,
}: {
  readonly sizeBytes?: number
  readonly clock?: Pick<Clock, 'monotonicMs' | 'after'>
} = {}): RecentBlocks {
  const slots = new Map<string, Slot>()
  /** In the order of the ring, from the one that is overwritten next. */
  let order: Slot[] = []
  let first = 0
  let ring: Buffer | undefined
  let at = 0
  let addedMs = 0
  let cancelIdle: (() => void) | undefined

  function clear(): void {
    cancelIdle?.()
    cancelIdle = undefined
    ring = undefined
    slots.clear()
    order = []
    first = 0
    at = 0
  }

  function clearWhenIdle(delayMs: number): void {
    cancelIdle = clock.after(delayMs, () => {
      const leftMs = addedMs + IDLE_MS - clock.monotonicMs()
      if (leftMs <= 0) clear()
      else clearWhenIdle(leftMs)
    })
  }

  /** The slots that lie in [start, end) of the ring. */
  function evict(start: number, end: number): void {
    for (let slot = order[first]; slot !== undefined && slot.start < end && slot.end > start; ) {
      if (slots.get(slot.key) === slot) slots.delete(slot.key)
      slot = order[++first]
    }
    if (first > 1024 && first > order.length / 2) {
      order = order.slice(first)
      first = 0
    }
  }

  function getMany(keys: readonly (string | undefined)[]): (EncodedBlock | undefined)[] {
    const found = keys.map((key) => (key === undefined ? undefined : slots.get(key)))
    let sizeBytes = 0
    for (const slot of found) if (slot !== undefined) sizeBytes += slot.end - slot.start
    if (ring === undefined || sizeBytes === 0) return keys.map(() => undefined)
    const memory = new Uint8Array(Buffer.allocUnsafeSlow(sizeBytes).buffer)
    let filledBytes = 0
    return found.map((slot) => {
      if (slot === undefined) return undefined
      const { encoding, lengthBytes, start, end } = slot
      ring!.copy(memory, filledBytes, start, end)
      filledBytes += end - start
      return { encoding, bytes: memory.subarray(filledBytes - (end - start), filledBytes), lengthBytes }
    })
  }

  return {
    add(key, { encoding, bytes, lengthBytes }, owner) {
      // One that would push out all others is worth less than they are.
      if (bytes.length > sizeBytes / 8 || bytes.length === 0) return
      if (ring === undefined) {
        ring = Buffer.allocUnsafeSlow(sizeBytes)
        clearWhenIdle(IDLE_MS)
      }
      if (at + bytes.length > sizeBytes) {
        evict(at, sizeBytes)
        at = 0
      }
      const end = at + bytes.length
      evict(at, end)
      ring.set(bytes, at)
      const slot: Slot = { key, encoding, lengthBytes, start: at, end, owner }
      slots.set(key, slot)
      order.push(slot)
      at = end
      addedMs = clock.monotonicMs()
    },
    get: (key) => getMany([key])[0],
    getMany,
    ownerOf: (key) => slots.get(key)?.owner,
    delete: (key) => void slots.delete(key),
    clear,
  }
}
