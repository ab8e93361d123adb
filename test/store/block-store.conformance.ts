/** What every BlockStore must do. Run by block-store.test.ts over each implementation. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isMirrorError } from '../../src/base/errors.ts'
import { MAX_BLOCK_BYTES } from '../../src/block/block.ts'
import { cidOf, cidToKeyBytes, DAG_CBOR, RAW } from '../../src/block/cid.ts'
import type { BlockStore } from '../../src/store/block-store.ts'
import { createPackAppender } from '../../src/store/packs/pack-appender.ts'
import { readPlace } from './read-place.ts'
import { sampleBlock, sampleBlocks } from './sample-blocks.ts'

export interface ConformanceSetup {
  readonly name: string
  /** A fresh store, and how to give it back. */
  setup(): Promise<{ readonly blocks: BlockStore; close(): Promise<void> }>
}

export function testBlockStore({ name, setup }: ConformanceSetup): void {
  describe(name, () => {
    async function withStore(use: (blocks: BlockStore) => Promise<void>): Promise<void> {
      const { blocks, close } = await setup()
      try {
        await use(blocks)
      } finally {
        await close()
      }
    }

    test('gives back the bytes that were put, before and after a flush', () =>
      withStore(async (store) => {
        const blocks = [...sampleBlocks(50), sampleBlock(1000, 2_500_000)]
        await store.put(blocks)
        for (const { cid, bytes } of blocks) assert.deepEqual(await store.get(cid), bytes)
        await store.flush()
        for (const { cid, bytes } of blocks) assert.deepEqual(await store.get(cid), bytes)
      }))

    test('a block that was never put is undefined, and has says so in the order asked', () =>
      withStore(async (store) => {
        const kept = sampleBlock(1)
        const missing = sampleBlock(2)
        const flushed = sampleBlock(3)
        await store.put([flushed])
        await store.flush()
        await store.put([kept])
        assert.equal(await store.get(missing.cid), undefined)
        assert.deepEqual(await store.has([missing.cid, kept.cid, flushed.cid, missing.cid]), [
          false,
          true,
          true,
          false,
        ])
        assert.deepEqual(await store.has([]), [])
      }))

    test('the same bytes under two codecs are two blocks', () =>
      withStore(async (store) => {
        const { bytes } = sampleBlock(1)
        await store.put([{ cid: cidOf(RAW, bytes), bytes }])
        assert.deepEqual(await store.has([cidOf(RAW, bytes), cidOf(DAG_CBOR, bytes)]), [true, false])
      }))

    test('an empty block and the largest block are kept; a larger one is refused', () =>
      withStore(async (store) => {
        const empty = { cid: cidOf(RAW, new Uint8Array(0)), bytes: new Uint8Array(0) }
        const largestBytes = new Uint8Array(MAX_BLOCK_BYTES).fill(7)
        const largest = { cid: cidOf(RAW, largestBytes), bytes: largestBytes }
        await store.put([empty, largest])
        await store.flush()
        assert.deepEqual(await store.get(empty.cid), empty.bytes)
        assert.deepEqual(await store.get(largest.cid), largest.bytes)
        const tooLarge = new Uint8Array(MAX_BLOCK_BYTES + 1)
        await assert.rejects(store.put([{ cid: cidOf(RAW, tooLarge), bytes: tooLarge }]), { code: 'limit' })
      }))

    test('one block that does not match its CID refuses the whole put', () =>
      withStore(async (store) => {
        const good = sampleBlock(1)
        const wrong = { cid: sampleBlock(2).cid, bytes: sampleBlock(3).bytes }
        await assert.rejects(store.put([good, wrong]), { code: 'corrupt' })
        assert.deepEqual(await store.has([good.cid, wrong.cid]), [false, false])
      }))

    test('neither the bytes put nor the bytes got are shared with the store', () =>
      withStore(async (store) => {
        const block = sampleBlock(1)
        const original = block.bytes.slice()
        await store.put([block])
        block.bytes.fill(0)
        const got = await store.get(block.cid)
        assert.deepEqual(got, original)
        got?.fill(0)
        assert.deepEqual(await store.get(block.cid), original)
      }))

    test('many puts, gets and flushes at one time agree', () =>
      withStore(async (store) => {
        const blocks = sampleBlocks(200)
        await Promise.all(
          blocks.map(async (block, i) => {
            await store.put([block, blocks[(i * 7) % blocks.length]!])
            if (i % 9 === 0) await store.flush()
            assert.deepEqual(await store.get(block.cid), block.bytes)
          }),
        )
        await store.flush()
        assert.ok((await store.has(blocks.map(({ cid }) => cid))).every(Boolean))
      }))

    test('an aborted get rejects with the reason of its signal', () =>
      withStore(async (store) => {
        const block = sampleBlock(1)
        await store.put([block])
        const reason = new Error('not wanted any more')
        await assert.rejects(store.get(block.cid, AbortSignal.abort(reason)), reason)
      }))

    test('what a worker packed is found once its entries are committed, in several groups', () =>
      withStore(async (store) => {
        const { packId, path } = await store.reservePack()
        const other = await store.reservePack()
        assert.notEqual(other.path, path)
        const appender = createPackAppender(path, packId, { bufferBytes: 1000 })
        const groups = [sampleBlocks(20, 900), sampleBlocks(20, 5000, 100)]
        for (const group of groups) {
          const entries = group.map(({ cid, bytes }) => appender.append(cidToKeyBytes(cid), bytes))
          appender.sync()
          assert.deepEqual(await store.has([group[0]!.cid]), [false])
          await store.commitPacked(packId, structuredClone(entries))
          for (const { cid, bytes } of group) assert.deepEqual(await store.get(cid), bytes)
        }
        appender.close()
      }))

    test('a pack that is released keeps what was committed, and takes no more', () =>
      withStore(async (store) => {
        const { packId, path } = await store.reservePack()
        const appender = createPackAppender(path, packId)
        const [kept, lost] = [sampleBlock(1), sampleBlock(2)]
        const [first, second] = [kept, lost].map(({ cid, bytes }) =>
          appender.append(cidToKeyBytes(cid), bytes),
        )
        appender.sync()
        appender.close()
        await store.commitPacked(packId, [first!])
        await store.releasePack(packId)
        await store.releasePack(packId)
        assert.deepEqual(await store.get(kept.cid), kept.bytes)
        assert.deepEqual(await store.has([lost.cid]), [false])
        await assert.rejects(store.commitPacked(packId, [second!]), (error) =>
          isMirrorError(error, 'invalid'),
        )
        assert.notEqual((await store.reservePack()).path, path)
      }))

    test('committing entries of a pack that nobody reserved is refused', () =>
      withStore(async (store) => {
        const { cid, bytes } = sampleBlock(1)
        const entry = {
          key: cidToKeyBytes(cid),
          offset: 84,
          storedBytes: bytes.length,
          lengthBytes: bytes.length,
          encoding: 'plain',
        } as const
        await assert.rejects(store.commitPacked(77, [entry]), (error) => isMirrorError(error, 'invalid'))
      }))

    test('locate names bytes that are the block, or nothing', () =>
      withStore(async (store) => {
        const blocks = sampleBlocks(5)
        await store.put(blocks)
        const places = await store.locate([...blocks.map(({ cid }) => cid), sampleBlock(99).cid])
        assert.equal(places.length, 6)
        assert.equal(places[5], undefined)
        for (const [i, place] of places.slice(0, 5).entries()) {
          if (place !== undefined) assert.deepEqual(readPlace(place), blocks[i]!.bytes)
        }
      }))
  })
}
