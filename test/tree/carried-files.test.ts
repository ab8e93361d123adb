/**
 * A check-out that moves on registers what changed, against a model: random trees and moves, each killed before one of its
 * writes to the index, before or after its switch, or not at all; files changed by hand; the snapshots of three moves kept.
 */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Block } from '../../src/block/block.ts'
import { cidKey, cidOf, RAW } from '../../src/block/cid.ts'
import type { BuiltFile } from '../../src/dag/file.ts'
import { createFileBuilder } from '../../src/dag/file.ts'
import type { BlockBackings } from '../../src/store/block-backings.ts'
import type { BlockStore } from '../../src/store/block-store.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import type { CheckoutStorage } from '../../src/tree/checkout/checkout-storage.ts'
import { createCheckoutStorage } from '../../src/tree/checkout/checkout-storage.ts'
import { findLeftovers } from '../../src/tree/checkout/staging.ts'
import type { WrittenFile } from '../../src/tree/checkout/written-files.ts'
import { tempDir } from '../store/temp-dir.ts'
import { noise } from './trees.ts'

interface Content {
  readonly bytes: Buffer
  readonly file: BuiltFile
  /** Its chunks; with its nodes, which lie in packs. */
  readonly chunks: readonly Block[]
  readonly blocks: readonly Block[]
}

/** By turns of one chunk and of three, two of them of one length. */
const CONTENTS = Array.from({ length: 8 }, (_, n): Content => {
  const chunks = (n % 2 === 0 ? [1500 + n] : [1100, 1200, 1300]).map((length, i): Block => {
    const bytes = new Uint8Array(noise(length, 100 * n + i + 1))
    return { cid: cidOf(RAW, bytes), bytes }
  })
  const blocks = [...chunks]
  const builder = createFileBuilder((block) => blocks.push(block))
  for (const { cid, bytes } of chunks) builder.add({ cid, lengthBytes: bytes.length })
  const file = builder.finish()
  return { bytes: Buffer.concat(chunks.map(({ bytes }) => bytes)), file, chunks, blocks }
})

const PATHS = ['a', 'b', 'c/d', 'c/e', 'c/f/g', 'h']

/** Content by path. */
type Tree = Readonly<Record<string, number>>

interface Move {
  readonly tree: Tree
  /** It is killed instead of that write to the index; 0: instead of the switch; over what there are: not at all. */
  readonly killedAt: number
  /** A file that somebody writes to before. */
  readonly spoiled: string | undefined
  readonly isUpdate: boolean
}

class Killed extends Error {}

/** The writes of a check-out, one of which it does not live to see. */
function mortal(backings: BlockBackings, killedAt: number): { backings: BlockBackings; switch(): void } {
  let writes = 0
  const write =
    <A extends readonly unknown[], R>(act: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      writes += 1
      if (writes === killedAt) throw new Killed()
      return act(...args)
    }
  return {
    backings: {
      ...backings,
      create: write(backings.create),
      commit: write(backings.commit),
      setPaths: write(backings.setPaths),
      transfer: write(backings.transfer),
      absorb: write(backings.absorb),
      evacuate: write(backings.evacuate),
      drop: write(backings.drop),
    },
    switch() {
      if (killedAt === 0) throw new Killed()
    },
  }
}

class Site {
  readonly #dest: Buffer
  readonly #store: BlockStore
  readonly #dir: string
  /** What lies at the destination, and what was moved to before: the newest three count. */
  readonly #moves: Tree[] = []
  #isThere = false
  /** Contents of which somebody spoiled a file: their blocks may be missing. */
  readonly #spoiled = new Set<number>()
  /** Of which that ever happened: they were fetched again, into packs, also where another file holds them. */
  readonly #onceSpoiled = new Set<number>()
  #names = 0
  #copiedBytes = 0
  /** Of an update of what is registered in full: what changes, and so all that may be copied into packs. */
  #changedBytes: number | undefined
  #isSettled = false

  constructor(dir: string) {
    this.#dir = dir
    this.#dest = Buffer.from(path.join(dir, 'out'))
    this.#store = createMemoryStore().blocks
  }

  #storage(living = this.#store.backings): CheckoutStorage {
    const backings: BlockBackings = {
      ...living,
      evacuate: async (...args) => {
        const evacuation = await living.evacuate(...args)
        this.#copiedBytes += evacuation.moved.bytes
        return evacuation
      },
    }
    const needed = new Set(
      this.#neededContents().flatMap((n) => CONTENTS[n]!.blocks.map(({ cid }) => cidKey(cid))),
    )
    return createCheckoutStorage(
      { blocks: { ...this.#store, backings } },
      { isNeeded: async (cids) => cids.map((cid) => needed.has(cidKey(cid))) },
    )
  }

  #neededContents(): number[] {
    return [...new Set(this.#moves.slice(-4).flatMap((tree) => Object.values(tree)))]
  }

  /** @returns the files, as the writing threads note them */
  #write(staging: Buffer, tree: Tree): WrittenFile[] {
    const before = this.#moves.at(-1) ?? {}
    return Object.entries(tree).map(([name, n]) => {
      const { bytes, file } = CONTENTS[n]!
      const [from, to] = [this.#dest, staging].map((dir) => path.join(dir.toString(), name))
      fs.mkdirSync(path.dirname(to!), { recursive: true })
      const isTaken = this.#isThere && before[name] === n && bytes.equals(fs.readFileSync(from!))
      if (isTaken) fs.linkSync(from!, to!)
      else fs.writeFileSync(to!, bytes)
      return {
        below: Buffer.from(name),
        sizeBytes: bytes.length,
        content: file.content!,
        state: undefined,
        isTaken,
      }
    })
  }

  async move({ tree, killedAt, spoiled, isUpdate }: Move): Promise<void> {
    if (spoiled !== undefined) this.#spoil(spoiled)
    await this.#clear()
    for (const n of Object.values(tree)) await this.#fetch(n)
    const staging = Buffer.from(
      path.join(this.#dir, `.out.mirrormesh-${String(this.#names++).padStart(16, '0')}`),
    )
    fs.mkdirSync(staging)
    const files = this.#write(staging, tree)
    this.#copiedBytes = 0
    this.#changedBytes = isUpdate && this.#isSettled ? this.#differingBytes(tree, files) : undefined
    this.#isSettled = false
    this.#moves.push(tree)
    const life = mortal(this.#store.backings, killedAt)
    const storage = this.#storage(life.backings)
    const [dest, old] = [this.#dest, this.#isThere ? staging : undefined]
    let isSwitched = false
    try {
      await storage.beforeSwitch({ root: ROOT, staging, dest, files, isUpdate: isUpdate && this.#isThere })
      life.switch()
      this.#switch(staging)
      isSwitched = true
      this.#isThere = true
      await storage.afterSwitch({ dest, old })
      if (old === undefined) return
      await storage.beforeRemoval(old)
      fs.rmSync(old, { recursive: true })
      await this.#checkRegistered(tree)
    } catch (error) {
      if (!(error instanceof Killed)) throw error
      if (!isSwitched) this.#moves.pop()
    } finally {
      await this.checkHeld()
    }
  }

  /** Of the contents that come or go. */
  #differingBytes(tree: Tree, files: readonly WrittenFile[]): number {
    const taken = new Set(files.filter(({ isTaken }) => isTaken).map(({ below }) => below.toString()))
    const trees = [this.#moves.at(-1) ?? {}, tree]
    const differing = trees.flatMap((each) => Object.entries(each).filter(([name]) => !taken.has(name)))
    return [...new Set(differing.map(([, n]) => n))].reduce((sum, n) => sum + CONTENTS[n]!.bytes.length, 0)
  }

  #switch(staging: Buffer): void {
    if (!this.#isThere) {
      fs.renameSync(staging, this.#dest)
      return
    }
    const between = `${this.#dest}.between`
    fs.renameSync(this.#dest, between)
    fs.renameSync(staging, this.#dest)
    fs.renameSync(between, staging)
  }

  /** What is spoiled is noticed when it is read. */
  async #fetch(n: number): Promise<void> {
    for (const block of CONTENTS[n]!.blocks)
      if ((await this.#store.get(block.cid)) === undefined) await this.#store.put([block])
    this.#spoiled.delete(n)
  }

  #spoil(name: string): void {
    const n = this.#moves.at(-1)?.[name]
    if (!this.#isThere || n === undefined) return
    fs.writeFileSync(path.join(this.#dest.toString(), name), 'by hand')
    this.#spoiled.add(n)
    this.#onceSpoiled.add(n)
  }

  /** What the next check-out does first. */
  async #clear(): Promise<void> {
    const storage = this.#storage()
    await storage.find()
    for (const leftover of findLeftovers(this.#dest)) {
      await storage.beforeRemoval(leftover)
      fs.rmSync(leftover, { recursive: true })
    }
    await this.checkHeld()
  }

  async checkHeld(): Promise<void> {
    if (this.#changedBytes !== undefined)
      assert.ok(this.#copiedBytes <= this.#changedBytes, 'more is copied into packs than what changed')
    for (const n of this.#neededContents()) {
      if (this.#spoiled.has(n)) continue
      for (const { cid } of CONTENTS[n]!.blocks) {
        assert.ok((await this.#store.get(cid)) !== undefined, `a block of content ${n} is lost`)
      }
    }
  }

  /** There is one backing, in which each chunk of the tree lies: nothing takes its space twice. */
  async #checkRegistered(tree: Tree): Promise<void> {
    const [backing, ...more] = this.#store.backings.list()
    assert.deepEqual(more, [])
    assert.deepEqual(Buffer.from(backing!.path), this.#dest)
    assert.equal(backing!.alternative, undefined)
    this.#isSettled = true
    const contents = [...new Set(Object.values(tree))]
    if (contents.some((n) => this.#onceSpoiled.has(n))) return
    const chunks = contents.flatMap((n) => CONTENTS[n]!.chunks)
    const bytes = chunks.reduce((sum, each) => sum + each.bytes.length, 0)
    assert.deepEqual(await this.#store.backings.measure(backing!.id), { blocks: chunks.length, bytes })
  }
}

const ROOT = {
  type: 'directory',
  name: new Uint8Array(),
  mode: 0o755,
  mtimeSec: 0,
  mtimeNsec: 0,
  uid: 0,
  gid: 0,
} as unknown as Parameters<CheckoutStorage['beforeSwitch']>[0]['root']

const anyTree = fc
  .record(
    Object.fromEntries(PATHS.map((name) => [name, fc.option(fc.nat(CONTENTS.length - 1), { freq: 4 })])),
  )
  .map((all): Tree => Object.fromEntries(Object.entries(all).filter(([, n]) => n !== null)) as Tree)

const anyMove: fc.Arbitrary<Move> = fc.record({
  tree: anyTree,
  killedAt: fc.integer({ min: 0, max: 24 }),
  spoiled: fc.option(fc.constantFrom(...PATHS), { freq: 5, nil: undefined }),
  isUpdate: fc.boolean(),
})

test('moves of a check-out, killed anywhere, lose no block that is needed, and hold none twice', async (t) => {
  const dir = tempDir(t)
  let runs = 0
  await fc.assert(
    fc.asyncProperty(fc.array(anyMove, { minLength: 1, maxLength: 10 }), async (moves) => {
      const place = path.join(dir, String(runs++))
      fs.mkdirSync(place)
      const site = new Site(place)
      for (const move of moves) await site.move(move)
    }),
    { numRuns: 100 },
  )
})
