/**
 * The victim of kill-9-collection.test.ts: stores snapshots that share blocks, registers each durably, lets old ones go
 * and collects without pause, while an import is under way. Prints a line for each step. Arguments: folder, first number.
 */
import fs from 'node:fs'
import { systemClock } from '../../src/base/clock.ts'
import { cidToKeyBytes } from '../../src/block/cid.ts'
import { createPackAppender } from '../../src/store/packs/pack-appender.ts'
import { openStore } from '../../src/store/store.ts'
import { COLLECT_OPTIONS, registered, snapshotNumber } from './numbered-snapshots.ts'

const KEEP = 3
const [dir = '', first = '0'] = process.argv.slice(2)
const store = await openStore({ dir, clock: systemClock }, COLLECT_OPTIONS)
const complete = store.values('complete')

function tell(line: string): void {
  fs.writeSync(1, `${line}\n`)
}

async function collectForEver(): Promise<never> {
  for (;;) {
    const { freedBytes } = await store.collect({
      async choose() {
        const numbers = await registered(store)
        for (const number of numbers.slice(0, -KEEP))
          await complete.delete(String(number).padStart(9, '0'), { sync: true })
        return { whole: numbers.slice(-KEEP).map((number) => snapshotNumber(number).cid), partial: [] }
      },
    })
    tell(`collected ${freedBytes}`)
  }
}

async function importForEver(): Promise<never> {
  for (let number = Number(first); ; number++) {
    using _lease = store.blocks.lease({ purpose: 'import', isWriter: true })
    const { all } = snapshotNumber(number)
    const half = all.length >> 1
    // One half as the main thread stores it, the other as a thread of an import does: asked for, packed, committed.
    await store.blocks.put(all.slice(0, half))
    const rest = all.slice(half)
    const isHere = await store.blocks.has(rest.map(({ cid }) => cid))
    const wanted = rest.filter((_, i) => isHere[i] !== true)
    const { packId, path } = await store.blocks.reservePack()
    const appender = createPackAppender(path, packId, { bufferBytes: 4096 })
    const entries = wanted.map(({ cid, bytes }) => appender.append(cidToKeyBytes(cid), bytes))
    appender.sync()
    await store.blocks.commitPacked(packId, entries)
    appender.close()
    await store.blocks.releasePack(packId)
    await store.blocks.flush()
    await complete.put(String(number).padStart(9, '0'), Uint8Array.of(1), { sync: true })
    tell(`complete ${number}`)
  }
}

tell('open')
await Promise.all([collectForEver(), importForEver()])
