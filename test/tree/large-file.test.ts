/** Large files that several threads read together: what one thread would have cut, whatever the others did. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { systemClock } from '../../src/base/clock.ts'
import { MirrorError } from '../../src/base/errors.ts'
import type { ChunkerParams } from '../../src/block/chunker.ts'
import { checkClosure } from '../../src/replica/holdings/closure-check.ts'
import type { BlockStore } from '../../src/store/block-store.ts'
import { openStore } from '../../src/store/store.ts'
import type { ContentReader, FileRecord } from '../../src/tree/import/content-reader.ts'
import { createContentReader } from '../../src/tree/import/content-reader.ts'
import type { SharedFile, SpanReport } from '../../src/tree/import/file-spans.ts'
import { spanStarts } from '../../src/tree/import/file-spans.ts'
import { importTree } from '../../src/tree/import/import.ts'
import { inodeOf } from '../../src/tree/spool/inode.ts'
import type { ReadHeader } from '../../src/tree/spool/read-results.ts'
import { readPart, readReadExtras, readReadHeader } from '../../src/tree/spool/read-results.ts'
import { createRecordReader, createRecordWriter, openUnnamedFile } from '../../src/tree/spool/record-bytes.ts'
import { NO_LINK } from '../../src/tree/spool/spool.ts'
import { bench, noise } from './trees.ts'

const KILLED = fileURLToPath(new URL('import-killed.ts', import.meta.url))
const SMALL: ChunkerParams = { kind: 'gear64', minBytes: 64, avgBytes: 256, maxBytes: 1024 }

interface Read {
  readonly header: ReadHeader
  /** Digest and length of each chunk. */
  readonly chunks: readonly string[]
}

/** Reads one file with a helper in this thread: by turns each of the two cuts as many spans as `turns` says. */
function createPair(t: TestContext, dir: string, spanBytes: number, chunker = SMALL) {
  const fds: number[] = []
  t.after(() => {
    for (const fd of fds) fs.closeSync(fd)
  })
  const scratch = (name: string): number => {
    const fd = openUnnamedFile(dir, name)
    fds.push(fd)
    return fd
  }
  const resultsFd = scratch('results')
  const results = createRecordWriter(resultsFd)
  const sink = { offer: () => () => undefined, finish: () => undefined }
  let onSpan: () => void = () => undefined
  let helperQuota = 0

  function reader(
    isHelper: boolean,
    share: (file: SharedFile) => () => readonly SpanReport[],
  ): ContentReader {
    const fd = scratch('spans')
    return createContentReader(
      { sink, results: isHelper ? createRecordWriter(scratch('other')) : results },
      {
        chunker,
        onBytes: () => (isHelper ? onHelped() : onSpan()),
        openFile: (path) => fs.openSync(path, openFlags),
        sharing: { spanBytes, isStored: true, records: { fd, out: createRecordWriter(fd) }, share },
      },
    )
  }

  let shared: SharedFile | undefined
  let openFlags = 'r'
  let held = 0
  function onHelped(): void {
    if (--helperQuota > 0) return
    held = shared!.taken[0]!
    shared!.taken[0] = shared!.starts.length
  }
  const helper = reader(true, () => () => [])
  let reports: SpanReport[] = []
  let turns: number[] = []
  let leadQuota = 0

  function help(): void {
    helperQuota = turns.shift() ?? 0
    leadQuota = turns.shift() ?? Number.POSITIVE_INFINITY
    if (helperQuota === 0) return
    held = shared!.starts.length
    reports.push(helper.help(shared!))
    if (reports.at(-1)?.errno === undefined && reports.at(-1)?.hasShrunk === false) shared!.taken[0] = held
  }

  const lead = reader(false, (file) => {
    shared = file
    reports = []
    onSpan = () => {
      if (--leadQuota <= 0) help()
    }
    help()
    return () => {
      onSpan = () => undefined
      return reports
    }
  })
  const alone = createContentReader({ sink, results }, { chunker })

  function outcome(header: ReadHeader, startByte: number): Read {
    results.flush()
    const records = createRecordReader(resultsFd, startByte, results.position)
    assert.deepEqual(readReadHeader(records), header)
    readReadExtras(records, header.extras)
    const chunks: string[] = []
    for (let part = 0; part < header.parts; part++) {
      const { digest, lengthBytes, count } = readPart(records)
      for (let i = 0; i < count; i++) chunks.push(`${Buffer.from(digest).toString('hex')} ${lengthBytes}`)
    }
    assert.ok(records.isAtEnd)
    return { header, chunks }
  }

  return {
    readAlone(path: string): Read {
      const startByte = results.position
      return outcome(
        alone.read(() => Buffer.from(path), recordOf(path)),
        startByte,
      )
    },
    readTogether(path: string, schedule: readonly number[], flags = 'r'): Read & { helped: number } {
      turns = [...schedule]
      openFlags = flags
      reports = []
      const startByte = results.position
      const read = outcome(
        lead.read(() => Buffer.from(path), recordOf(path)),
        startByte,
      )
      return { ...read, helped: reports.reduce((sum, { spans }) => sum + spans.length, 0) }
    },
    onHelp(action: () => void): void {
      const { help: before } = helper
      Object.assign(helper, {
        help(file: SharedFile) {
          action()
          return before(file)
        },
      })
    },
  }
}

function recordOf(path: string): FileRecord {
  const stat = fs.statSync(path, { bigint: true })
  return {
    kind: 'file',
    name: Buffer.from('file'),
    inode: inodeOf(stat),
    xattrs: [],
    sizeBytes: Number(stat.size),
    ino: stat.ino,
    ctimeNs: stat.ctimeNs,
    group: NO_LINK,
    isRead: true,
    isKnown: false,
    stat: new Uint8Array(),
  }
}

/** Contents that keep two sequences of cuts apart for long, beside those that do not. */
const piece = fc.record({
  kind: fc.constantFrom('noise', 'zeros', 'hole', 'constant', 'periodic'),
  lengthBytes: fc.oneof(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 4096, max: 40_000 })),
  seed: fc.integer({ min: 1, max: 250 }),
})
type Piece = typeof piece extends fc.Arbitrary<infer T> ? T : never

function writePieces(path: string, pieces: readonly Piece[]): void {
  const fd = fs.openSync(path, 'w')
  let at = 0
  for (const { kind, lengthBytes, seed } of pieces) {
    if (kind !== 'hole') fs.writeSync(fd, bytesOf(kind, lengthBytes, seed), 0, lengthBytes, at)
    at += lengthBytes
  }
  fs.ftruncateSync(fd, at)
  fs.closeSync(fd)
}

function bytesOf(kind: string, lengthBytes: number, seed: number): Buffer {
  if (kind === 'noise') return noise(lengthBytes, seed)
  if (kind === 'zeros') return Buffer.alloc(lengthBytes)
  if (kind === 'constant') return Buffer.alloc(lengthBytes, seed)
  const period = noise(1 + seed * 7, seed)
  return Buffer.alloc(lengthBytes, period)
}

test('together two readers cut what one would have cut, whatever lies at the seams and whoever takes which span', async (t) => {
  const b = await bench(t)
  const path = b.at('file')
  let helped = 0
  const pairs = new Map<number, ReturnType<typeof createPair>>()
  fc.assert(
    fc.property(
      fc.array(piece, { minLength: 1, maxLength: 12 }),
      fc.constantFrom(257, 1024, 1025, 4096, 10_000, 30_000),
      fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 12 }),
      (pieces, spanBytes, turns) => {
        writePieces(path, pieces)
        const pair = pairs.get(spanBytes) ?? createPair(t, b.dir, spanBytes)
        pairs.set(spanBytes, pair)
        const alone = pair.readAlone(path)
        const together = pair.readTogether(path, turns)
        assert.deepEqual(together.chunks, alone.chunks)
        assert.equal(together.header.status, 'captured')
        assert.equal(together.header.sizeBytes, fs.statSync(path).size)
        helped += together.helped
      },
    ),
    { numRuns: 150 },
  )
  assert.ok(helped > 100, `${helped} spans were a helper's`)
})

test('a file that changes while two read it is read again by one', async (t) => {
  const b = await bench(t)
  const path = b.at('file')
  const changes: Record<string, () => void> = {
    edited: () => fs.writeFileSync(path, noise(60_000, 9)),
    grown: () => fs.appendFileSync(path, noise(5000, 9)),
    shrunk: () => fs.truncateSync(path, 20_000),
    emptied: () => fs.truncateSync(path, 0),
  }
  for (const [change, make] of Object.entries(changes)) {
    fs.writeFileSync(path, noise(60_000))
    const pair = createPair(t, b.dir, 4096)
    let isMade = false
    pair.onHelp(() => {
      if (!isMade) make()
      isMade = true
    })
    const together = pair.readTogether(path, [1, 2, 1, 2, 1])
    assert.equal(isMade, true)
    assert.equal(together.header.status, 'captured', change)
    assert.deepEqual(together.chunks, pair.readAlone(path).chunks, change)
    assert.equal(together.header.sizeBytes, fs.statSync(path).size)
  }
})

test('a shared file of which a span cannot be read is left out with the reason', async (t) => {
  const b = await bench(t)
  const path = b.at('file')
  fs.writeFileSync(path, noise(60_000))
  const pair = createPair(t, b.dir, 4096)
  const { header, chunks, helped } = pair.readTogether(path, [2, 1], 'a')
  assert.deepEqual([header.status, header.errno, chunks.length], ['failed', 'EBADF', 0])
  assert.equal(helped, 2, 'the helper opens it anew, and can')
  assert.deepEqual(pair.readTogether(path, [2, 1]).chunks, pair.readAlone(path).chunks)
})

test('spans hold data: holes do not count, a short rest goes to the last, and a huge file has no more than a thousand', () => {
  assert.deepEqual(spanStarts(99, [], 50), [0, 50])
  assert.deepEqual(spanStarts(70, [], 50), [0])
  assert.deepEqual(spanStarts(230, [], 50), [0, 50, 100, 150, 200])
  assert.deepEqual(spanStarts(1000, [0, 900], 50), [0, 950])
  assert.deepEqual(spanStarts(1000, [10, 900], 50), [0, 950])
  assert.deepEqual(spanStarts(1000, [50, 900], 50), [0, 950])
  assert.deepEqual(spanStarts(1000, [0, 1000], 50), [0])
  assert.equal(spanStarts(2 ** 50, [], 2 ** 24).length, 1024)
})

/** What three readers share in spans of 256 KiB, and one reads alone. */
function writeLarge(dir: string): void {
  fs.mkdirSync(dir)
  const period = Buffer.alloc(3_000_000, noise(70_000, 2))
  fs.writeFileSync(`${dir}/noise`, noise(6_000_000))
  fs.writeFileSync(
    `${dir}/mixed`,
    Buffer.concat([noise(900_000, 3), period, Buffer.alloc(2_000_000), noise(700_000, 4)]),
  )
  fs.writeFileSync(`${dir}/zeros`, Buffer.alloc(5_000_000))
  const fd = fs.openSync(`${dir}/sparse`, 'w')
  for (const at of [0, 10_000_000, 11_000_000, 40_000_000])
    fs.writeSync(fd, noise(1_500_000, at + 1), 0, undefined, at)
  fs.closeSync(fd)
  fs.writeFileSync(`${dir}/small`, noise(1000, 5))
}

test('an import by three threads that share files gives the root that one thread gives, copied, compressed or in place', async (t) => {
  const b = await bench(t)
  const source = b.at('source')
  writeLarge(source)
  const alone = await b.import(source, { workers: 1, spanBytes: Number.MAX_SAFE_INTEGER, isDry: true })
  for (const options of [{}, { compression: 'zstd' }, { inPlace: 'in-place' }] as const) {
    const other = await bench(t)
    const together = await other.import(source, { workers: 3, spanBytes: 256 * 1024, ...options })
    assert.deepEqual(together.snapshot.root, alone.snapshot.root)
    assert.deepEqual(together.snapshot.index, alone.snapshot.index)
    assert.deepEqual([together.bytes, together.blocks], [alone.bytes, alone.blocks])
    assert.deepEqual(together.uncaptured, { count: 0, first: [] })
    await other.checkOut(together, other.at('out'))
    for (const name of fs.readdirSync(source))
      assert.ok(fs.readFileSync(`${source}/${name}`).equals(fs.readFileSync(other.at('out', name))), name)
  }
})

test('a full disk, or an abort, in the middle of a shared file ends the import and leaves nothing open', async (t) => {
  const b = await bench(t)
  const source = b.at('source')
  writeLarge(source)
  const open = (): number => fs.readdirSync('/proc/self/fd').length
  const before = open()
  const { blocks } = b.store
  for (const claims of [1, 3]) {
    let left = claims
    const full: BlockStore = {
      ...blocks,
      async claimSpace(sizeBytes) {
        if (--left === 0) throw new MirrorError('no-space', 'the disk is full')
        await blocks.claimSpace(sizeBytes)
      },
    }
    await assert.rejects(
      importTree(
        { blocks: full, tempDir: b.at('tmp'), clock: systemClock },
        { path: source, tree: 'test', workers: 3, spanBytes: 256 * 1024 },
      ),
      { code: 'no-space' },
    )
    const controller = new AbortController()
    left = claims
    const aborting: BlockStore = {
      ...blocks,
      async claimSpace(sizeBytes) {
        if (--left === 0) controller.abort()
        await blocks.claimSpace(sizeBytes)
      },
    }
    await assert.rejects(
      importTree(
        { blocks: aborting, tempDir: b.at('tmp'), clock: systemClock },
        { path: source, tree: 'test', workers: 3, spanBytes: 256 * 1024, signal: controller.signal },
      ),
      { code: 'aborted' },
    )
    assert.ok(open() <= before)
    assert.deepEqual(fs.readdirSync(b.at('tmp')), [])
  }
  const whole = await b.import(source, { workers: 3, spanBytes: 256 * 1024 })
  await b.checkOut(whole, b.at('out'))
  assert.ok(fs.readFileSync(b.at('out', 'noise')).equals(noise(6_000_000)))
})

test('killed while three threads share a file, a store has no damage, and the next import gives the same root', async (t) => {
  const b = await bench(t)
  const source = b.at('source')
  writeLarge(source)
  const { snapshot } = await b.import(source, { workers: 1, spanBytes: Number.MAX_SAFE_INTEGER, isDry: true })
  for (const step of ['claim 3', 'commit 1', 'committed 1']) {
    const dir = b.at(step)
    fs.mkdirSync(`${dir}/tmp`, { recursive: true })
    const { signal, stderr } = spawnSync(process.execPath, [KILLED, dir, source, step])
    assert.equal(signal, 'SIGKILL', stderr.toString())
    assert.deepEqual(fs.readdirSync(`${dir}/tmp`), [])
    const damage: unknown[] = []
    const store = await openStore({
      dir: `${dir}/store`,
      clock: systemClock,
      onCorrupt: (found) => void damage.push(found),
    })
    try {
      const again = await importTree(
        { blocks: store.blocks, tempDir: `${dir}/tmp`, clock: systemClock },
        { path: source, tree: 'test', workers: 3, spanBytes: 256 * 1024 },
      )
      assert.deepEqual(again.snapshot.root, snapshot.root)
      await checkClosure(store.blocks, again.snapshot, new AbortController().signal)
      assert.deepEqual(damage, [])
    } finally {
      await store.close()
    }
  }
})
