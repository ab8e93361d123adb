/**
 * Records that wait for another one: for the record before them in their issuer's chain, or for something that gives
 * their issuer a standing in the mesh. Bounded in records and bytes; the oldest leave first, and reconciliation brings
 * them again. Strangers wait in a room of their own, so that they cannot push out anybody known.
 */
import { type Cid, cidKey } from '../../block/cid.ts'
import type { VerifiedRecord } from '../record.ts'

export interface WaitingRoom {
  has(id: Cid): boolean
  /** @param what the id or the PeerId that it waits for */
  add(record: VerifiedRecord, what: string): void
  /** Takes out those that wait for `what`. */
  take(what: string): VerifiedRecord[]
  /** Drops the oldest until the bounds hold. */
  trim(): void
  readonly records: number
  readonly bytes: number
}

export function createWaitingRoom(limits: { maxRecords: number; maxBytes: number }): WaitingRoom {
  const byId = new Map<string, { record: VerifiedRecord; what: string }>()
  const byWhat = new Map<string, Set<string>>()
  let bytes = 0

  function remove(key: string): VerifiedRecord | undefined {
    const entry = byId.get(key)
    if (entry === undefined) return undefined
    byId.delete(key)
    bytes -= entry.record.bytes.length
    const keys = byWhat.get(entry.what)
    keys?.delete(key)
    if (keys?.size === 0) byWhat.delete(entry.what)
    return entry.record
  }

  return {
    has: (id) => byId.has(cidKey(id)),
    add(record, what) {
      const key = cidKey(record.id)
      if (byId.has(key)) return
      byId.set(key, { record, what })
      bytes += record.bytes.length
      const keys = byWhat.get(what)
      if (keys === undefined) byWhat.set(what, new Set([key]))
      else keys.add(key)
    },
    take(what) {
      return [...(byWhat.get(what) ?? [])].flatMap((key) => remove(key) ?? [])
    },
    trim() {
      while (byId.size > limits.maxRecords || bytes > limits.maxBytes) {
        remove(byId.keys().next().value as string)
      }
    },
    get records() {
      return byId.size
    },
    get bytes() {
      return bytes
    },
  }
}
