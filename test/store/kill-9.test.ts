/**
 * A real process is killed at random moments, again and again on one store; what it said was durable must be there.
 * The seed of the moments is printed: `KILL_SEED=123 node --test test/store/kill-9.test.ts` draws the same again.
 */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { equalBytes, hex } from '../../src/base/bytes.ts'
import { systemClock } from '../../src/base/clock.ts'
import type { CorruptBlock } from '../../src/store/block-store.ts'
import { openStore } from '../../src/store/store.ts'
import { runAndKill } from './run-and-kill.ts'
import { sampleBlocks, sampleBytes, seededRandom } from './sample-blocks.ts'
import { tempDir } from './temp-dir.ts'

const WRITER = fileURLToPath(new URL('kill-writer.ts', import.meta.url))
const KILLS = 25

test(`killed ${KILLS} times while it writes, a store has everything it called durable and nothing wrong`, async (t) => {
  const dir = tempDir(t)
  const seed = Number(process.env.KILL_SEED ?? Date.now() % 1_000_000)
  t.diagnostic(`KILL_SEED=${seed}`)
  const random = seededRandom(seed)
  const told: string[] = []
  for (let kill = 0; kill < KILLS; kill++) {
    const afterLines = 1 + Math.floor(random() * 30)
    const spinMs = random() * 10
    told.push(...(await runAndKill([WRITER, dir, String((kill + 1) * 1_000_000)], { afterLines, spinMs })))
    // A kill leaves torn tails now and then; these make sure of one, in the newest pack and in the log.
    if (kill % 5 === 4) {
      const newest = fs.readdirSync(`${dir}/packs`).sort().at(-1)!
      fs.appendFileSync(`${dir}/packs/${newest}`, Buffer.from('MMe1 half of an entry'))
      fs.appendFileSync(`${dir}/records.log`, Buffer.from('MMr1 half of a record'))
    }
    if (kill === 12) fs.rmSync(`${dir}/index`, { recursive: true })
    const lines = kill === KILLS - 1 ? told : told.slice(-40)
    const where = `KILL_SEED=${seed}, kill ${kill + 1}, after ${afterLines} lines and ${spinMs} ms`
    await checkEverything(dir, lines, { hasValues: kill < 12, where })
  }
  assert.ok(told.filter((line) => line.startsWith('blocks')).length > KILLS)
  assert.ok(told.some((line) => line.startsWith('packed')))
})

async function checkEverything(
  dir: string,
  lines: readonly string[],
  { hasValues, where }: { readonly hasValues: boolean; readonly where: string },
): Promise<void> {
  const damage: CorruptBlock[] = []
  const store = await openStore({ dir, clock: systemClock, onCorrupt: (found) => void damage.push(found) })
  const records = new Set<string>()
  for await (const record of store.records.readAll()) records.add(hex(record))
  for (const line of lines) {
    const [kind, first = '', size = ''] = line.split(' ')
    const seed = Number(first)
    if (kind === 'blocks' || kind === 'packed') {
      for (const { cid, bytes } of sampleBlocks(Number(size), kind === 'blocks' ? 3000 : 6000, seed)) {
        const got = await store.blocks.get(cid)
        assert.ok(got !== undefined, `${where}: ${line}: a durable block is missing`)
        assert.ok(equalBytes(got, bytes), `${where}: ${line}: a block is wrong`)
      }
    } else if (kind === 'record') {
      assert.ok(
        records.has(hex(sampleBytes(seed, Number(size)))),
        `${where}: ${line}: a durable record is missing`,
      )
    } else if (kind === 'value' && hasValues) {
      const value = await store.values('kill').get(first)
      assert.ok(
        value !== undefined && equalBytes(value, sampleBytes(seed, Number(size))),
        `${where}: ${line}: a durable value is missing or wrong`,
      )
    }
  }
  assert.deepEqual(damage, [], `${where}: something listed is not whole`)
  await store.close()
}
