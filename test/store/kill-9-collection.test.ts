/** kill -9 on the real disk, again and again, in the middle of collections: what is registered as complete is whole. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../../src/base/clock.ts'
import type { CorruptBlock } from '../../src/store/block-store.ts'
import { openStore } from '../../src/store/store.ts'
import { COLLECT_OPTIONS, registered, snapshotNumber } from './numbered-snapshots.ts'
import { runAndKill } from './run-and-kill.ts'
import { seededRandom } from './sample-blocks.ts'
import { tempDir } from './temp-dir.ts'

const WRITER = fileURLToPath(new URL('collect-writer.ts', import.meta.url))
const KILLS = 10

test(`killed ${KILLS} times while it collects, a store has every registered snapshot whole, and does not grow`, async (t) => {
  const dir = tempDir(t)
  const seed = Number(process.env.KILL_SEED ?? Date.now() % 1_000_000)
  t.diagnostic(`KILL_SEED=${seed}`)
  const random = seededRandom(seed)
  const lines: string[] = []
  for (let kill = 0; kill < KILLS; kill++) {
    const where = `KILL_SEED=${seed}, kill ${kill + 1}`
    const told = await runAndKill([WRITER, dir, String(kill * 1000)], {
      afterLines: 2 + Math.floor(random() * 20),
      spinMs: random() * 10,
    })
    lines.push(...told)
    const damage: CorruptBlock[] = []
    const store = await openStore(
      { dir, clock: systemClock, onCorrupt: (found) => void damage.push(found) },
      COLLECT_OPTIONS,
    )
    const numbers = await registered(store)
    const last = told.findLast((line) => line.startsWith('complete'))
    if (last !== undefined)
      assert.ok(numbers.includes(Number(last.split(' ')[1])), `${where}: ${last} is forgotten`)
    for (const number of numbers) {
      for (const [i, { cid, bytes }] of snapshotNumber(number).all.entries()) {
        assert.deepEqual(
          await store.blocks.get(cid),
          bytes,
          `${where}: block ${i} of snapshot ${number} is lost`,
        )
      }
    }
    assert.deepEqual(damage, [], where)
    await store.collect({
      choose: () => ({ whole: numbers.map((number) => snapshotNumber(number).cid), partial: [] }),
    })
    const diskBytes = fs
      .readdirSync(`${dir}/packs`)
      .reduce((sum, name) => sum + fs.statSync(`${dir}/packs/${name}`).size, 0)
    assert.ok(diskBytes < 700_000, `${where}: ${diskBytes} bytes for ${numbers.length} snapshots`)
    await store.close()
  }
  assert.ok(lines.some((line) => line.startsWith('collected')))
})
