/** What every BlockStore must do with blocks that lie in files outside of it. Run by block-store.test.ts. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, test } from 'node:test'
import type { Block } from '../../src/block/block.ts'
import { cidToKeyBytes } from '../../src/block/cid.ts'
import type { BackedFile, BackingPurpose } from '../../src/store/block-backings.ts'
import type { BlockStore, CorruptBlock } from '../../src/store/block-store.ts'
import { createPackAppender } from '../../src/store/packs/pack-appender.ts'
import { readPlace } from './read-place.ts'
import { sampleBlock, sampleBlocks } from './sample-blocks.ts'

export interface BackingsSetup {
  readonly name: string
  setup(
    onCorrupt: (damage: CorruptBlock) => void,
  ): Promise<{ readonly blocks: BlockStore; close(): Promise<void> }>
}

interface Bench {
  readonly store: BlockStore
  readonly damage: CorruptBlock[]
  /** The backing's folder. */
  readonly root: string
  create(purpose: BackingPurpose): Promise<number>
  /** Writes the blocks one behind the other into a file. */
  write(below: string, blocks: readonly Block[]): BackedFile
  back(purpose: BackingPurpose, below: string, blocks: readonly Block[]): Promise<number>
}

/** The file's blocks as a reader of it would commit them. */
export function backedFile(root: string, below: string, blocks: readonly Block[]): BackedFile {
  const { dev, ino, size, mtimeNs, ctimeNs } = fs.statSync(path.join(root, below), { bigint: true })
  let offset = 0
  return {
    below: Buffer.from(below),
    identity: { dev, ino, sizeBytes: Number(size), mtimeNs, ctimeNs },
    blocks: blocks.map(({ cid, bytes }) => {
      offset += bytes.length
      return { key: cidToKeyBytes(cid), offset: offset - bytes.length, lengthBytes: bytes.length }
    }),
  }
}

export function testBackings({ name, setup }: BackingsSetup): void {
  async function withBench(use: (bench: Bench) => Promise<void>): Promise<void> {
    const damage: CorruptBlock[] = []
    const { blocks: store, close } = await setup((found) => damage.push(found))
    const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mirrormesh-backing-'))
    const create = (purpose: BackingPurpose) =>
      store.backings.create({ purpose, label: 'tree', path: Buffer.from(root) })
    const write = (below: string, blocks: readonly Block[]): BackedFile => {
      fs.mkdirSync(path.dirname(path.join(root, below)), { recursive: true })
      fs.writeFileSync(path.join(root, below), Buffer.concat(blocks.map(({ bytes }) => bytes)))
      return backedFile(root, below, blocks)
    }
    const back = async (purpose: BackingPurpose, below: string, blocks: readonly Block[]) => {
      const id = await create(purpose)
      await store.backings.commit(id, [write(below, blocks)])
      return id
    }
    try {
      await use({ store, damage, root, create, write, back })
    } finally {
      await close()
      fs.rmSync(root, { recursive: true, force: true })
    }
  }

  async function checkAll(store: BlockStore, blocks: readonly Block[]): Promise<void> {
    for (const { cid, bytes } of blocks) assert.deepEqual(await store.get(cid), bytes)
    assert.ok((await store.has(blocks.map(({ cid }) => cid))).every(Boolean))
  }

  async function checkMissing(store: BlockStore, blocks: readonly Block[]): Promise<void> {
    for (const { cid } of blocks) assert.equal(await store.get(cid), undefined)
    assert.ok(!(await store.has(blocks.map(({ cid }) => cid))).some(Boolean))
  }

  const sizeOf = (blocks: readonly Block[]) => ({
    blocks: blocks.length,
    bytes: blocks.reduce((sum, { bytes }) => sum + bytes.length, 0),
  })

  describe(`${name}, file-backed`, () => {
    test('committed blocks are found and located in their files, until the backing is dropped', () =>
      withBench(async ({ store, damage, root, create, write }) => {
        const [a, b] = [sampleBlocks(30), sampleBlocks(5, 5000, 100)]
        const id = await create('adopted')
        await store.backings.commit(id, [write('a', a), write('d/e/b', b)])
        await checkAll(store, [...a, ...b])
        assert.deepEqual(store.backings.list(), [
          { id, purpose: 'adopted', label: 'tree', path: new Uint8Array(Buffer.from(root)) },
        ])
        assert.deepEqual(await store.backings.measure(id), sizeOf([...a, ...b]))
        for (const [i, place] of (await store.locate(b.map(({ cid }) => cid))).entries()) {
          if (place === undefined) continue
          assert.equal(place.root, root)
          assert.deepEqual(readPlace(place), b[i]!.bytes)
        }
        await store.backings.drop(id)
        await checkMissing(store, [...a, ...b])
        assert.deepEqual(store.backings.list(), [])
        assert.ok(fs.existsSync(path.join(root, 'd/e/b')), 'the files stay')
        assert.deepEqual(damage, [])
        const unused = await create('adopted')
        assert.ok(unused > id, 'an id is not given again')

        // Of two at once the one that is first in the line wins, and nothing is lost.
        const committed = store.backings.commit(unused, [write('a', a)])
        assert.equal(await store.backings.dropUnused(unused), false)
        await committed
        await checkAll(store, a)
        const another = await create('in-place')
        const late = store.backings.dropUnused(another)
        await assert.rejects(store.backings.commit(another, [write('d/e/b', b)]), { code: 'not-found' })
        assert.equal(await late, true)
        assert.deepEqual(
          store.backings.list().map((each) => each.id),
          [unused],
        )
      }))

    test('a backing may be a single file', () =>
      withBench(async ({ store, root }) => {
        const blocks = sampleBlocks(3)
        const file = path.join(root, 'single')
        fs.writeFileSync(file, Buffer.concat(blocks.map(({ bytes }) => bytes)))
        const id = await store.backings.create({ purpose: 'in-place', label: '', path: Buffer.from(file) })
        await store.backings.commit(id, [{ ...backedFile(root, 'single', blocks), below: new Uint8Array() }])
        await checkAll(store, blocks)
      }))

    test('a changed range makes its block missing and is reported, the others stay; putting it heals', () =>
      withBench(async ({ store, damage, root, back }) => {
        const blocks = sampleBlocks(10)
        await back('in-place', 'file', blocks)
        const fd = fs.openSync(path.join(root, 'file'), 'r+')
        fs.writeSync(fd, Uint8Array.of(blocks[0]!.bytes[3]! ^ 1), 0, 1, 3)
        fs.closeSync(fd)
        await checkMissing(store, blocks.slice(0, 1))
        await checkAll(store, blocks.slice(1))
        assert.deepEqual(
          damage.map(({ cid, path: where, reason }) => [cid?.toString(), where, reason]),
          [[blocks[0]!.cid.toString(), path.join(root, 'file'), 'the file was changed behind our back']],
        )
        await store.put(blocks.slice(0, 1))
        await checkAll(store, blocks)
      }))

    test('a removed, shortened or replaced file makes its blocks missing', () =>
      withBench(async ({ store, damage, root, create, write }) => {
        const [a, b, c] = [sampleBlocks(3), sampleBlocks(3, 300, 10), sampleBlocks(3, 300, 20)]
        const id = await create('check-out')
        await store.backings.commit(id, [write('a', a), write('b', b), write('c', c)])
        await checkAll(store, [...a, ...b, ...c])
        fs.writeFileSync(path.join(root, 'a'), 'something else')
        fs.truncateSync(path.join(root, 'b'), b[0]!.bytes.length)
        fs.rmSync(path.join(root, 'c'))
        fs.mkdirSync(path.join(root, 'c'))
        // What was open before may be read on: it is the block, or missing.
        for (const { cid, bytes } of [...a, ...c]) {
          const got = await store.get(cid)
          if (got !== undefined) assert.deepEqual(got, bytes)
        }
        await store.backings.check(id)
        await checkMissing(store, [...a, ...b.slice(1), ...c])
        await checkAll(store, b.slice(0, 1))
        assert.equal(damage.length, 8)
      }))

    test('no link is followed out of the backing, and a fifo holds nobody up', () =>
      withBench(async ({ store, root, create, write }) => {
        const [a, b, c] = [sampleBlocks(3), sampleBlocks(3, 300, 10), sampleBlocks(3, 300, 20)]
        const id = await create('adopted')
        const files = [write('a', a), write('d/b', b), write('c', c)]
        fs.renameSync(path.join(root, 'a'), path.join(root, 'elsewhere'))
        fs.symlinkSync('elsewhere', path.join(root, 'a'))
        fs.renameSync(path.join(root, 'd'), path.join(root, 'folder'))
        fs.symlinkSync('folder', path.join(root, 'd'))
        fs.rmSync(path.join(root, 'c'))
        execFileSync('mkfifo', [path.join(root, 'c')])
        await store.backings.commit(id, files)
        await checkMissing(store, [...a, ...b, ...c])
      }))

    test("somebody else's files never take the place of a pack, and a pack takes theirs", () =>
      withBench(async ({ store, damage, root, back }) => {
        const kept = sampleBlocks(5)
        const late = sampleBlocks(5, 300, 10)
        await store.put(kept)
        await store.flush()
        const id = await back('in-place', 'file', [...kept, ...late])
        assert.deepEqual(await store.backings.measure(id), sizeOf(late))
        assert.deepEqual(
          await store.backings.areBorrowed([kept[0]!.cid, late[0]!.cid, sampleBlock(99).cid]),
          [false, true, false],
        )
        const { packId, path: pack } = await store.reservePack()
        const appender = createPackAppender(pack, packId)
        const entries = late.map(({ cid, bytes }) => appender.append(cidToKeyBytes(cid), bytes))
        appender.sync()
        appender.close()
        await store.commitPacked(packId, entries)
        assert.deepEqual(
          await store.backings.areBorrowed(late.map(({ cid }) => cid)),
          late.map(() => false),
        )
        fs.rmSync(path.join(root, 'file'))
        await checkAll(store, [...kept, ...late])
        await store.backings.drop(id)
        await checkAll(store, [...kept, ...late])
        assert.deepEqual(damage, [])
      }))

    test('a check-out becomes the storage of its blocks, from packs and from an older check-out', () =>
      withBench(async ({ store, back }) => {
        const blocks = sampleBlocks(5)
        await store.put(blocks)
        await store.flush()
        const first = await back('check-out', 'one', blocks)
        assert.deepEqual(await store.backings.measure(first), sizeOf(blocks))
        const second = await back('check-out', 'two', blocks.slice(0, 3))
        assert.deepEqual(await store.backings.measure(first), sizeOf(blocks.slice(3)))
        assert.deepEqual(await store.backings.measure(second), sizeOf(blocks.slice(0, 3)))
        assert.deepEqual(
          await store.backings.areBorrowed(blocks.map(({ cid }) => cid)),
          blocks.map(() => false),
        )
        await store.backings.drop(first)
        await checkAll(store, blocks.slice(0, 3))
        await checkMissing(store, blocks.slice(3))
      }))

    test('while a check-out is switched its files are found at either path', () =>
      withBench(async ({ store, damage, root, create, write }) => {
        const old = sampleBlocks(5)
        const fresh = sampleBlocks(5, 300, 20)
        const id = await create('check-out')
        const file = write('dest/file', old)
        const [dest, aside] = ['dest', 'aside'].map((name) => Buffer.from(path.join(root, name)))
        await store.backings.setPaths(id, { path: dest! })
        await store.backings.commit(id, [{ ...file, below: Buffer.from('file') }])
        await checkAll(store, old)
        await store.backings.setPaths(id, { path: dest!, alternative: aside! })
        await checkAll(store, old)
        fs.renameSync(dest!, aside!)
        write('dest/file', fresh)
        await checkAll(store, old)
        await store.backings.setPaths(id, { path: aside! })
        await checkAll(store, old)
        assert.deepEqual(store.backings.list()[0], {
          id,
          purpose: 'check-out',
          label: 'tree',
          path: new Uint8Array(aside!),
        })
        assert.deepEqual(damage, [])
      }))

    test('files of a check-out become those of another, with the blocks that lie in them', () =>
      withBench(async ({ store, damage, root, create, write }) => {
        const [a, b, c] = [sampleBlocks(5), sampleBlocks(6, 300, 20), sampleBlocks(4, 300, 40)]
        const from = await create('check-out')
        const to = await create('check-out')
        await store.backings.commit(from, [write('a', a), write('b', b), write('c', c)])
        // The last to commit a block has it.
        await store.backings.commit(to, [write('other', [...c, ...a.slice(0, 2)])])
        const known = (await Array.fromAsync(store.backings.files(from))).flat()
        assert.deepEqual(
          known.map(({ below }) => Buffer.from(below).toString()),
          ['a', 'b', 'c'],
        )
        const ids = known.map(({ fileId }) => fileId)
        const keysOf = (blocks: readonly Block[]) => blocks.map(({ cid }) => Buffer.from(cidToKeyBytes(cid)))
        const moved = await store.backings.transfer(from, to, [ids[2]!, ids[0]!, 999])
        assert.deepEqual(
          moved.map((key) => Buffer.from(key)),
          keysOf(a.slice(2)),
        )
        await checkAll(store, [...a, ...b, ...c])
        assert.deepEqual(await store.backings.measure(from), sizeOf(b))
        assert.deepEqual(await store.backings.measure(to), sizeOf([...a, ...c]))
        await store.backings.setPaths(to, { path: Buffer.from(root) }, 'another')
        assert.equal(store.backings.list().find(({ id }) => id === to)?.mark, 'another')
        await store.backings.absorb(to, from)
        assert.deepEqual(
          store.backings.list().map(({ id }) => id),
          [to],
        )
        await checkAll(store, [...a, ...b, ...c])
        assert.deepEqual(await store.backings.measure(to), sizeOf([...a, ...b, ...c]))
        const left = (await Array.fromAsync(store.backings.files(to))).flat()
        assert.deepEqual(left.map(({ below }) => Buffer.from(below).toString()).toSorted(), [
          'a',
          'b',
          'other',
        ])
        fs.writeFileSync(path.join(root, 'a'), 'something else')
        await checkMissing(store, a.slice(2))
        await checkAll(store, [...b, ...c, ...a.slice(0, 2)])
        assert.equal(damage.length, 3)
        const adopted = await create('adopted')
        for (const [one, other, code] of [
          [to, to, 'invalid'],
          [adopted, to, 'invalid'],
          [to, 77, 'not-found'],
        ] as const) {
          await assert.rejects(store.backings.transfer(one, other, []), { code })
          await assert.rejects(store.backings.absorb(other, one), { code })
        }
        await store.backings.drop(to)
        await checkMissing(store, [...b, ...c])
      }))

    test('evacuation keeps what is needed and readable, forgets the rest, and says what was lost', () =>
      withBench(async ({ store, damage, root, create, write }) => {
        const needed = sampleBlocks(40, 3000)
        const changed = sampleBlocks(2, 300, 100)
        const unneeded = sampleBlocks(5, 300, 200)
        const id = await create('check-out')
        await store.backings.commit(id, [
          write('needed', needed),
          write('changed', changed),
          write('unneeded', unneeded),
        ])
        fs.writeFileSync(path.join(root, 'changed'), 'something else')
        const forget = new Set(unneeded.map(({ cid }) => cid.toString()))
        const evacuation = await store.backings.evacuate(id, async (cids) =>
          cids.map((cid) => !forget.has(cid.toString())),
        )
        assert.deepEqual(evacuation, {
          moved: sizeOf(needed),
          forgotten: sizeOf(unneeded),
          lost: sizeOf(changed),
        })
        assert.equal(damage.length, 2)
        fs.rmSync(root, { recursive: true })
        await checkAll(store, needed)
        await checkMissing(store, [...changed, ...unneeded])
        assert.deepEqual(store.backings.list(), [])
        await assert.rejects(
          store.backings.evacuate(id, async (cids) => cids.map(() => true)),
          { code: 'not-found' },
        )
      }))

    test('a check beside an evacuation takes nothing for changed that has only gone elsewhere', () =>
      withBench(async ({ store, damage, root, create, write }) => {
        const blocks = Array.from({ length: 30 }, (_, i) => sampleBlocks(3, 300, i * 10))
        const id = await create('check-out')
        await store.backings.commit(
          id,
          blocks.map((each, i) => write(`file-${i}`, each)),
        )
        const checking = store.backings.check(id)
        await store.backings.evacuate(id, async (cids) => cids.map(() => true))
        fs.rmSync(root, { recursive: true })
        const { changed, lost } = await checking
        assert.deepEqual([changed.count, lost, damage], [0, sizeOf([]), []])
        await checkAll(store, blocks.flat())
      }))

    test('a block that is met twice in a file is one block', () =>
      withBench(async ({ store, back }) => {
        const [a, b] = [sampleBlock(1), sampleBlock(2)]
        const id = await back('check-out', 'file', [a, b, a, a])
        assert.deepEqual(await store.backings.measure(id), sizeOf([a, b]))
        await store.backings.evacuate(id, async (cids) => cids.map(() => true))
        await checkAll(store, [a, b])
      }))

    test('a check passes over what is as it was, and finds what was changed, even with its times set back', () =>
      withBench(async ({ store, damage, root, create, write }) => {
        const names = ['same', 'touched', 'moved', 'changed', 'gone']
        const blocks = names.map((_, i) => sampleBlocks(3, 300, i * 10))
        const id = await create('adopted')
        await store.backings.commit(
          id,
          names.map((name, i) => write(name, blocks[i]!)),
        )
        const at = (name: string): string => path.join(root, name)
        const { atime, mtime } = fs.statSync(at('changed'))
        fs.utimesSync(at('touched'), 1, 1)
        fs.copyFileSync(at('moved'), at('copy'))
        fs.renameSync(at('copy'), at('moved'))
        const bytes = fs.readFileSync(at('changed'))
        fs.writeFileSync(
          at('changed'),
          bytes.map((byte) => byte ^ 1),
        )
        fs.utimesSync(at('changed'), atime, mtime)
        fs.rmSync(at('gone'))
        const check = await store.backings.check(id)
        assert.equal(check.files, 5)
        assert.deepEqual(
          check.changed.first.map((below) => Buffer.from(below).toString()),
          ['changed', 'gone'],
        )
        assert.deepEqual(check.lost, sizeOf([...blocks[3]!, ...blocks[4]!]))
        assert.equal(damage.length, 6)
        await checkAll(store, blocks.slice(0, 3).flat())
        await checkMissing(store, blocks.slice(3).flat())
      }))

    test('malformed entries and backings that there are not are refused', () =>
      withBench(async ({ store, root, create, write }) => {
        const id = await create('adopted')
        const file = write('file', [sampleBlock(1)])
        const [block] = file.blocks
        const wrong: BackedFile[] = [
          { ...file, below: Buffer.from('/file') },
          { ...file, blocks: [{ ...block!, key: block!.key.slice(1) }] },
          { ...file, blocks: [{ ...block!, offset: -1 }] },
          { ...file, blocks: [{ ...block!, lengthBytes: 2 ** 30 }] },
        ]
        for (const each of wrong) await assert.rejects(store.backings.commit(id, [each]), { code: 'invalid' })
        await assert.rejects(store.backings.commit(77, [file]), { code: 'not-found' })
        await assert.rejects(store.backings.drop(77), { code: 'not-found' })
        await assert.rejects(store.backings.check(77), { code: 'not-found' })
        await assert.rejects(store.backings.setPaths(77, { path: Buffer.from(root) }), { code: 'not-found' })
        await assert.rejects(store.backings.setPaths(id, { path: Buffer.from('relative') }), {
          code: 'invalid',
        })
        await checkMissing(store, [sampleBlock(1)])
      }))
  })
}
