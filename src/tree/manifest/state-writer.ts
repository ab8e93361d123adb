/** Notes the states of files (file-state.ts) in the file of states, runs of neighbours with one call. */
import fs from 'node:fs'
import type { StateFacts } from './file-state.ts'
import { FILE_STATE_BYTES, stateFacts, writeFileState } from './file-state.ts'

const RUN = 256

export interface StateWriter {
  add(slot: number, stat: fs.BigIntStats, facts: StateFacts): void
  /**
   * Of the file that is noted in `firstSlot`; what was not vouched for there is not vouched for here.
   * @param names by default as many as are noted there
   */
  addName(slot: number, firstSlot: number, stat: fs.BigIntStats, names?: number): void
  flush(): void
}

export function createStateWriter(fd: number): StateWriter {
  const buffer = Buffer.allocUnsafe(RUN * FILE_STATE_BYTES)
  let first = 0
  let count = 0

  function flush(): void {
    const length = count * FILE_STATE_BYTES
    for (let done = 0; done < length; ) {
      done += fs.writeSync(fd, buffer, done, length - done, first * FILE_STATE_BYTES + done)
    }
    count = 0
  }

  function add(slot: number, stat: fs.BigIntStats, facts: StateFacts): void {
    if (count === RUN || (count > 0 && slot !== first + count)) flush()
    if (count === 0) first = slot
    writeFileState(buffer, count * FILE_STATE_BYTES, stat, facts)
    count += 1
  }

  return {
    add,
    addName(slot, firstSlot, stat, names) {
      flush()
      const state = Buffer.alloc(FILE_STATE_BYTES)
      fs.readSync(fd, state, 0, FILE_STATE_BYTES, firstSlot * FILE_STATE_BYTES)
      if (state.readBigUInt64LE(0) === stat.ino) {
        const facts = stateFacts(state)
        add(slot, stat, { ...facts, names: names ?? facts.names })
      }
    },
    flush,
  }
}
