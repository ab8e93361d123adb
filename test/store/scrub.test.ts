/** The scrub reads every pack at its rate, finds what has rotted, and reports it once. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import type { CorruptBlock } from '../../src/store/block-store.ts'
import { createPackIndex } from '../../src/store/pack-index.ts'
import { openPackStore } from '../../src/store/pack-store.ts'
import type { ScrubOptions, ScrubReport } from '../../src/store/scrub.ts'
import { sampleBlocks } from './sample-blocks.ts'
import { newMachine } from './simulated-machine.ts'

const BLOCKS = sampleBlocks(200, 4000)

async function setUp() {
  const machine = await newMachine()
  const clock = new VirtualClock()
  const damage: CorruptBlock[] = []
  const blocks = await openPackStore(
    {
      files: machine.disk,
      index: await createPackIndex(machine.index),
      clock,
      log: () => undefined,
      onCorrupt: (found) => void damage.push(found),
    },
    { dir: '/s/packs', maxPackBytes: 60_000, reserveBytes: 0 },
  )
  for (let i = 0; i < BLOCKS.length; i += 5) await blocks.put(BLOCKS.slice(i, i + 5))
  await blocks.flush()

  /** Runs a scrub, moving the clock to whatever it waits for. */
  async function scrub(options: ScrubOptions): Promise<ScrubReport> {
    let isDone = false
    const report = blocks.scrub(options).finally(() => {
      isDone = true
    })
    // Awaited below.
    report.catch(() => undefined)
    while (!isDone) {
      // Everything but the clock happens in turns of the event loop.
      await new Promise((resolve) => setImmediate(resolve))
      const nextMs = clock.nextMs()
      if (nextMs !== undefined) clock.advanceTo(nextMs)
    }
    return report
  }

  return { machine, clock, damage, blocks, scrub }
}

test('a scrub reads every block, at the rate that it is given', async () => {
  const { clock, damage, blocks, scrub } = await setUp()
  const startMs = clock.monotonicMs()
  const report = await scrub({ bytesPerSecond: 100_000 })
  const { packBytes, packs } = blocks.stats()
  assert.equal(report.blocks, BLOCKS.length)
  assert.equal(report.packs, packs)
  assert.ok(Math.abs(report.bytes - packBytes) <= packs * 32)
  const seconds = (clock.monotonicMs() - startMs) / 1000
  assert.ok(Math.abs(seconds - packBytes / 100_000) < 0.1, `${packBytes} bytes took ${seconds} s`)
  assert.equal(damage.length, 0)
})

test('flipped bits are found: in data, in the first and the last block of a pack, once each', async () => {
  const { machine, damage, blocks, scrub } = await setUp()
  const places = await blocks.locate(BLOCKS.map(({ cid }) => cid))
  const lastOfPack = places.findIndex((place, i) => places[i + 1]?.path !== place?.path)
  const bad = [0, 77, lastOfPack, BLOCKS.length - 1]
  for (const i of bad) {
    const { path, offset, storedBytes } = places[i]!
    machine.disk.bytesOf(path)[offset + Math.floor(storedBytes / 2)]! ^= 4
  }
  const report = await scrub({ bytesPerSecond: 1e9 })
  assert.equal(report.damagedBlocks, bad.length)
  assert.deepEqual(
    damage.map(({ cid }) => cid?.toString()).toSorted(),
    bad.map((i) => BLOCKS[i]!.cid.toString()).toSorted(),
  )
  const here = await blocks.has(BLOCKS.map(({ cid }) => cid))
  assert.deepEqual(
    here.flatMap((is, i) => (is ? [] : [i])),
    bad.toSorted((a, b) => a - b),
  )
  damage.length = 0
  // Put again, as a fetch does; the second scrub has nothing to say.
  await blocks.put(bad.map((i) => BLOCKS[i]!))
  assert.equal((await scrub({ bytesPerSecond: 1e9 })).damagedBlocks, 0)
  assert.equal(damage.length, 0)
})

test('a damaged entry header costs no block: its bytes are found by the index', async () => {
  const { machine, damage, blocks, scrub } = await setUp()
  const [place] = await blocks.locate([BLOCKS[30]!.cid])
  machine.disk.bytesOf(place!.path)[place!.offset - 20]! ^= 1
  assert.equal((await scrub({ bytesPerSecond: 1e9 })).damagedBlocks, 0)
  assert.equal(damage.length, 0)
  assert.deepEqual(await blocks.get(BLOCKS[30]!.cid), BLOCKS[30]!.bytes)
})

test('a scrub that was ended goes on behind the last pack that it finished', async () => {
  const { blocks, scrub } = await setUp()
  const controller = new AbortController()
  const finished: number[] = []
  await assert.rejects(
    scrub({
      bytesPerSecond: 1e6,
      signal: controller.signal,
      async onPack(packId) {
        finished.push(packId)
        if (finished.length === 3) controller.abort(new Error('enough'))
      },
    }),
    /enough/,
  )
  const rest: number[] = []
  await scrub({
    bytesPerSecond: 1e6,
    fromPack: finished.at(-1)! + 1,
    onPack: async (packId) => void rest.push(packId),
  })
  assert.equal(finished.length + rest.length, blocks.stats().packs)
  assert.equal(new Set([...finished, ...rest]).size, blocks.stats().packs)
})
