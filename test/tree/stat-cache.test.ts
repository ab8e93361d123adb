import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Clock } from '../../src/base/clock.ts'
import { systemClock } from '../../src/base/clock.ts'
import { encodeEntry } from '../../src/dag/entry.ts'
import type { BlockStore } from '../../src/store/block-store.ts'
import type { ImportOptions, ImportResult } from '../../src/tree/import/import.ts'
import { importTree } from '../../src/tree/import/import.ts'
import { isUnchanged } from '../../src/tree/stat-cache/find-unchanged.ts'
import { openStatCaches } from '../../src/tree/stat-cache/stat-caches.ts'
import { createTestLogger } from '../replica/test-mesh.ts'
import { bench, noise, setTime } from './trees.ts'

/** So far ahead that nothing on the disk is young: what is younger than the clock's grain is a test of its own. */
const laterClock: Clock = { ...systemClock, nowMs: () => systemClock.nowMs() + 3_600_000 }

/** What a test may do to the same file twice must have two ctimes: waits until the file system's clock has moved. */
function letTheClockMove(dir: string): void {
  const probe = path.join(dir, 'probe')
  const touch = (): bigint => {
    fs.writeFileSync(probe, '')
    return fs.lstatSync(probe, { bigint: true }).ctimeNs
  }
  const start = touch()
  while (touch() === start);
}

async function setUp(t: TestContext, clock: Clock = laterClock) {
  const b = await bench(t)
  const logger = createTestLogger()
  const caches = openStatCaches({ dir: b.at('cache'), log: logger })
  fs.mkdirSync(b.at('source'))
  let files = 0
  /** Counts what is looked up: nothing is when a tree is unchanged. */
  const lost = new Set<string>()
  const blocks: BlockStore = {
    ...b.store.blocks,
    async has(cids) {
      const stored = await b.store.blocks.has(cids)
      return stored.map((isStored, index) => isStored && !lost.has(cids[index]!.toString()))
    },
  }
  async function importCached(options: Partial<ImportOptions> = {}): Promise<ImportResult> {
    const result = await importTree(
      { blocks, tempDir: b.at('tmp'), clock },
      { path: b.at('source'), tree: 'test', statCaches: caches, ...options },
    )
    await result.cache?.keep(result.snapshotCid)
    files += 1
    letTheClockMove(b.dir)
    return result
  }
  const isStill = (result: ImportResult, options = {}) =>
    isUnchanged(
      { statCaches: caches, tempDir: b.dir, clock },
      { path: b.at('source'), tree: 'test', snapshot: result.snapshotCid, ...options },
    )
  const cacheFile = (): string => path.join(b.at('cache'), fs.readdirSync(b.at('cache'))[0]!)
  return { b, logger, caches, lost, importCached, isStill, cacheFile, imports: () => files }
}

/** Makes reading a file give itself away: only its atime can tell, so that is set to long ago first. */
function forgetReads(file: string): void {
  const { mtimeNs } = fs.lstatSync(file, { bigint: true })
  fs.utimesSync(file, 1, 1)
  setTime(file, Number(mtimeNs / 1_000_000_000n), Number(mtimeNs % 1_000_000_000n))
}

test('an unchanged tree is known by one stat an entry, and any change is seen', async (t) => {
  const { b, importCached, isStill } = await setUp(t)
  fs.mkdirSync(b.at('source', 'a', 'b'), { recursive: true })
  fs.mkdirSync(b.at('source', 'empty'))
  // Too large to be listed at once.
  fs.mkdirSync(b.at('source', 'many'))
  for (let index = 0; index < 1500; index++)
    fs.writeFileSync(b.at('source', 'many', `${index}`.padEnd(60)), '')
  fs.writeFileSync(b.at('source', 'a', 'one'), noise(300_000))
  fs.writeFileSync(b.at('source', 'a', 'b', 'two'), 'two')
  fs.writeFileSync(b.at('source', 'nothing'), '')
  fs.symlinkSync('a/one', b.at('source', 'link'))
  fs.linkSync(b.at('source', 'nothing'), b.at('source', 'nothing-2'))
  letTheClockMove(b.dir)
  const changes: Record<string, () => void> = {
    'a file grows': () => fs.appendFileSync(b.at('source', 'a', 'one'), 'x'),
    'a file is rewritten at the same size and time': () => {
      const file = b.at('source', 'a', 'b', 'two')
      const { mtimeNs } = fs.lstatSync(file, { bigint: true })
      fs.writeFileSync(file, 'TWO')
      setTime(file, Number(mtimeNs / 1_000_000_000n), Number(mtimeNs % 1_000_000_000n))
    },
    'a mode changes': () => fs.chmodSync(b.at('source', 'nothing'), 0o640),
    'the mode of the root changes': () => fs.chmodSync(b.at('source'), 0o750),
    'a file appears': () => fs.writeFileSync(b.at('source', 'empty', 'new'), ''),
    'a file appears last': () => fs.writeFileSync(b.at('source', 'zz'), ''),
    'a file goes': () => fs.rmSync(b.at('source', 'zz')),
    'one of many files goes': () => fs.rmSync(b.at('source', 'many', '1499'.padEnd(60))),
    'a folder goes': () => fs.rmSync(b.at('source', 'empty'), { recursive: true }),
    'a link is made elsewhere': () => fs.linkSync(b.at('source', 'a', 'one'), b.at('outside')),
    'two files change places': () => {
      fs.renameSync(b.at('source', 'a', 'one'), b.at('x'))
      fs.renameSync(b.at('source', 'a', 'b', 'two'), b.at('source', 'a', 'one'))
      fs.renameSync(b.at('x'), b.at('source', 'a', 'b', 'two'))
    },
    'a file becomes a folder': () => {
      fs.rmSync(b.at('source', 'a', 'one'))
      fs.mkdirSync(b.at('source', 'a', 'one'))
    },
    'a symbolic link points elsewhere': () => {
      fs.rmSync(b.at('source', 'link'))
      fs.symlinkSync('a/two', b.at('source', 'link'))
    },
  }
  for (const [what, change] of Object.entries(changes)) {
    const result = await importCached()
    assert.ok(await isStill(result), `before ${what}`)
    change()
    assert.ok(!(await isStill(result)), what)
  }
})

test('only what changed is read again, and the result is that of an import without a cache', async (t) => {
  const { b, importCached } = await setUp(t)
  for (const name of ['one', 'two', 'large']) {
    fs.writeFileSync(b.at('source', name), noise(name === 'large' ? 9_000_000 : 4000, name.length))
    forgetReads(b.at('source', name))
  }
  letTheClockMove(b.dir)
  await importCached()
  const atime = (name: string): number => fs.lstatSync(b.at('source', name)).atimeMs
  // relatime: reading a file whose atime is older than its mtime sets it.
  for (const name of ['one', 'two', 'large']) forgetReads(b.at('source', name))
  letTheClockMove(b.dir)
  await importCached()
  for (const name of ['one', 'two', 'large']) assert.notEqual(atime(name), 1000, `${name} was read`)
  const before = ['one', 'two', 'large'].map(atime)
  fs.writeFileSync(b.at('source', 'two'), 'changed')
  letTheClockMove(b.dir)
  const cached = await importCached()
  assert.deepEqual(['one', 'large'].map(atime), [before[0], before[2]])
  const plain = await b.import(b.at('source'))
  assert.deepEqual(encodeEntry(cached.snapshot.root), encodeEntry(plain.snapshot.root))
  assert.ok(cached.snapshot.index.equals(plain.snapshot.index))
})

test('a block that the store lost is read again although the cache knows its file', async (t) => {
  const { b, importCached, lost } = await setUp(t)
  fs.writeFileSync(b.at('source', 'kept'), noise(1000, 1))
  fs.writeFileSync(b.at('source', 'lost'), noise(1_000_000, 2))
  letTheClockMove(b.dir)
  const first = await importCached()
  fs.writeFileSync(b.at('source', 'other'), 'so that the tree is not unchanged')
  const { chunksOf } = await import('./chunks.ts')
  const chunk = (await chunksOf(b.store.blocks, first.snapshot.root, 'lost'))[1]!
  lost.add(chunk.toString())
  const again = await importCached()
  assert.ok(again.newBlocks >= 1)
  const written = again.newBytes
  assert.ok(written > 1000, `${written} bytes were stored again`)
})

test('what is younger than the grain of the clock is not trusted', async (t) => {
  const { b, importCached, isStill } = await setUp(t, systemClock)
  fs.writeFileSync(b.at('source', 'young'), 'young')
  const result = await importCached()
  assert.ok(!(await isStill(result)))
})

test('a cache that is cut or damaged anywhere changes nothing but the time it takes', async (t) => {
  const { b, importCached, isStill, cacheFile } = await setUp(t)
  for (let i = 0; i < 30; i++) {
    fs.mkdirSync(b.at('source', `d${i}`))
    fs.writeFileSync(b.at('source', `d${i}`, 'file'), noise(200 + i, i + 1))
  }
  letTheClockMove(b.dir)
  const whole = await importCached()
  const bytes = fs.readFileSync(cacheFile())
  const root = encodeEntry(whole.snapshot.root)
  await fc.assert(
    fc.asyncProperty(
      fc.nat(bytes.length - 1),
      fc.integer({ min: 1, max: 255 }),
      fc.boolean(),
      async (at, flip, isCut) => {
        const damaged = Buffer.from(bytes)
        damaged[at]! ^= flip
        fs.writeFileSync(cacheFile(), isCut ? bytes.subarray(0, at) : damaged)
        assert.ok(!(await isStill(whole)))
        const again = await importCached()
        assert.deepEqual(encodeEntry(again.snapshot.root), root)
        assert.ok(again.snapshot.index.equals(whole.snapshot.index))
      },
    ),
    {
      numRuns: 8,
      examples: [
        [0, 1, false],
        [bytes.length - 1, 1, false],
        [bytes.length - 60, 1, false],
      ],
    },
  )
})

test('a cache of another tree, path or chunker is not used, and rules that changed are seen', async (t) => {
  const { b, caches, importCached, isStill } = await setUp(t)
  fs.writeFileSync(b.at('source', 'a.tmp'), 'x')
  letTheClockMove(b.dir)
  const result = await importCached({ ignore: ['*.tmp'] })
  assert.equal(result.files, 0)
  assert.deepEqual(result.snapshot.ignore, ['*.tmp'])
  assert.ok(await isStill(result, { ignore: ['*.tmp'] }))
  assert.ok(!(await isStill(result)))
  assert.ok(!(await isStill(result, { tree: 'other', ignore: ['*.tmp'] })))
  assert.ok(!(await isStill({ ...result, snapshotCid: result.snapshot.index }, { ignore: ['*.tmp'] })))
  const root = Buffer.from(b.at('source'))
  const chunker = { ...result.snapshot.chunker, avgBytes: result.snapshot.chunker.avgBytes / 2 }
  assert.equal(caches.open({ tree: 'test', root, chunker }), undefined)
})

test('caches stay under their bound, the ones unused for the longest go first', async (t) => {
  const b = await bench(t)
  const logger = createTestLogger()
  const source = b.at('source')
  fs.mkdirSync(source)
  fs.writeFileSync(b.at('source', 'f'), 'f')
  fs.mkdirSync(b.at('cache'))
  fs.writeFileSync(b.at('cache', 'x.stat.1.tmp'), 'left by a kill')
  const caches = openStatCaches({ dir: b.at('cache'), log: logger }, { maxBytes: 1200 })
  assert.deepEqual(fs.readdirSync(b.at('cache')), [])
  const keep = async (tree: string, day: number): Promise<string> => {
    const before = new Set(fs.readdirSync(b.at('cache')))
    const result = await b.import(source, { tree, statCaches: caches })
    await result.cache!.keep(result.snapshotCid)
    const made = fs.readdirSync(b.at('cache')).find((name) => !before.has(name))!
    fs.utimesSync(b.at('cache', made), day, day)
    return made
  }
  const one = await keep('one', 86_400)
  const two = await keep('two', 172_800)
  const size = fs.statSync(b.at('cache', one)).size
  assert.ok(size * 2 <= 1200 && size * 3 > 1200, `${size} bytes each`)
  const three = await keep('three', 259_200)
  assert.deepEqual(fs.readdirSync(b.at('cache')).sort(), [two, three].sort())
  const dropped = await b.import(source, { tree: 'four', statCaches: caches })
  dropped.cache!.drop()
  assert.deepEqual(fs.readdirSync(b.at('cache')).sort(), [two, three].sort())
})

/** Names from a few, so that edits meet; each edit is possible or does nothing. */
const name = fc.constantFrom('a', 'b', 'c', 'd/a', 'd/b', 'd/e/a', 'd', 'd/e', 'f\xff')
const edit = fc.oneof(
  fc.record({
    kind: fc.constant('write' as const),
    name,
    text: fc.constantFrom('one', 'two', 'longer text'),
  }),
  fc.record({
    kind: fc.constant('write-and-restore-mtime' as const),
    name,
    text: fc.constantFrom('ONE', 'TWO'),
  }),
  fc.record({ kind: fc.constant('swap' as const), name, other: name }),
  fc.record({ kind: fc.constant('link' as const), name, other: name }),
  fc.record({ kind: fc.constant('rename' as const), name, other: name }),
  fc.record({ kind: fc.constant('remove' as const), name }),
  fc.record({ kind: fc.constant('mkdir' as const), name }),
  fc.record({ kind: fc.constant('symlink' as const), name, target: fc.constantFrom('a', 'x') }),
  fc.record({ kind: fc.constant('chmod' as const), name, mode: fc.constantFrom(0o600, 0o755) }),
)

test('an import with a cache gives what one without gives, whatever was done in between', async (t) => {
  const { b, importCached, isStill } = await setUp(t)
  const at = (below: string): Buffer => Buffer.from(`${b.at('source')}/${below}`, 'latin1')
  function apply(step: typeof edit extends fc.Arbitrary<infer T> ? T : never): void {
    const target = at(step.name)
    switch (step.kind) {
      case 'write':
        fs.writeFileSync(target, step.text)
        return
      case 'write-and-restore-mtime': {
        const { mtimeNs } = fs.lstatSync(target, { bigint: true })
        fs.writeFileSync(target, step.text)
        setTime(target, Number(mtimeNs / 1_000_000_000n), Number(mtimeNs % 1_000_000_000n))
        return
      }
      case 'swap':
        fs.renameSync(target, b.at('swap'))
        try {
          fs.renameSync(at(step.other), target)
        } finally {
          fs.renameSync(b.at('swap'), fs.existsSync(target) ? at(step.other) : target)
        }
        return
      case 'link':
        fs.rmSync(at(step.other), { force: true })
        fs.linkSync(target, at(step.other))
        return
      case 'rename':
        fs.renameSync(target, at(step.other))
        return
      case 'remove':
        fs.rmSync(target, { recursive: true })
        return
      case 'mkdir':
        fs.mkdirSync(target)
        return
      case 'symlink':
        fs.symlinkSync(step.target, target)
        return
      case 'chmod':
        fs.chmodSync(target, step.mode)
    }
  }
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(edit, { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 3 }),
      async (rounds) => {
        fs.rmSync(b.at('source'), { recursive: true })
        fs.rmSync(b.at('swap'), { recursive: true, force: true })
        fs.mkdirSync(at('d/e'), { recursive: true })
        for (const first of ['a', 'b', 'd/a', 'd/e/a']) fs.writeFileSync(at(first), first)
        letTheClockMove(b.dir)
        await importCached()
        for (const round of rounds) {
          for (const step of round) {
            try {
              apply(step)
            } catch (error) {
              assert.equal(typeof (error as NodeJS.ErrnoException).syscall, 'string', String(error))
            }
          }
          letTheClockMove(b.dir)
          const cached = await importCached()
          const plain = await b.import(b.at('source'))
          assert.deepEqual(encodeEntry(cached.snapshot.root), encodeEntry(plain.snapshot.root))
          assert.ok(cached.snapshot.index.equals(plain.snapshot.index))
          assert.deepEqual(cached.snapshot.counts, plain.snapshot.counts)
          assert.ok(await isStill(cached))
        }
      },
    ),
    { numRuns: 5 },
  )
})
