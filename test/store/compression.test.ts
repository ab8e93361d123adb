import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { cidOf, cidToKeyBytes, RAW } from '../../src/block/cid.ts'
import { decodeBlock, tryZstd } from '../../src/block/encoding.ts'
import type { CorruptBlock, PutBlock, StoreCompression } from '../../src/store/block-store.ts'
import { createPackAppender } from '../../src/store/packs/pack-appender.ts'
import { openStore } from '../../src/store/store.ts'
import { readPlace } from './read-place.ts'
import { sampleBlock } from './sample-blocks.ts'
import { tempDir } from './temp-dir.ts'

function textBlock(seed: number, bytes = 40_000): PutBlock {
  const text = new Uint8Array(
    Buffer.alloc(bytes, `line ${seed} of a log that says the same again and again\n`),
  )
  return { cid: cidOf(RAW, text), bytes: text, zstd: tryZstd(text, 3)! }
}

const open = (dir: string, compression: StoreCompression, onCorrupt?: (damage: CorruptBlock) => void) =>
  openStore({ dir, clock: systemClock, ...(onCorrupt === undefined ? {} : { onCorrupt }) }, { compression })

for (const [compression, given, made] of [
  ['none', 'plain', 'plain'],
  ['received', 'zstd', 'plain'],
  ['zstd', 'zstd', 'zstd'],
] as const) {
  test(`with compression ${compression}, what came as zstd rests ${given} and what came plain rests ${made}`, async (t) => {
    const dir = tempDir(t)
    const came = textBlock(1)
    const { zstd: _, ...plain } = textBlock(2)
    const noise = sampleBlock(3, 30_000)
    const blocks = [came, plain, noise]
    const cids = blocks.map(({ cid }) => cid)
    const check = async (store: Awaited<ReturnType<typeof open>>): Promise<void> => {
      for (const [i, expected] of [given, made, 'plain'].entries()) {
        const { cid, bytes } = blocks[i]!
        assert.deepEqual(await store.blocks.get(cid), bytes)
        const encoded = (await store.blocks.getEncoded([cid]))[0]!
        assert.equal(encoded.encoding, expected)
        assert.deepEqual(decodeBlock(encoded), bytes)
        const place = (await store.blocks.locate(cids))[i]!
        assert.deepEqual([place.encoding, place.lengthBytes], [expected, bytes.length])
        assert.deepEqual(readPlace(place), encoded.bytes)
      }
      assert.deepEqual(await store.blocks.getEncoded([sampleBlock(4).cid]), [undefined])
    }
    const store = await open(dir, compression)
    await store.blocks.put(blocks, { verified: true })
    await check(store)
    await store.close()
    // As it is, and with an index that is rebuilt from the packs; whatever the setting is now.
    for (const isRebuilt of [false, true]) {
      if (isRebuilt) fs.rmSync(`${dir}/index`, { recursive: true })
      const again = await open(dir, 'none')
      await check(again)
      assert.equal(again.stats().blocks, 3)
      await again.close()
    }
  })
}

test('a frame that comes unverified is left aside: nobody has looked at it', async (t) => {
  const store = await open(tempDir(t), 'received')
  const block = textBlock(1)
  await store.blocks.put([{ ...block, zstd: textBlock(2).zstd! }])
  assert.deepEqual(await store.blocks.get(block.cid), block.bytes)
  assert.equal((await store.blocks.getEncoded([block.cid]))[0]?.encoding, 'plain')
  await store.close()
})

test('a damaged frame is reported, forgotten and never returned', async (t) => {
  const dir = tempDir(t)
  const damages: CorruptBlock[] = []
  const [first, second, third] = [textBlock(1), textBlock(2), textBlock(3)]
  const before = await open(dir, 'received')
  await before.blocks.put([first, second, third], { verified: true })
  await before.close()
  const store = await open(dir, 'received', (damage) => damages.push(damage))
  const places = (await store.blocks.locate([first.cid, second.cid])).map((place) => place!)
  const fd = fs.openSync(places[0]!.path, 'r+')
  fs.writeSync(fd, Buffer.from([0xff]), 0, 1, places[0]!.offset + 20)
  // Sound in itself, and of another block of the same length.
  fs.writeSync(fd, third.zstd!, 0, third.zstd!.length, places[1]!.offset)
  fs.closeSync(fd)
  assert.equal(third.zstd!.length, second.zstd!.length)
  assert.equal(await store.blocks.get(first.cid), undefined)
  assert.deepEqual(await store.blocks.getEncoded([second.cid]), [undefined])
  assert.deepEqual(
    damages.map(({ cid }) => cid),
    [first.cid, second.cid],
  )
  assert.deepEqual(await store.blocks.has([first.cid, second.cid, third.cid]), [false, false, true])
  await store.blocks.put([first], { verified: true })
  assert.deepEqual(await store.blocks.get(first.cid), first.bytes)
  await store.close()
})

test('a torn frame at the end of a pack is cut off when the store is opened, and the rest is found', async (t) => {
  const dir = tempDir(t)
  const store = await open(dir, 'none')
  const [whole, torn] = [textBlock(1), textBlock(2)]
  const { packId, path } = await store.blocks.reservePack()
  const appender = createPackAppender(path, packId)
  appender.append(cidToKeyBytes(whole.cid), whole.zstd!, whole.bytes.length)
  const end = appender.sizeBytes
  appender.append(cidToKeyBytes(torn.cid), torn.zstd!, torn.bytes.length)
  appender.sync()
  fs.truncateSync(path, appender.sizeBytes - 1)
  appender.close()
  await store.close()
  const again = await open(dir, 'none')
  assert.deepEqual(await again.blocks.get(whole.cid), whole.bytes)
  assert.deepEqual(await again.blocks.has([torn.cid]), [false])
  assert.equal(fs.statSync(path).size, end)
  await again.close()
})

test('blocks that are put at one time are stored once, compressed or not', async (t) => {
  const store = await open(tempDir(t), 'zstd')
  const blocks = Array.from({ length: 20 }, (_, seed) => {
    const { cid, bytes } = textBlock(seed)
    return { cid, bytes }
  })
  await Promise.all(Array.from({ length: 8 }, () => store.blocks.put(blocks)))
  assert.equal(store.stats().blocks, 20)
  assert.ok(store.stats().packBytes < 20 * 400)
  await store.close()
})
