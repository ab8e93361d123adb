/** What every BlockStore must do when it is asked as one tree (`of`). Run by block-store.test.ts. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Block } from '../../src/block/block.ts'
import { cidKey, cidToKeyBytes } from '../../src/block/cid.ts'
import type { BlockStore } from '../../src/store/block-store.ts'
import { createPackAppender } from '../../src/store/packs/pack-appender.ts'
import { backedFile } from './block-backings.conformance.ts'
import type { ConformanceSetup } from './block-store.conformance.ts'
import { sampleBlocks } from './sample-blocks.ts'

const yes = (): boolean => true
const no = (): boolean => false

export const asTree = (store: BlockStore, tree: string, isPrivate: boolean): BlockStore =>
  store.of({ tree, isPrivate: isPrivate ? yes : no })

/** Every way of asking gives the same answer. */
export async function checkSeen(
  store: BlockStore,
  blocks: readonly Block[],
  isSeen: (at: number) => boolean,
  what = '',
): Promise<void> {
  const cids = blocks.map(({ cid }) => cid)
  const wanted = blocks.map(({ bytes }, i) => (isSeen(i) ? bytes : undefined))
  assert.deepEqual(
    await store.has(cids),
    cids.map((_, i) => isSeen(i)),
    `${what}: has`,
  )
  assert.deepEqual(await store.getMany(cids), wanted, `${what}: getMany`)
  const encoded = await store.getEncoded(cids)
  assert.deepEqual(
    encoded.map((block) => block !== undefined),
    cids.map((_, i) => isSeen(i)),
    `${what}: getEncoded`,
  )
  for (const [i, cid] of cids.entries()) assert.deepEqual(await store.get(cid), wanted[i], `${what}: get`)
  for (const [i, place] of (await store.locate(cids)).entries())
    if (!isSeen(i)) assert.equal(place, undefined, `${what}: locate`)
}

export async function pack(store: BlockStore, blocks: readonly Block[]): Promise<void> {
  const { packId, path: file } = await store.reservePack()
  const appender = createPackAppender(file, packId)
  const entries = blocks.map(({ cid, bytes }) => appender.append(cidToKeyBytes(cid), bytes))
  appender.sync()
  appender.close()
  await store.commitPacked(packId, entries)
  await store.releasePack(packId)
}

export function testTreeBlocks({ name, setup }: ConformanceSetup): void {
  describe(`${name}, asked as a tree`, () => {
    async function withStore(use: (store: BlockStore) => Promise<void>): Promise<void> {
      const { blocks, close } = await setup()
      try {
        await use(blocks)
      } finally {
        await close()
      }
    }

    for (const [way, store] of [
      ['put', (into: BlockStore, blocks: readonly Block[]) => into.put(blocks)],
      ['packed', pack],
    ] as const) {
      test(`what came through a private tree is missing in every other, until it comes there too (${way})`, () =>
        withStore(async (all) => {
          const blocks = sampleBlocks(20)
          const [secret, other, open] = [
            asTree(all, 'secret', true),
            asTree(all, 'other', true),
            asTree(all, 'open', false),
          ]
          await store(secret, blocks)
          for (const isFlushed of [false, true]) {
            if (isFlushed) await all.flush()
            await checkSeen(all, blocks, yes, 'the store')
            await checkSeen(secret, blocks, yes, 'its tree')
            await checkSeen(other, blocks, no, 'another private tree')
            await checkSeen(open, blocks, no, 'a public tree')
            await checkSeen(asTree(all, 'never-seen', true), blocks, no, 'an unknown tree')
          }
          await store(other, blocks.slice(0, 10))
          await checkSeen(other, blocks, (i) => i < 10, 'the other tree')
          await checkSeen(open, blocks, no, 'a public tree')
          await checkSeen(secret, blocks, yes, 'the first tree')
          await store(open, blocks.slice(5, 15))
          await all.flush()
          await checkSeen(open, blocks, (i) => i >= 5 && i < 15, 'a public tree')
          await checkSeen(asTree(all, 'never-seen', false), blocks, (i) => i >= 5 && i < 15, 'all others')
          await checkSeen(other, blocks, (i) => i < 15, 'the other tree')
          await checkSeen(secret, blocks, yes, 'the first tree')
        }))
    }

    test('what came through a public tree first is never owned', () =>
      withStore(async (all) => {
        const blocks = sampleBlocks(10)
        await asTree(all, 'open', false).put(blocks.slice(0, 5))
        await all.put(blocks.slice(5))
        await asTree(all, 'secret', true).put(blocks)
        await pack(asTree(all, 'secret', true), blocks)
        await checkSeen(asTree(all, 'another', false), blocks, yes)
        await checkSeen(asTree(all, 'third', true), blocks, yes)
      }))

    test('a tree that becomes public keeps what it has, and gives it to no other', () =>
      withStore(async (all) => {
        let isPrivate = true
        const turning = all.of({ tree: 'turning', isPrivate: () => isPrivate })
        const [before, after] = [sampleBlocks(5), sampleBlocks(5, 300, 100)]
        await turning.put(before)
        isPrivate = false
        await turning.put(after)
        await checkSeen(turning, [...before, ...after], yes)
        await checkSeen(asTree(all, 'open', false), [...before, ...after], (i) => i >= 5)
      }))

    test('blocks imported in place belong to the tree that they are imported for', () =>
      withStore(async (all) => {
        const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mirrormesh-tree-'))
        try {
          const blocks = sampleBlocks(9)
          const [secret, open] = [asTree(all, 'secret', true), asTree(all, 'open', false)]
          await secret.put(blocks.slice(0, 3))
          const back = async (tree: BlockStore, label: string, file: string, some: readonly Block[]) => {
            fs.writeFileSync(path.join(root, file), Buffer.concat(some.map(({ bytes }) => bytes)))
            const id = await tree.backings.create({ purpose: 'in-place', label, path: Buffer.from(root) })
            await tree.backings.commit(id, [backedFile(root, file, some)])
          }
          await back(secret, 'secret', 'a', blocks.slice(0, 6))
          await checkSeen(secret, blocks, (i) => i < 6, 'its tree')
          await checkSeen(open, blocks, no, 'a public tree')
          await back(open, 'open', 'b', blocks.slice(2))
          await checkSeen(open, blocks, (i) => i >= 2, 'a public tree')
          await checkSeen(secret, blocks, yes, 'its tree')
        } finally {
          fs.rmSync(root, { recursive: true, force: true })
        }
      }))

    test('a tree takes over what came through one that all its readers may read, and keeps it', () =>
      withStore(async (all) => {
        const [wide, narrow, own] = [sampleBlocks(6), sampleBlocks(6, 300, 100), sampleBlocks(2, 300, 200)]
        let sources = ['wide']
        const inner = all.of({ tree: 'inner', isPrivate: yes, mayTakeFrom: (tree) => sources.includes(tree) })
        await asTree(all, 'wide', true).put(wide)
        await asTree(all, 'narrow', true).put(narrow)
        await inner.put(own)
        const both = [...wide.slice(0, 4), ...narrow, ...own]
        const cids = both.map(({ cid }) => cid)
        const isTheirs = (i: number): boolean => i < 4 || i >= 10
        // Where bytes lie, and as they rest, is asked of what a tree has taken already.
        const [first] = wide
        assert.deepEqual(await inner.getEncoded([first!.cid]), [undefined])
        assert.deepEqual(await inner.locate([first!.cid]), [undefined])
        assert.deepEqual(
          await inner.has(cids),
          cids.map((_, i) => isTheirs(i)),
        )
        await checkSeen(inner, both, isTheirs, 'the inner tree')
        assert.deepEqual(await inner.get(wide[4]!.cid), wide[4]!.bytes)
        sources = []
        await all.flush()
        await checkSeen(inner, [...both, wide[4]!], (i) => isTheirs(i), 'when their readers part')
        assert.equal(await inner.get(wide[5]!.cid), undefined, 'what it has not asked for in time')
        await checkSeen(asTree(all, 'narrow', true), wide, no, 'another tree')
        await checkSeen(asTree(all, 'open', false), both, no, 'a public tree')
        await checkSeen(asTree(all, 'wide', true), [...wide, ...own], (i) => i < 6, 'the wide tree')
        const open = all.of({ tree: 'open', isPrivate: no, mayTakeFrom: (tree) => tree === 'wide' })
        assert.deepEqual(await open.has([first!.cid]), [true])
        await checkSeen(asTree(all, 'any', false), [first!], yes, 'what a public tree took over')
      }))

    test('no order of puts shows a tree what it must not see', () =>
      withStore(async (all) => {
        let firstSeed = 0
        const put = fc.record({
          tree: fc.constantFrom('a', 'b', 'c', 'open', 'wide'),
          way: fc.constantFrom('put', 'pack', 'flush'),
          from: fc.integer({ min: 0, max: 5 }),
          count: fc.integer({ min: 1, max: 4 }),
        })
        const isPrivate = (tree: string): boolean => tree.length === 1
        await fc.assert(
          fc.asyncProperty(fc.array(put, { maxLength: 12 }), async (puts) => {
            firstSeed += 1000
            const blocks = sampleBlocks(8, 60, firstSeed)
            const came = new Map<string, Set<string>>(blocks.map(({ cid }) => [cidKey(cid), new Set()]))
            for (const { tree, way, from, count } of puts) {
              const some = blocks.slice(from, from + count)
              const view = asTree(all, tree, isPrivate(tree))
              if (way === 'flush') await all.flush()
              else if (way === 'pack') await pack(view, some)
              else await view.put(some)
              if (way !== 'flush') for (const { cid } of some) came.get(cidKey(cid))!.add(tree)
            }
            for (const tree of ['a', 'b', 'c', 'open', 'wide']) {
              await checkSeen(asTree(all, tree, isPrivate(tree)), blocks, (i) => {
                const by = came.get(cidKey(blocks[i]!.cid))!
                return by.has(tree) || by.has('open') || by.has('wide')
              })
            }
          }),
          { numRuns: 60 },
        )
      }))
  })
}
