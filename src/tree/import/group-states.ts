/**
 * What the members of a hard-link group share, from the first to the last that the builder meets. Groups whose members
 * lie far apart, as in a directory of backups that link to each other, can be as many as the files: all but the latest
 * wait in temporary files, so that memory has a bound.
 */
import fs from 'node:fs'
import type { LinkableEntry } from '../../dag/entry.ts'
import { decodeEntry, encodeEntry } from '../../dag/entry.ts'
import { LINK_BYTES } from '../../dag/limits.ts'
import { createRecordReader, createRecordWriter, openUnnamedFile } from '../spool/record-bytes.ts'
import type { LinkGroup } from '../spool/spool.ts'

/** A small file has its content in its entry: together they are 16 MiB at most, as the chunker is by default. */
const MAX_HELD = 4 * 1024

export interface GroupState {
  readonly link: Uint8Array
  /** Members that are still to be met. */
  missing: number
  /** As it was captured, whatever its name; absent when the first member was not. */
  first?: LinkableEntry
}

export interface GroupStates {
  /**
   * The state of the group that a member is met of; made when it is the first, forgotten when it is the last. It may be
   * changed until the next call.
   */
  meet(group: LinkGroup, make: () => GroupState): GroupState
}

export function createGroupStates(tempDir: string, maxHeld = MAX_HELD): GroupStates {
  /** The oldest first. */
  const held = new Map<LinkGroup, GroupState>()
  let aside: ReturnType<typeof createAside> | undefined

  /** Half of them at a time: the file is written in large pieces, and what is met again soon is still here. */
  function putAside(): void {
    aside ??= createAside(tempDir)
    let left = Math.ceil(held.size / 2)
    for (const [group, state] of held) {
      if (left-- === 0) break
      aside.put(group, state)
      held.delete(group)
    }
    aside.flush()
  }

  return {
    meet(group, make) {
      let state = held.get(group)
      if (state === undefined) {
        if (held.size >= maxHeld) putAside()
        state = aside?.get(group) ?? make()
        held.set(group, state)
      }
      state.missing -= 1
      if (state.missing === 0) held.delete(group)
      return state
    },
  }
}

/** Records in one file; in another, for each group, where its latest record starts and ends: zeros where it has none. */
function createAside(tempDir: string): {
  put(group: LinkGroup, state: GroupState): void
  flush(): void
  get(group: LinkGroup): GroupState | undefined
} {
  const fd = openUnnamedFile(tempDir, 'groups')
  const endsFd = openUnnamedFile(tempDir, 'group-ends')
  const records = createRecordWriter(fd)
  const place = Buffer.alloc(16)
  return {
    put(group, { link, missing, first }) {
      const startByte = records.position
      records.bytes(link)
      records.u32(missing)
      if (first !== undefined) records.bytes(encodeEntry(first))
      place.writeDoubleLE(startByte, 0)
      place.writeDoubleLE(records.position, 8)
      fs.writeSync(endsFd, place, 0, place.length, group * place.length)
    },
    flush: () => records.flush(),
    get(group) {
      place.fill(0)
      fs.readSync(endsFd, place, 0, place.length, group * place.length)
      const endByte = place.readDoubleLE(8)
      if (endByte === 0) return undefined
      const startByte = place.readDoubleLE(0)
      const reader = createRecordReader(fd, startByte, endByte)
      const state = { link: reader.bytes(LINK_BYTES), missing: reader.u32() }
      if (reader.isAtEnd) return state
      return {
        ...state,
        first: decodeEntry(reader.bytes(endByte - startByte - LINK_BYTES - 4)) as LinkableEntry,
      }
    },
  }
}
