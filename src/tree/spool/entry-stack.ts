/**
 * The entries of the directories that are open while a tree is built bottom-up. When they grow over the bound, the
 * largest directory's go to a temporary file until it is closed: a directory of a million entries weighs no more than
 * one of a few thousand, and small files that lie in their entries weigh what they have.
 */
import type { Entry } from '../../dag/entry.ts'
import { decodeEntry, encodeEntry } from '../../dag/entry.ts'
import { entryWeight } from '../../dag/entry-weight.ts'
import { createRecordReader, createRecordWriter } from './record-bytes.ts'

/** By weight: small files count as several. */
const MAX_HELD_ENTRIES = 8 * 1024

export interface EntryStack {
  open(): void
  add(entry: Entry): void
  /** Closes the innermost directory: its entries in the order added. To be read to the end before the next call. */
  close(): Iterable<Entry>
}

interface OpenEntries {
  held: Entry[]
  weight: number
  spilled: { readonly startByte: number; readonly endByte: number }[]
}

export function createEntryStack(spillFd: number, maxHeldEntries = MAX_HELD_ENTRIES): EntryStack {
  const spill = createRecordWriter(spillFd)
  const stack: OpenEntries[] = []
  let heldWeight = 0

  function spillLargest(): void {
    const largest = stack.reduce((a, b) => (b.weight > a.weight ? b : a))
    const startByte = spill.position
    for (const entry of largest.held) {
      const bytes = encodeEntry(entry)
      spill.u32(bytes.length)
      spill.bytes(bytes)
    }
    spill.flush()
    largest.spilled.push({ startByte, endByte: spill.position })
    heldWeight -= largest.weight
    largest.held = []
    largest.weight = 0
  }

  return {
    open: () => void stack.push({ held: [], weight: 0, spilled: [] }),
    add(entry) {
      const top = stack.at(-1)!
      const weight = entryWeight(entry)
      top.held.push(entry)
      top.weight += weight
      heldWeight += weight
      if (heldWeight > maxHeldEntries) spillLargest()
    },
    *close() {
      const { held, weight, spilled } = stack.pop()!
      heldWeight -= weight
      for (const { startByte, endByte } of spilled) {
        const reader = createRecordReader(spillFd, startByte, endByte)
        while (!reader.isAtEnd) yield decodeEntry(reader.bytes(reader.u32()))
      }
      yield* held
      // Nothing of an open directory lies in the file: start it over.
      if (stack.every((each) => each.spilled.length === 0)) spill.rewind(0)
    },
  }
}
