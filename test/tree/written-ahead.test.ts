/** Check-outs of which files are written while the snapshot is on its way. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { type Clock, systemClock } from '../../src/base/clock.ts'
import type { MirrorError } from '../../src/base/errors.ts'
import type { Cid } from '../../src/block/cid.ts'
import { buildDirectory, decodeDirectoryNode } from '../../src/dag/directory.ts'
import { listPages, readPage } from '../../src/dag/reader.ts'
import { setXattr } from '../../src/posix/xattr.ts'
import type { CheckoutAhead } from '../../src/tree/checkout/ahead.ts'
import { createCheckoutAhead } from '../../src/tree/checkout/ahead.ts'
import { createAheadUnits } from '../../src/tree/checkout/ahead-units.ts'
import { checkOut } from '../../src/tree/checkout/checkout.ts'
import { createCheckoutStorage } from '../../src/tree/checkout/checkout-storage.ts'
import { createPageFrontier } from '../../src/tree/checkout/page-frontier.ts'
import type { ImportResult } from '../../src/tree/import/import.ts'
import { CHUNKED } from '../chunked.ts'
import { until } from '../net/mesh.ts'
import { makeEveryCase } from './every-case.ts'
import { missingOf } from './missing-blocks.ts'
import { type Bench, bench, describeTree, noise, setTime } from './trees.ts'

const OLD_SEC = 1_000_000_000
const DIRS = 30
const FILES = 40
const CHANGED = (DIRS / 2) * 11

function begin(t: TestContext, to: Bench, dest = 'out') {
  const givenUp: MirrorError[] = []
  const ahead = createCheckoutAhead(
    { blocks: to.store.blocks, clock: systemClock },
    { dest: Buffer.from(to.at(dest)), onGivenUp: (error) => givenUp.push(error) },
  )
  t.after(() => ahead.close())
  return { ahead, givenUp }
}

/** What a fetch does: the index is known soon, and the pages fill up, here in another order than theirs. */
async function fetchAhead(
  from: Bench,
  to: Bench,
  { snapshotCid, snapshot }: Pick<ImportResult, 'snapshotCid' | 'snapshot'>,
  {
    ahead,
    pagesLeftOut = 0,
    neededBytes = 0,
  }: { ahead?: CheckoutAhead; pagesLeftOut?: number; neededBytes?: number },
): Promise<void> {
  const copy = async (cids: readonly Cid[]): Promise<void> => {
    const found = await from.store.blocks.getMany(cids)
    await to.store.blocks.put(cids.map((cid, i) => ({ cid, bytes: found[i]! })))
  }
  const told = ahead?.follow(snapshotCid, () => neededBytes)
  await copy([snapshotCid])
  const source = {
    async get(cid: Cid) {
      await copy([cid])
      return to.store.blocks.get(cid)
    },
  }
  const pages: Cid[][] = []
  for await (const ref of listPages(source, snapshot.index)) {
    const { blocks } = await readPage(source, ref)
    pages.push(blocks.map(({ cid }) => cid))
  }
  const has: boolean[][] = []
  for (const cids of pages) has.push(await to.store.blocks.has(cids))
  const order = [...pages.keys()].slice(0, pages.length - pagesLeftOut)
  for (const number of order) told?.read(number, has[number]!)
  // The first comes late.
  for (const number of [...order.slice(1, 3), ...order.slice(0, 1), ...order.slice(3)]) {
    const cids = pages[number]!
    // The second half before the first.
    for (const offsets of [
      [...cids.keys()].slice(cids.length >> 1),
      [...cids.keys()].slice(0, cids.length >> 1),
    ]) {
      await copy(offsets.map((offset) => cids[offset]!))
      told?.arrived(number, offsets)
    }
    told?.stored(number)
  }
}

/** Written, or given up. */
function written(ahead: CheckoutAhead, files: number): Promise<void> {
  return until(() => ahead.files >= files || ahead.isGivenUp, `${files} files are written ahead`, 60_000)
}

function finish(
  to: Bench,
  { snapshot }: Pick<ImportResult, 'snapshot'>,
  ahead: CheckoutAhead | undefined,
  dest = 'out',
) {
  const storage = createCheckoutStorage({ blocks: to.store.blocks })
  return checkOut(
    { blocks: to.store.blocks, clock: systemClock, storage },
    { root: snapshot.root, counts: snapshot.counts, dest: to.at(dest), replace: true, devices: true, ahead },
  )
}

/** Line by line: a difference of thousands is not printed. */
function assertSame(to: Bench, from: Bench): void {
  const found = describeTree(to.at('out'))
  const wanted = describeTree(from.at('source'))
  for (const [at, line] of wanted.entries()) assert.equal(found[at], line)
  assert.equal(found.length, wanted.length)
}

const hidden = (b: Bench): string[] =>
  fs.readdirSync(b.dir).filter((name) => /^\.out\.mirrormesh-/.test(name))

test('of a fetch that ends before its time nothing is written ahead, and one that goes on has it written', async (t) => {
  const from = await bench(t)
  const to = await bench(t)
  fs.mkdirSync(from.at('source', 'dir'), { recursive: true })
  for (let i = 0; i < 50; i++) fs.writeFileSync(from.at('source', 'dir', `file-${i}`), noise(100, i + 1))
  const version = await from.import(from.at('source'))
  const timer: { waitedMs?: number; due?: () => void } = {}
  const clock: Clock = {
    ...systemClock,
    after(delayMs, task) {
      timer.waitedMs = delayMs
      timer.due = task
      return () => void delete timer.due
    },
  }
  const ahead = createCheckoutAhead(
    { blocks: to.store.blocks, clock },
    { dest: Buffer.from(to.at('out')), afterMs: 60_000, onGivenUp: (error) => assert.fail(error) },
  )
  t.after(() => ahead.close())
  await fetchAhead(from, to, version, { ahead })
  assert.equal(timer.waitedMs, 60_000)
  await ahead.settle()
  assert.equal('due' in timer, false)
  assert.equal(ahead.place, undefined)
  assert.deepEqual(hidden(to), [])
  // Another fetch of it, which takes its time.
  await fetchAhead(from, to, version, { ahead })
  assert.ok(timer.due !== undefined)
  timer.due()
  await written(ahead, 50)
  await ahead.settle()
  assert.equal(hidden(to).length, 1)
  await finish(to, version, ahead)
  assertSame(to, from)
})

test('what was written ahead is taken, whatever the tree holds, and looks like what is written afterwards', async (t) => {
  const from = await bench(t)
  const to = await bench(t)
  fs.mkdirSync(from.at('source'))
  makeEveryCase(from.at('source'), { uid: process.geteuid!(), gid: process.getegid!() })
  // A directory of several leaves, one that is there twice, files in the root, a large one, one with attributes.
  for (const dir of ['many', 'twice/a', 'twice/b']) fs.mkdirSync(from.at('source', dir), { recursive: true })
  for (let i = 0; i < 1500; i++)
    fs.writeFileSync(from.at('source', 'many', `file-${i}`), noise(100 + (i % 50), i + 1))
  for (const dir of ['a', 'b']) {
    fs.writeFileSync(from.at('source', 'twice', dir, 'same'), 'the same')
    setTime(from.at('source', 'twice', dir, 'same'), OLD_SEC, 0)
    setTime(from.at('source', 'twice', dir), OLD_SEC, 0)
  }
  fs.writeFileSync(from.at('source', 'large'), noise(9_000_000))
  fs.writeFileSync(from.at('source', 'marked'), 'marked')
  setXattr(Buffer.from(from.at('source', 'marked')), Buffer.from('user.mark'), Buffer.from('x'))
  const version = await from.import(from.at('source'))
  const { ahead, givenUp } = begin(t, to)
  await fetchAhead(from, to, version, { ahead })
  await written(ahead, 1502)
  await ahead.settle()
  assert.deepEqual(givenUp, [])
  assert.ok(ahead.files >= 1502, `${ahead.files} files were written ahead`)
  assert.equal(fs.existsSync(to.at('out')), false)
  assert.equal(hidden(to).length, 1)
  const folder = fs.readdirSync(to.at(hidden(to)[0]!)).length
  assert.ok(folder > 2)

  const result = await finish(to, version, ahead)
  await ahead.close()
  assert.equal(result.files, version.snapshot.counts.files)
  assertSame(to, from)
  assert.deepEqual(hidden(to), [])
  // Its manifest and its storage are those of a check-out as it ever was.
  assert.equal(await missingOf(to, version), 0)
  const again = await finish(to, version, undefined)
  assert.equal(again.bytes, 0)
  assert.ok(again.reusedFiles >= 1502)
  assertSame(to, from)
})

/** Of a tree that changes a little. Its files have blocks: by these it is known what is new. */
async function makeVersions(from: Bench): Promise<ImportResult[]> {
  const versions: ImportResult[] = []
  const write = (name: string, content: string, sec: number): void => {
    fs.writeFileSync(from.at('source', name), content)
    setTime(from.at('source', name), sec, 0)
  }
  for (let i = 0; i < DIRS; i++) {
    fs.mkdirSync(from.at('source', `dir${i}`), { recursive: true })
    for (let n = 0; n < FILES; n++) write(`dir${i}/file${n}`, `file ${n} of ${i}`, OLD_SEC + n)
  }
  versions.push(await from.import(from.at('source'), { chunker: CHUNKED }))
  for (let i = 0; i < DIRS; i += 2) {
    for (let n = 0; n < 10; n++) write(`dir${i}/file${n}`, `changed ${n} of ${i}`, OLD_SEC + 100)
    write(`dir${i}/new`, `new in ${i}`, OLD_SEC)
  }
  versions.push(await from.import(from.at('source'), { chunker: CHUNKED }))
  write('dir0/file0', 'changed again', OLD_SEC + 200)
  versions.push(await from.import(from.at('source'), { chunker: CHUNKED }))
  return versions
}

test('a tree that changes a little', async (t) => {
  const from = await bench(t)
  const [first, second, third] = (await makeVersions(from)) as [ImportResult, ImportResult, ImportResult]
  await t.test(
    'an update writes ahead what is new of it, and takes over the rest; the old tree is as it was until the switch',
    async (t) => {
      const to = await bench(t)
      await fetchAhead(from, to, first, {})
      await finish(to, first, undefined)
      const before = describeTree(to.at('out'))
      const inode = fs.statSync(to.at('out', 'dir0', 'file20')).ino
      fs.mkdirSync(to.at('out', 'mine'))
      fs.writeFileSync(to.at('out', 'mine', 'PROTECTED'), '')
      fs.writeFileSync(to.at('out', 'mine', 'notes'), 'notes')
      fs.writeFileSync(to.at('out', 'dir2', 'PROTECTED'), '')

      const { ahead, givenUp } = begin(t, to)
      await fetchAhead(from, to, second, { ahead })
      await written(ahead, CHANGED)
      await ahead.settle()
      assert.deepEqual(givenUp, [])
      assert.equal(ahead.files, CHANGED)
      fs.rmSync(to.at('out', 'mine'), { recursive: true })
      fs.unlinkSync(to.at('out', 'dir2', 'PROTECTED'))
      assert.deepEqual(
        describeTree(to.at('out')).filter((line) => !/^"(\/dir2)?" /.test(line)),
        before.filter((line) => !/^"(\/dir2)?" /.test(line)),
      )
      // Made while it was on its way: it is the users' own, and stays.
      fs.mkdirSync(to.at('out', 'mine'))
      fs.writeFileSync(to.at('out', 'mine', 'PROTECTED'), '')
      fs.writeFileSync(to.at('out', 'mine', 'notes'), 'notes')
      fs.writeFileSync(to.at('out', 'dir2', 'PROTECTED'), '')
      fs.writeFileSync(to.at('out', 'dir2', 'file1'), 'edited')

      const result = await finish(to, second, ahead)
      await ahead.close()
      assert.equal(result.kept.count, 2)
      assert.equal(fs.statSync(to.at('out', 'dir0', 'file20')).ino, inode)
      assert.equal(result.files - result.reusedFiles, CHANGED - 11)
      assert.equal(fs.readFileSync(to.at('out', 'dir2', 'file1'), 'utf8'), 'edited')
      assert.equal(fs.readFileSync(to.at('out', 'mine', 'notes'), 'utf8'), 'notes')
      for (const file of ['dir0/file0', 'dir28/file9', 'dir28/new', 'dir29/file3']) {
        assert.equal(
          fs.readFileSync(to.at('out', file), 'utf8'),
          fs.readFileSync(from.at('source', file), 'utf8').replace('changed again', 'changed 0 of 0'),
        )
      }
      assert.deepEqual(hidden(to), [])
    },
  )

  await t.test(
    'a head that moves on in mid-fetch: what fits is used, what does not is removed',
    async (t) => {
      const to = await bench(t)
      const { ahead, givenUp } = begin(t, to)
      await fetchAhead(from, to, second, { ahead, pagesLeftOut: 1 })
      await written(ahead, 200)
      const files = ahead.files
      assert.ok(files >= 200, `${files} files were written ahead`)
      await fetchAhead(from, to, third, { ahead })
      await written(ahead, files + 1)
      await ahead.settle()
      assert.deepEqual(givenUp, [])
      const result = await finish(to, third, ahead)
      await ahead.close()
      assert.equal(result.files, third.snapshot.counts.files)
      assert.ok(
        ahead.files <= result.files + 41 + 256,
        `${ahead.files} files were written for ${result.files}`,
      )
      assert.deepEqual(describeTree(to.at('out')), describeTree(from.at('source')))
      assert.deepEqual(hidden(to), [])
    },
  )

  await t.test(
    'without room for what is still to be fetched it is given up, and leaves nothing; the check-out is made as ever',
    async (t) => {
      const to = await bench(t)
      const { ahead, givenUp } = begin(t, to)
      await fetchAhead(from, to, first, { ahead, neededBytes: 1e18 })
      await written(ahead, 1)
      await ahead.settle()
      assert.deepEqual(
        givenUp.map(({ code }) => code),
        ['no-space'],
      )
      assert.deepEqual(hidden(to), [])
      await finish(to, first, ahead)
      await ahead.close()
      assert.equal(fs.readdirSync(to.at('out')).length, DIRS)
    },
  )

  await t.test(
    'another place of it is in use, or its parent is missing: it is given up, and nothing is touched',
    async (t) => {
      const to = await bench(t)
      const one = begin(t, to)
      await fetchAhead(from, to, first, { ahead: one.ahead })
      await written(one.ahead, 100)
      const two = begin(t, to)
      await fetchAhead(from, to, first, { ahead: two.ahead })
      await two.ahead.settle()
      assert.deepEqual(
        two.givenUp.map(({ code }) => code),
        ['busy'],
      )
      await two.ahead.close()
      assert.equal(hidden(to).length, 1)
      const three = begin(t, to, 'missing/out')
      await fetchAhead(from, to, first, { ahead: three.ahead })
      await three.ahead.settle()
      assert.deepEqual(
        three.givenUp.map(({ code }) => code),
        ['not-found'],
      )
      await one.ahead.close()
      assert.deepEqual(hidden(to), [])
    },
  )

  await t.test(
    'a file of what was written ahead that is gone or of another size is written again',
    async (t) => {
      const to = await bench(t)
      const { ahead } = begin(t, to)
      await fetchAhead(from, to, first, { ahead })
      await written(ahead, first.snapshot.counts.files)
      await ahead.settle()
      const place = to.at(hidden(to)[0]!)
      const [a, b] = fs.readdirSync(place)
      for (const name of fs.readdirSync(`${place}/${a}`)) fs.unlinkSync(`${place}/${a}/${name}`)
      for (const name of fs.readdirSync(`${place}/${b}`)) fs.appendFileSync(`${place}/${b}/${name}`, 'x')
      await finish(to, first, ahead)
      await ahead.close()
      for (let i = 0; i < DIRS; i++)
        for (let n = 0; n < FILES; n++)
          assert.equal(fs.readFileSync(to.at('out', `dir${i}`, `file${n}`), 'utf8'), `file ${n} of ${i}`)
    },
  )
})

test('directories are found at the end of their run, those of several leaves with all of their files', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 4000 }), { minLength: 1, maxLength: 6 }),
      fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }),
      (sizes, ends) => {
        const units = createAheadUnits()
        const found = new Map<string, number>()
        const end = (): void => {
          for (const { cid, files } of units.end()) found.set(cid.toString(), files.length)
        }
        const wanted = new Map<string, number>()
        for (const [at, size] of sizes.entries()) {
          const entries = Array.from({ length: size }, (_, n) => ({
            ...{ type: 'file', mode: 0o644, mtimeSec: at, mtimeNsec: 0, uid: 0, gid: 0, sizeBytes: 0 },
            name: Buffer.from(String(n).padStart(6, '0')),
          })) as Parameters<typeof buildDirectory>[0]
          const cid = buildDirectory(entries, ({ cid: node, bytes }) =>
            units.add(node, decodeDirectoryNode(node, bytes)),
          )
          if (size > 0) wanted.set(cid.toString(), size)
          if (ends[at] === true) end()
        }
        end()
        assert.deepEqual(found, wanted)
      },
    ),
    { numRuns: 30 },
  )
})

test('a frontier goes over blocks as they are stored, in order, and tells which came', async () => {
  const frontier = createPageFrontier()
  assert.equal(frontier.isReached(0, -1), false)
  frontier.read(0, [true, false, true, false])
  frontier.read(1, [true, true])
  assert.deepEqual(
    [-1, 0, 1].map((offset) => frontier.isReached(0, offset)),
    [true, true, false],
  )
  frontier.arrived(0, [3])
  assert.equal(frontier.isReached(0, 1), false)
  const reached = frontier.reaches(0, 3)
  frontier.arrived(0, [1])
  assert.equal(await reached, true)
  assert.deepEqual([0, 1, 2, 3].map(frontier.newOf(0)!), [false, true, false, true])
  assert.equal(frontier.newOf(1), undefined)
  assert.equal(frontier.isReached(1, 1), true)
  frontier.pass(0)
  frontier.pass(1)
  frontier.read(2, [false, false])
  const never = frontier.reaches(2, 1)
  frontier.stored(2)
  assert.equal(await never, true)
  const over = frontier.reaches(3, -1)
  frontier.end()
  assert.equal(await over, false)
})
