/**
 * The names that a check-out wrote first of each hard-link group. Nothing says how many names a group has, so each may
 * go on to the end: what was not met for a while waits in temporary files, in a table that is looked up by a digest of
 * the group's key and grows by doubling. Memory has a bound; a group that comes back from there costs a read or two.
 */
import fs from 'node:fs'
import { utf8 } from '../../base/bytes.ts'
import { blake3, DIGEST_BYTES } from '../../block/hash.ts'
import type { RecordWindow } from '../spool/record-bytes.ts'
import { createRecordReader, createRecordWriter, openUnnamedFile } from '../spool/record-bytes.ts'

export interface FirstName {
  readonly path: Buffer
  readonly slot: number
  /** Of the group, so far. */
  readonly names: number
}

export interface FirstNames {
  /** The first name of the group, or undefined when this is it. */
  meet(group: string, path: Buffer, slot: number): FirstName | undefined
  /** All groups, once nothing is met any more. */
  all(): Generator<FirstName, void, undefined>
  close(): void
}

interface State {
  readonly path: Buffer
  readonly slot: number
  names: number
  /** Where it was put aside before: only the count is new. */
  readonly place?: number
}

const MAX_HELD = 16 * 1024
const FIRST_SLOTS = 64 * 1024

export interface FirstNamesOptions {
  readonly maxHeld?: number
  /** Of the table: a power of two. */
  readonly firstSlots?: number
}

export function createFirstNames(
  tempDir: string,
  { maxHeld = MAX_HELD, firstSlots = FIRST_SLOTS }: FirstNamesOptions = {},
): FirstNames {
  /** By digest, one character a byte; in the order in which they were met last, more or less. */
  const held = new Map<string, State>()
  let aside: Aside | undefined

  function putAside(count: number): void {
    aside ??= createAside(tempDir, firstSlots)
    let left = count
    for (const [key, state] of held) {
      if (left-- === 0) break
      aside.put(key, state)
      held.delete(key)
    }
    aside.flush()
  }

  return {
    meet(group, path, slot) {
      const key = Buffer.from(blake3.digest(utf8(group))).toString('latin1')
      const known = held.get(key) ?? aside?.get(key)
      const state: State = known ?? { path, slot, names: 0 }
      state.names += 1
      if (!held.has(key)) {
        // Half of them: the files are written in large pieces, and what is met again soon is still here.
        if (held.size >= maxHeld) putAside(Math.ceil(maxHeld / 2))
        held.set(key, state)
      }
      return known
    },
    *all() {
      if (aside === undefined) {
        yield* held.values()
        return
      }
      putAside(held.size)
      yield* aside.all()
    },
    close: () => aside?.close(),
  }
}

interface Aside {
  put(key: string, state: State): void
  /** What was put becomes readable. */
  flush(): void
  get(key: string): State | undefined
  all(): Generator<FirstName, void, undefined>
  close(): void
}

/** Digest of the key; where the record starts, and 1: zeros are a free slot. */
const SLOT_BYTES = DIGEST_BYTES + 8
/** Slots that one read brings: with half of them free, nearly all that a look-up needs. */
const PROBED_SLOTS = 8
const COPIED_SLOTS = 1024
const WINDOW_BYTES = 4 * 1024

function createAside(tempDir: string, firstSlots: number): Aside {
  const recordsFd = openUnnamedFile(tempDir, 'first-names')
  const records = createRecordWriter(recordsFd)
  const window: RecordWindow = { buffer: Buffer.allocUnsafeSlow(WINDOW_BYTES) }
  const probed = Buffer.alloc(PROBED_SLOTS * SLOT_BYTES)
  const count = Buffer.alloc(4)
  let slots = firstSlots
  let tableFd = openUnnamedFile(tempDir, 'first-names-table')
  let used = 0

  /** The slot that has the digest, or the free one where it belongs. */
  function find(digest: Buffer): { readonly slot: number; readonly place: number | undefined } {
    let slot = digest.readUInt32LE(0) & (slots - 1)
    for (;;) {
      const some = Math.min(PROBED_SLOTS, slots - slot)
      readFully(tableFd, probed, some * SLOT_BYTES, slot * SLOT_BYTES)
      for (let index = 0; index < some; index++) {
        const at = index * SLOT_BYTES
        const place = probed.readDoubleLE(at + DIGEST_BYTES)
        if (place === 0) return { slot: slot + index, place: undefined }
        if (digest.compare(probed, at, at + DIGEST_BYTES) === 0)
          return { slot: slot + index, place: place - 1 }
      }
      slot = (slot + some) & (slots - 1)
    }
  }

  function insert(entry: Buffer): void {
    const { slot } = find(entry.subarray(0, DIGEST_BYTES))
    fs.writeSync(tableFd, entry, 0, SLOT_BYTES, slot * SLOT_BYTES)
  }

  function grow(): void {
    const oldFd = tableFd
    const oldSlots = slots
    tableFd = openUnnamedFile(tempDir, 'first-names-table')
    slots *= 2
    const some = Buffer.alloc(COPIED_SLOTS * SLOT_BYTES)
    for (let slot = 0; slot < oldSlots; slot += COPIED_SLOTS) {
      const bytes = Math.min(COPIED_SLOTS, oldSlots - slot) * SLOT_BYTES
      readFully(oldFd, some, bytes, slot * SLOT_BYTES)
      for (let at = 0; at < bytes; at += SLOT_BYTES) {
        if (some.readDoubleLE(at + DIGEST_BYTES) !== 0) insert(some.subarray(at, at + SLOT_BYTES))
      }
    }
    fs.closeSync(oldFd)
  }

  function readRecord(place: number): FirstName {
    const from = createRecordReader(recordsFd, place, records.position, window)
    return { names: from.u32(), slot: from.u32(), path: Buffer.from(from.bytes(from.u16())) }
  }

  return {
    put(key, { path, slot, names, place }) {
      if (place !== undefined) {
        count.writeUInt32LE(names)
        records.patch(place, count)
        return
      }
      if (2 * (used + 1) > slots) grow()
      used += 1
      const entry = Buffer.alloc(SLOT_BYTES)
      entry.write(key, 'latin1')
      entry.writeDoubleLE(records.position + 1, DIGEST_BYTES)
      insert(entry)
      records.u32(names)
      records.u32(slot)
      records.u16(path.length)
      records.bytes(path)
    },
    flush: () => records.flush(),
    get(key) {
      const { place } = find(Buffer.from(key, 'latin1'))
      return place === undefined ? undefined : { ...readRecord(place), place }
    },
    *all() {
      const from = createRecordReader(recordsFd, 0, records.position)
      while (!from.isAtEnd) {
        yield { names: from.u32(), slot: from.u32(), path: Buffer.from(from.bytes(from.u16())) }
      }
    },
    close() {
      fs.closeSync(recordsFd)
      fs.closeSync(tableFd)
    },
  }
}

/** What lies behind the end of the file reads as zeros. */
function readFully(fd: number, into: Buffer, lengthBytes: number, position: number): void {
  let done = 0
  while (done < lengthBytes) {
    const count = fs.readSync(fd, into, done, lengthBytes - done, position + done)
    if (count === 0) break
    done += count
  }
  into.fill(0, done, lengthBytes)
}
