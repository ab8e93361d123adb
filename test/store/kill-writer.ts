/**
 * The victim of kill-9.test.ts: writes blocks, packs, records and values without pause, and prints a line for each
 * group once the store has called it durable. Arguments: folder, first seed.
 */
import fs from 'node:fs'
import { systemClock } from '../../src/base/clock.ts'
import { cidToKeyBytes } from '../../src/block/cid.ts'
import { createPackAppender } from '../../src/store/packs/pack-appender.ts'
import { openStore } from '../../src/store/store.ts'
import { sampleBlocks, sampleBytes } from './sample-blocks.ts'

const [dir = '', firstSeed = '0'] = process.argv.slice(2)
const store = await openStore(
  { dir, clock: systemClock },
  { maxPackBytes: 200_000, autoFlushBytes: 30_000, autoFlushMs: 5, reserveBytes: 0 },
)

/** To the pipe before anything else happens: a promise that is only in a buffer of this process does not count. */
function tell(line: string): void {
  fs.writeSync(1, `${line}\n`)
}

tell('open')

async function putBlocks(seed: number): Promise<void> {
  const blocks = sampleBlocks(8, 3000, seed)
  await store.blocks.put(blocks)
  await store.blocks.flush()
  tell(`blocks ${seed} 8`)
}

async function packBlocks(seed: number): Promise<void> {
  const { packId, path } = await store.blocks.reservePack()
  const appender = createPackAppender(path, packId, { bufferBytes: 4096 })
  for (let group = 0; group < 3; group++) {
    const first = seed + 100 + group * 4
    const entries = sampleBlocks(4, 6000, first).map(({ cid, bytes }) =>
      appender.hold(cidToKeyBytes(cid), bytes),
    )
    appender.flush()
    await store.blocks.commitPacked(packId, entries)
    tell(`packed ${first} 4`)
  }
  appender.close()
}

for (let seed = Number(firstSeed); ; seed += 1000) {
  await Promise.all([
    putBlocks(seed),
    putBlocks(seed + 50),
    packBlocks(seed),
    store.records.append([sampleBytes(seed, 300)]).then(() => tell(`record ${seed} 300`)),
    store
      .values('kill')
      .put(String(seed), sampleBytes(seed, 40), { sync: true })
      .then(() => tell(`value ${seed} 40`)),
  ])
}
