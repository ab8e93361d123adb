import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import fs from 'node:fs'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { utf8 } from '../../src/base/bytes.ts'
import { systemClock } from '../../src/base/clock.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import type { Block } from '../../src/block/block.ts'
import { cidToKeyBytes } from '../../src/block/cid.ts'
import type { CorruptBlock } from '../../src/store/block-store.ts'
import { createPackAppender } from '../../src/store/packs/pack-appender.ts'
import type { StoreOptions } from '../../src/store/store.ts'
import { openStore } from '../../src/store/store.ts'
import { readPlace } from './read-place.ts'
import { sampleBlock, sampleBlocks } from './sample-blocks.ts'
import { tempDir } from './temp-dir.ts'

function opener(t: TestContext, options: StoreOptions = {}) {
  const dir = tempDir(t)
  const damage: CorruptBlock[] = []
  const events: string[] = []
  const open = () =>
    openStore(
      {
        dir,
        clock: systemClock,
        log: (event) => void events.push(event),
        onCorrupt: (found) => void damage.push(found),
      },
      options,
    )
  return { dir, damage, events, open, packs: () => fs.readdirSync(`${dir}/packs`).sort() }
}

const cids = (blocks: readonly Block[]) => blocks.map(({ cid }) => cid)

/** A closed store with `blocks` in one pack. */
async function filled(t: TestContext, blocks: readonly Block[]) {
  const opened = opener(t)
  const store = await opened.open()
  await store.blocks.put(blocks)
  await store.blocks.flush()
  const places = (await store.blocks.locate(cids(blocks))).map((place) => place!)
  for (const [i, place] of places.entries()) assert.deepEqual(readPlace(place), blocks[i]!.bytes)
  await store.close()
  return { ...opened, pack: places[0]!.path, places }
}

function flipBit(path: string, at: number): void {
  const bytes = fs.readFileSync(path)
  bytes[at]! ^= 4
  fs.writeFileSync(path, bytes)
}

test('blocks, records and values are there again after a restart, and one pack goes on', async (t) => {
  const { open, packs, damage } = opener(t)
  const blocks = sampleBlocks(30)
  for (let run = 0; run < 3; run++) {
    const store = await open()
    await store.blocks.put(blocks.slice(run * 10, run * 10 + 10))
    await store.records.append([utf8(`record ${run}`)])
    await store.values('runs').put(String(run), utf8('done'), { sync: true })
    assert.equal(store.stats().blocks, run * 10 + 10)
    await store.close()
  }
  const store = await open()
  for (const { cid, bytes } of blocks) assert.deepEqual(await store.blocks.get(cid), bytes)
  const records = []
  for await (const record of store.records.readAll()) records.push(new TextDecoder().decode(record))
  assert.deepEqual(records, ['record 0', 'record 1', 'record 2'])
  assert.ok(await store.values('runs').get('2'))
  assert.deepEqual(packs(), ['00000001.pack'])
  assert.deepEqual(damage, [])
  await store.close()
})

test('a duplicate takes no space, within a call, across calls and across restarts', async (t) => {
  const { open } = opener(t)
  const block = sampleBlock(1)
  let store = await open()
  await store.blocks.put([block, block])
  await store.blocks.put([block])
  await store.blocks.flush()
  await store.blocks.put([block])
  const { packBytes } = store.stats()
  await store.close()
  store = await open()
  await store.blocks.put([block])
  assert.equal(store.stats().packBytes, packBytes)
  assert.equal(packBytes, 32 + 52 + block.bytes.length)
  await store.close()
})

test('packs are rotated at their size, and all of them are read through few open files', async (t) => {
  const { open, packs } = opener(t, { maxPackBytes: 1 })
  const store = await open()
  const blocks = sampleBlocks(200)
  for (const block of blocks) await store.blocks.put([block])
  await store.blocks.flush()
  assert.equal(packs().length, 200)
  await Promise.all(
    blocks.map(async ({ cid, bytes }) => assert.deepEqual(await store.blocks.get(cid), bytes)),
  )
  const openPacks = fs.readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`).endsWith('.pack')
    } catch {
      return false
    }
  })
  for (const { cid, bytes } of blocks) assert.deepEqual(await store.blocks.get(cid), bytes)
  assert.ok(openPacks.length <= 201, String(openPacks.length))
  await store.close()
})

test('what was put is flushed without being asked once it is old enough', async (t) => {
  const dir = tempDir(t)
  const clock = new VirtualClock()
  const store = await openStore({ dir, clock }, { autoFlushMs: 500 })
  const block = sampleBlock(1)
  await store.blocks.put([block])
  clock.advanceTo(clock.nowMs() + 499)
  const before = fs.readFileSync(`${dir}/packs/00000001.pack`).length
  assert.ok(before > 32, 'it is in the page cache at once')
  assert.equal(clock.nextMs() !== undefined, true)
  clock.advanceTo(clock.nowMs() + 1)
  assert.equal(clock.nextMs(), undefined)
  await store.blocks.flush()
  await store.close()
})

test('a second opener is refused and told the pid, in this process and in another', async (t) => {
  const { dir, open } = opener(t)
  const store = await open()
  await assert.rejects(open(), { code: 'busy', facts: { path: `${dir}/lock`, pid: process.pid } })
  const script = `
    import { openStore } from ${JSON.stringify(new URL('../../src/store/store.ts', import.meta.url).href)}
    import { systemClock } from ${JSON.stringify(new URL('../../src/base/clock.ts', import.meta.url).href)}
    await openStore({ dir: ${JSON.stringify(dir)}, clock: systemClock }).catch((error) => console.log(error.message))`
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
  assert.match(output, new RegExp(`in use by process ${process.pid}`))
  await store.close()
  await (await open()).close()
})

test('the lock of a process that was killed holds nobody up', async (t) => {
  const { dir, open } = opener(t)
  const script = `
    import { openStore } from ${JSON.stringify(new URL('../../src/store/store.ts', import.meta.url).href)}
    import { systemClock } from ${JSON.stringify(new URL('../../src/base/clock.ts', import.meta.url).href)}
    await openStore({ dir: ${JSON.stringify(dir)}, clock: systemClock })
    console.log('open')
    setInterval(() => undefined, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await new Promise((resolve) => child.stdout.once('data', resolve))
  await assert.rejects(open(), { code: 'busy' })
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await gone
  assert.equal(fs.readFileSync(`${dir}/lock`, 'latin1'), `${child.pid}\n`)
  await (await open()).close()
})

test('a flipped bit in a pack makes the block missing and is reported; putting it again heals it', async (t) => {
  const blocks = sampleBlocks(3)
  const { open, damage, pack, places } = await filled(t, blocks)
  flipBit(pack, places[1]!.offset + 3)
  const store = await open()
  assert.equal(await store.blocks.get(blocks[1]!.cid), undefined)
  assert.equal(damage.length, 1)
  assert.ok(damage[0]!.cid?.equals(blocks[1]!.cid))
  assert.equal(damage[0]!.path, pack)
  assert.deepEqual(await store.blocks.has(cids(blocks)), [true, false, true])
  assert.deepEqual(await store.blocks.locate([blocks[1]!.cid]), [undefined])
  assert.equal(store.stats().blocks, 2)
  assert.deepEqual(await store.blocks.get(blocks[2]!.cid), blocks[2]!.bytes)
  await store.blocks.put([blocks[1]!])
  await store.blocks.flush()
  assert.deepEqual(await store.blocks.get(blocks[1]!.cid), blocks[1]!.bytes)
  await store.close()
  assert.equal(damage.length, 1)
})

test('many readers that meet one damaged copy all get undefined', async (t) => {
  const block = sampleBlock(1)
  const { open, pack, places } = await filled(t, [block])
  flipBit(pack, places[0]!.offset)
  const store = await open()
  const got = await Promise.all(Array.from({ length: 20 }, () => store.blocks.get(block.cid)))
  assert.ok(got.every((bytes) => bytes === undefined))
  assert.equal(store.stats().blocks, 0)
  await store.close()
})

test('garbage behind the last block is cut off', async (t) => {
  const blocks = sampleBlocks(10)
  const { open, damage, events, pack } = await filled(t, blocks)
  const sizeBytes = fs.statSync(pack).size
  fs.appendFileSync(pack, Buffer.alloc(5000, 'MMe1'))
  const store = await open()
  assert.equal(fs.statSync(pack).size, sizeBytes)
  assert.ok(events.includes('store.pack.cut'))
  await store.blocks.put([sampleBlock(77)])
  for (const { cid, bytes } of [...blocks, sampleBlock(77)])
    assert.deepEqual(await store.blocks.get(cid), bytes)
  assert.deepEqual(damage, [])
  await store.close()
})

test('of a pack that was cut short, the blocks that are whole stay and the others are missing', async (t) => {
  const blocks = sampleBlocks(10)
  const { open, damage, pack, places } = await filled(t, blocks)
  fs.truncateSync(pack, places[6]!.offset + 1)
  for (let run = 0; run < 2; run++) {
    const store = await open()
    assert.deepEqual(
      await store.blocks.has(cids(blocks)),
      blocks.map((_, i) => i < 6),
    )
    for (const [i, { cid, bytes }] of blocks.entries()) {
      assert.deepEqual(await store.blocks.get(cid), i < 6 ? bytes : undefined)
    }
    assert.equal(store.stats().blocks, 6)
    await store.close()
    assert.equal(damage.length, 1)
  }
  const store = await open()
  await store.blocks.put(blocks)
  await store.blocks.flush()
  assert.ok((await store.blocks.has(cids(blocks))).every(Boolean))
  await store.close()
})

test('the blocks of a pack that is gone are missing, and only they', async (t) => {
  const { open, damage, dir } = opener(t, { maxPackBytes: 1 })
  const blocks = sampleBlocks(3)
  let store = await open()
  for (const block of blocks) await store.blocks.put([block])
  await store.close()
  fs.rmSync(`${dir}/packs/00000002.pack`)
  store = await open()
  assert.deepEqual(await store.blocks.has(cids(blocks)), [true, false, true])
  assert.equal(damage.length, 1)
  await store.close()
})

for (const { name, harm } of [
  { name: 'lost', harm: (dir: string) => fs.rmSync(dir, { recursive: true }) },
  { name: 'without its manifest', harm: (dir: string) => removeMatching(dir, /^MANIFEST/) },
  { name: 'full of garbage', harm: (dir: string) => overwriteMatching(dir, /^(MANIFEST|CURRENT)/) },
]) {
  test(`an index that is ${name} is rebuilt from packs, and the records are untouched`, async (t) => {
    const { open, dir } = opener(t, { maxPackBytes: 3000 })
    const blocks = sampleBlocks(50)
    let store = await open()
    for (const block of blocks) await store.blocks.put([block])
    await store.records.append([utf8('signed')])
    await store.close()
    harm(`${dir}/index`)
    store = await open()
    assert.equal(store.stats().blocks, 50)
    for (const { cid, bytes } of blocks) assert.deepEqual(await store.blocks.get(cid), bytes)
    for await (const record of store.records.readAll()) assert.deepEqual(record, utf8('signed'))
    assert.ok(store.stats().recordBytes > 16)
    await store.close()
  })
}

function removeMatching(dir: string, pattern: RegExp): void {
  for (const name of fs.readdirSync(dir)) if (pattern.test(name)) fs.rmSync(`${dir}/${name}`)
}

function overwriteMatching(dir: string, pattern: RegExp): void {
  for (const name of fs.readdirSync(dir))
    if (pattern.test(name)) fs.writeFileSync(`${dir}/${name}`, 'garbage, no index')
}

test('a rebuild passes over damage within a pack, reports it, and finds what lies behind', async (t) => {
  const blocks = sampleBlocks(10)
  const { dir, open, damage, pack, places } = await filled(t, blocks)
  fs.rmSync(`${dir}/index`, { recursive: true })
  flipBit(pack, places[4]!.offset - 20)
  flipBit(pack, 3)
  const store = await open()
  assert.deepEqual(
    await store.blocks.has(cids(blocks)),
    blocks.map((_, i) => i !== 4),
  )
  assert.equal(damage.length, 2)
  await store.blocks.put([blocks[4]!])
  await store.blocks.flush()
  assert.deepEqual(await store.blocks.get(blocks[4]!.cid), blocks[4]!.bytes)
  await store.close()
})

test('a reserved pack that was never committed gives its whole blocks; an empty one goes away', async (t) => {
  const { open, packs } = opener(t)
  const blocks = sampleBlocks(10)
  let store = await open()
  const { packId, path } = await store.blocks.reservePack()
  await store.blocks.reservePack()
  const appender = createPackAppender(path, packId)
  for (const { cid, bytes } of blocks) appender.append(cidToKeyBytes(cid), bytes)
  appender.flush()
  appender.close()
  fs.truncateSync(path, appender.sizeBytes - 1)
  assert.deepEqual(await store.blocks.has([blocks[0]!.cid]), [false])
  await store.close()
  store = await open()
  assert.deepEqual(
    await store.blocks.has(cids(blocks)),
    blocks.map((_, i) => i < 9),
  )
  assert.deepEqual(packs(), ['00000001.pack'])
  await store.close()
})

test('what was written into a reserved pack and never committed is given back when the pack is released', async (t) => {
  const { open, packs } = opener(t)
  const store = await open()
  const blocks = sampleBlocks(4)
  const fill = async () => {
    const { packId, path } = await store.blocks.reservePack()
    const appender = createPackAppender(path, packId)
    const entries = blocks.map(({ cid, bytes }) => appender.append(cidToKeyBytes(cid), bytes))
    appender.sync()
    appender.close()
    return { packId, path, entries }
  }
  const none = await fill()
  const some = await fill()
  await store.blocks.commitPacked(some.packId, some.entries.slice(0, 2))
  await Promise.all([none, some].map(({ packId }) => store.blocks.releasePack(packId)))
  assert.deepEqual(packs(), ['00000002.pack'])
  const { offset, storedBytes } = some.entries[1]!
  assert.equal(fs.statSync(some.path).size, offset + storedBytes)
  assert.deepEqual(await store.blocks.has(cids(blocks)), [true, true, false, false])
  assert.deepEqual(await store.blocks.get(blocks[1]!.cid), blocks[1]!.bytes)
  await store.blocks.put(blocks)
  await store.close()
  const again = await open()
  assert.deepEqual(await again.blocks.has(cids(blocks)), [true, true, true, true])
  await again.close()
})

test('entries that the pack does not have, or out of order, are not committed', async (t) => {
  const { open } = opener(t)
  const store = await open()
  const { packId, path } = await store.blocks.reservePack()
  const appender = createPackAppender(path, packId)
  const [first, second] = sampleBlocks(2).map(({ cid, bytes }) => appender.append(cidToKeyBytes(cid), bytes))
  await assert.rejects(store.blocks.commitPacked(packId, [first!]), { code: 'invalid' }, 'not flushed yet')
  appender.sync()
  appender.close()
  await assert.rejects(store.blocks.commitPacked(packId, [second!, first!]), { code: 'invalid' })
  await store.blocks.commitPacked(packId, [first!, second!])
  await assert.rejects(store.blocks.commitPacked(packId, [first!]), { code: 'invalid' }, 'published already')
  assert.equal(store.stats().blocks, 2)
  await store.close()
})

test('nearly full, the store refuses blocks with a clear error while records and values still find room', async (t) => {
  const { open } = opener(t, { reserveBytes: Number.MAX_SAFE_INTEGER })
  const store = await open()
  const block = sampleBlock(1)
  await assert.rejects(store.blocks.put([block]), { code: 'no-space', name: 'MirrorError' })
  await assert.rejects(store.blocks.reservePack(), { code: 'no-space' })
  assert.equal(await store.blocks.get(block.cid), undefined)
  await store.records.append([utf8('still written')])
  await store.values('x').put('a', utf8('still written'), { sync: true })
  await store.close()
})

test('a store written by a later version is refused, and not changed', async (t) => {
  const { open, pack } = await filled(t, [sampleBlock(1)])
  const { encodePackHeader } = await import('../../src/store/pack.ts')
  const { crc32 } = await import('node:zlib')
  const later = Buffer.from(encodePackHeader(2))
  later.writeUInt32BE(2, 8)
  later.writeUInt32BE(crc32(later.subarray(0, 28)), 28)
  const laterPack = pack.replace('00000001', '00000002')
  fs.writeFileSync(laterPack, Buffer.concat([later, Buffer.from('something new')]))
  const before = fs.readFileSync(laterPack)
  await assert.rejects(open(), { code: 'unsupported' })
  assert.deepEqual(fs.readFileSync(laterPack), before)
})
