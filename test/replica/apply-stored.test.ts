/** Blocks made of deltas over what lies in a store on a disk, in whatever form it lies there. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import zlib from 'node:zlib'
import { systemClock } from '../../src/base/clock.ts'
import type { Block } from '../../src/block/block.ts'
import { cidOf, RAW } from '../../src/block/cid.ts'
import type { DeltaParts } from '../../src/delta/apply-delta.ts'
import { applyStored } from '../../src/replica/fetch/apply-stored.ts'
import type { BlockStore, CorruptBlock, StoreCompression } from '../../src/store/block-store.ts'
import { openStore } from '../../src/store/store.ts'
import { backedFile } from '../store/block-backings.conformance.ts'
import { tempDir } from '../store/temp-dir.ts'
import { noise } from '../tree/trees.ts'

const blockOf = (bytes: Uint8Array): Block => ({ cid: cidOf(RAW, bytes), bytes: new Uint8Array(bytes) })
/** Half of it compresses. */
const someBlock = (seed: number, length: number): Block =>
  blockOf(Buffer.concat([noise(length >> 1, seed), Buffer.alloc(length >> 1, `text ${seed} `)]))

const OLD = Array.from({ length: 30 }, (_, i) => someBlock(i + 1, 2000 * (1 + (i % 7))))
const NEW = OLD.map(({ bytes }, i) =>
  blockOf(bytes.map((byte, at) => (at % 700 === i ? (byte + 1) & 0xff : byte))),
)

function deltaOf(window: readonly Block[], targets: readonly Block[]): DeltaParts {
  const plain = Buffer.concat(targets.map(({ bytes }) => bytes))
  const dictionary = Buffer.concat(window.map(({ bytes }) => bytes))
  const listed = ({ cid, bytes }: Block) => ({ cid, lengthBytes: bytes.length })
  const frame = new Uint8Array(zlib.zstdCompressSync(plain, { dictionary, pledgedSrcSize: plain.length }))
  return { frame, base: window.map(listed), targets: targets.map(listed) }
}

interface Counted {
  readonly blocks: Pick<BlockStore, 'locate' | 'getMany'>
  /** Windows that the store itself was asked for: of what the thread could not make. */
  asked(): number
}

function counted(blocks: BlockStore): Counted {
  let asked = 0
  return {
    asked: () => asked,
    blocks: {
      locate: blocks.locate,
      getMany(cids, signal) {
        asked += 1
        return blocks.getMany(cids, signal)
      },
    },
  }
}

async function storeFor(t: TestContext, compression: StoreCompression = 'none') {
  const damaged: CorruptBlock[] = []
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'mirrormesh-store-'))
  const store = await openStore(
    { dir, clock: systemClock, onCorrupt: (damage) => damaged.push(damage) },
    { compression },
  )
  t.after(async () => {
    await store.close()
    fs.rmSync(dir, { recursive: true })
  })
  return { store, dir, damaged }
}

/** Several at a time; memory is used again between them. */
async function checkApplied({ blocks }: Counted): Promise<void> {
  const parts = [deltaOf(OLD, NEW), deltaOf(OLD.slice(3, 9), NEW.slice(5, 8)), deltaOf(OLD.toReversed(), NEW)]
  const all = [...parts, ...parts, ...parts]
  await Promise.all(
    all.map(async (delta) => {
      const made = await applyStored(blocks, delta, async (targets) => {
        await new Promise((resolve) => setImmediate(resolve))
        return targets.map(({ cid, bytes }) => ({ cid, bytes: Uint8Array.from(bytes) }))
      })
      assert.deepEqual(
        made?.map(({ cid, bytes }) => [cid.toString(), cidOf(RAW, bytes).toString()]),
        delta.targets.map(({ cid }) => [cid.toString(), cid.toString()]),
      )
    }),
  )
}

for (const compression of ['none', 'zstd'] as const)
  test(`a window is read where it lies, resting as ${compression}, flushed or not`, async (t) => {
    const { store } = await storeFor(t, compression)
    await store.blocks.put(OLD)
    const { blocks, asked } = counted(store.blocks)
    await checkApplied({ blocks, asked })
    await store.blocks.flush()
    await checkApplied({ blocks, asked })
    assert.equal(asked(), 0)
  })

test('a window lies in a file of the user, until he changes it', async (t) => {
  const { store, damaged } = await storeFor(t)
  const root = tempDir(t)
  const file = path.join(root, 'file')
  const held = OLD.slice(0, 20)
  fs.writeFileSync(file, Buffer.concat(held.map(({ bytes }) => bytes)))
  const id = await store.blocks.backings.create({
    ...{ purpose: 'adopted', label: 'debian', path: Buffer.from(root) },
  })
  await store.blocks.backings.commit(id, [backedFile(root, 'file', held)])
  await store.blocks.put(OLD.slice(20))
  const { blocks, asked } = counted(store.blocks)
  await checkApplied({ blocks, asked })
  assert.equal(asked(), 0)

  // In place, so that length and inode say nothing.
  const fd = fs.openSync(file, 'r+')
  fs.writeSync(fd, Buffer.alloc(500, 'x'), 0, 500, 100)
  fs.closeSync(fd)
  const use = async (made: readonly Block[]) => made.length
  assert.equal(await applyStored(blocks, deltaOf(OLD, NEW), use), undefined)
  assert.ok(damaged.length > 0)
  // Of a window without it they are made as before.
  assert.equal(await applyStored(blocks, deltaOf(OLD.slice(20), NEW.slice(20)), use), 10)
})

test('a pack that was damaged costs the delta, and the store learns of it', async (t) => {
  const { store, dir, damaged } = await storeFor(t)
  await store.blocks.put(OLD)
  await store.blocks.flush()
  const [place] = await store.blocks.locate([OLD[4]!.cid])
  const fd = fs.openSync(place!.path, 'r+')
  fs.writeSync(fd, Buffer.alloc(50), 0, 50, place!.offset + 10)
  fs.closeSync(fd)
  assert.ok(place!.path.startsWith(dir))
  const use = async (made: readonly Block[]) => made.length
  assert.equal(await applyStored(store.blocks, deltaOf(OLD, NEW), use), undefined)
  assert.ok(damaged.some(({ cid }) => cid?.equals(OLD[4]!.cid)))
  assert.equal(await applyStored(store.blocks, deltaOf(OLD.slice(5), NEW.slice(5)), use), 25)
})

test('a delta that gives other blocks is refused, and the next ones are made', async (t) => {
  const { store } = await storeFor(t)
  await store.blocks.put(OLD)
  const good = deltaOf(OLD, NEW)
  const use = async (made: readonly Block[]) => made.length
  const wrong: Record<string, DeltaParts> = {
    'another order': { ...good, targets: good.targets.toReversed() },
    'another window': { ...good, base: good.base.toReversed() },
    'a length that is a lie': {
      ...good,
      base: good.base.with(0, { ...good.base[0]!, lengthBytes: good.base[0]!.lengthBytes + 1 }),
    },
    'a frame that is cut short': { ...good, frame: good.frame.slice(0, -3) },
    'no frame': { ...good, frame: new Uint8Array() },
  }
  for (const [what, parts] of Object.entries(wrong)) {
    await assert.rejects(applyStored(store.blocks, parts, use), { code: 'corrupt' }, what)
    assert.equal(await applyStored(store.blocks, good, use), NEW.length)
  }
  const gone = { ...good, base: [...good.base, { cid: NEW[0]!.cid, lengthBytes: 2000 }] }
  assert.equal(await applyStored(store.blocks, gone, use), undefined)
})

test('what goes wrong with the blocks that were made is told as it is', async (t) => {
  const { store } = await storeFor(t)
  await store.blocks.put(OLD)
  const full = new Error('no space')
  const { blocks, asked } = counted(store.blocks)
  await assert.rejects(
    applyStored(blocks, deltaOf(OLD, NEW), () => Promise.reject(full)),
    full,
  )
  await checkApplied({ blocks, asked })
  assert.equal(asked(), 0)
})
