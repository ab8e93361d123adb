/** The scrub reads every pack at its rate, finds what has rotted, and reports it once. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import type { CorruptBlock } from '../../src/store/block-store.ts'
import type { ScrubOptions } from '../../src/store/collect/scrub.ts'
import type { BackedPosition } from '../../src/store/collect/scrub-backings.ts'
import type { ScrubReport } from '../../src/store/collect/scrub-report.ts'
import { loadOwners } from '../../src/store/owners.ts'
import { openPackStore } from '../../src/store/pack-store.ts'
import { createPackIndex } from '../../src/store/packs/pack-index.ts'
import type { Store } from '../../src/store/store.ts'
import { openStore } from '../../src/store/store.ts'
import { backedFile } from './block-backings.conformance.ts'
import { sampleBlocks } from './sample-blocks.ts'
import { newMachine } from './simulated-machine.ts'
import { tempDir } from './temp-dir.ts'

const BLOCKS = sampleBlocks(200, 4000)

async function setUp() {
  const machine = await newMachine()
  const clock = new VirtualClock()
  const damage: CorruptBlock[] = []
  const blocks = await openPackStore(
    {
      files: machine.disk,
      index: await createPackIndex(machine.index),
      owners: await loadOwners(machine.index),
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

/** Two folders of three files each, with 12 blocks, outside of a real store. */
async function setUpBackings(t: TestContext) {
  const damage: CorruptBlock[] = []
  const events: string[] = []
  const opened: Store[] = []
  // Before its folder is removed.
  t.after(() => opened[0]?.close())
  const store = await openStore({
    dir: tempDir(t),
    clock: systemClock,
    log: (event) => void events.push(event),
    onCorrupt: (found) => void damage.push(found),
  })
  opened.push(store)
  await store.blocks.put(BLOCKS.slice(100, 110))
  const roots = [tempDir(t), tempDir(t)] as const
  for (const [n, root] of roots.entries()) {
    const id = await store.blocks.backings.create({
      purpose: n === 0 ? 'check-out' : 'in-place',
      label: 't',
      path: Buffer.from(root),
    })
    const files = [0, 1, 2].map((at) => {
      const blocks = BLOCKS.slice(12 * n + 4 * at, 12 * n + 4 * at + 4)
      fs.writeFileSync(path.join(root, `f${at}`), Buffer.concat(blocks.map(({ bytes }) => bytes)))
      return backedFile(root, `f${at}`, blocks)
    })
    await store.blocks.backings.commit(id, files)
  }
  const missing = async (): Promise<number[]> => {
    const here = await store.blocks.has(BLOCKS.slice(0, 24).map(({ cid }) => cid))
    return here.flatMap((is, i) => (is ? [] : [i]))
  }
  const flip = (root: string, name: string, at: number): void => {
    const bytes = fs.readFileSync(path.join(root, name))
    bytes[at]! ^= 1
    fs.writeFileSync(path.join(root, name), bytes)
  }
  return { store, damage, events, roots, missing, flip }
}

test('blocks that rest in files outside of the store are read too: what was changed or removed is missing, once', async (t) => {
  const { store, damage, roots, missing, flip } = await setUpBackings(t)
  const rate = { bytesPerSecond: 1e9 }
  const sound = await store.scrub(rate)
  assert.deepEqual([sound.blocks, sound.backings, sound.damagedBlocks], [34, 2, 0])
  assert.ok(sound.bytes >= BLOCKS.slice(0, 24).reduce((sum, { bytes }) => sum + bytes.length, 0))
  // One byte of a check-out rots; a file of a source is removed.
  flip(roots[0], 'f1', BLOCKS[4]!.bytes.length + 3)
  fs.unlinkSync(path.join(roots[1], 'f2'))
  const report = await store.scrub(rate)
  assert.deepEqual([report.damagedBlocks, report.unreadableBackings], [5, 0])
  assert.deepEqual(await missing(), [5, 20, 21, 22, 23])
  assert.equal(damage.length, 5)
  assert.match(String(damage[0]?.path), /f1$/)
  assert.equal((await store.scrub(rate)).damagedBlocks, 0)
  assert.equal(damage.length, 5)
})

test('a folder of which nothing is there is passed over and told, and its blocks are back when it is', async (t) => {
  const { store, damage, events, roots, missing } = await setUpBackings(t)
  for (const root of roots) {
    fs.renameSync(root, `${root}-away`)
    // As the place of a disk that is not mounted.
    fs.mkdirSync(root)
  }
  const report = await store.scrub({ bytesPerSecond: 1e9 })
  assert.deepEqual([report.backings, report.unreadableBackings, report.damagedBlocks], [0, 2, 0])
  assert.equal(events.filter((event) => event === 'store.scrub.absent').length, 2)
  for (const root of roots) {
    fs.rmdirSync(root)
    fs.renameSync(`${root}-away`, root)
  }
  assert.deepEqual([await missing(), damage.length], [[], 0])
  assert.equal((await store.scrub({ bytesPerSecond: 1e9 })).blocks, 34)
})

test('a scrub that was ended among the files goes on with the file it was at', async (t) => {
  const { store } = await setUpBackings(t)
  const positions: BackedPosition[] = []
  await store.scrub({ bytesPerSecond: 1e9, onFile: async (position) => void positions.push(position) })
  const [first] = positions
  assert.ok(first !== undefined && positions.length >= 3)
  const rest = await store.scrub({ bytesPerSecond: 1e9, fromFile: first })
  assert.deepEqual([rest.packs, rest.blocks], [0, 4 + 12], 'its last file, and the other folder')
  const none = await store.scrub({ bytesPerSecond: 1e9, fromFile: positions.at(-1)! })
  assert.equal(none.blocks, 0)
})
