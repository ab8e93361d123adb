import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import net from 'node:net'
import { test } from 'node:test'
import { systemClock } from '../../src/base/clock.ts'
import { encodeEntry } from '../../src/dag/entry.ts'
import { listPages, walk } from '../../src/dag/reader.ts'
import type { BlockStore } from '../../src/store/block-store.ts'
import { type ImportResult, importTree } from '../../src/tree/import/import.ts'
import type { TreeProgress } from '../../src/tree/progress.ts'
import type { Bench } from './trees.ts'
import { bench, isRoot, noise } from './trees.ts'

async function paths(b: Bench, { snapshot }: ImportResult): Promise<string[]> {
  const found: string[] = []
  for await (const { path } of walk(b.store.blocks, snapshot.root))
    found.push(path.map((name) => Buffer.from(name).toString()).join('/'))
  return found
}

test('fifos and sockets are captured and never opened: a reader at a fifo stays alone', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source', 'sub'), { recursive: true })
  execFileSync('mkfifo', [b.at('source', 'sub', 'pipe\n')])
  // Whoever opens the fifo to write is seen by this end; whoever opens it to read takes what was written.
  const end = fs.openSync(b.at('source', 'sub', 'pipe\n'), fs.constants.O_RDWR | fs.constants.O_NONBLOCK)
  t.after(() => fs.closeSync(end))
  fs.writeSync(end, 'untouched')
  const server = net.createServer(() => assert.fail('somebody connected')).listen(b.at('source', 'sock'))
  await new Promise((resolve) => server.once('listening', resolve))
  t.after(() => server.close())
  fs.writeFileSync(b.at('source', 'file'), 'x')
  const result = await b.import(b.at('source'))
  assert.deepEqual(result.uncaptured, { count: 0, first: [] })
  assert.equal(result.specials, 2)
  assert.equal(result.snapshot.counts.specials, 2)
  assert.deepEqual(await paths(b, result), ['', 'file', 'sock', 'sub', 'sub/pipe\n'])
  const left = Buffer.alloc(20)
  assert.equal(left.toString('latin1', 0, fs.readSync(end, left, 0, 20, null)), 'untouched')
})

test('what a user may not read is reported, and everything else is captured', async (t) => {
  if (!isRoot && process.env.CI !== 'true') {
    t.skip('needs root')
    return
  }
  const b = await bench(t)
  fs.chmodSync(b.dir, 0o755)
  fs.mkdirSync(b.at('source', 'closed'), { recursive: true })
  fs.writeFileSync(b.at('source', 'closed', 'inside'), 'x')
  fs.chmodSync(b.at('source', 'closed'), 0o700)
  fs.writeFileSync(b.at('source', 'open'), 'x')
  fs.writeFileSync(b.at('source', 'secret'), 'x', { mode: 0o600 })
  fs.linkSync(b.at('source', 'secret'), b.at('source', 'secret-2'))
  fs.mkdirSync(b.at('scratch'), { mode: 0o777 })
  fs.chmodSync(b.at('scratch'), 0o777)
  const script = new URL('./import-as-nobody.ts', import.meta.url).pathname
  const run = (source: string): { uncaptured?: unknown; files?: number; code?: string } =>
    JSON.parse(execFileSync(process.execPath, [script, source, b.at('scratch')], { encoding: 'utf8' }))
  assert.deepEqual(run(b.at('source')), {
    files: 1,
    uncaptured: {
      count: 3,
      first: [
        { path: 'closed', reason: 'permission denied (EACCES)' },
        { path: 'secret', reason: 'permission denied (EACCES)' },
        { path: 'secret-2', reason: 'the first of its hard links could not be read' },
      ],
    },
  })
  assert.equal(run(b.at('source', 'closed')).code, 'refused')
  assert.equal(run(b.at('source', 'secret')).code, 'refused')
})

test('a missing root, a fifo as root and a bad name of a tree are errors', async (t) => {
  const b = await bench(t)
  await assert.rejects(b.import(b.at('absent')), { code: 'not-found', message: /absent/ })
  execFileSync('mkfifo', [b.at('pipe')])
  await assert.rejects(b.import(b.at('pipe')), { code: 'unsupported', message: /fifo/ })
  await assert.rejects(b.import(b.dir, { tree: '../up' }), { code: 'invalid' })
})

test('a file that never stops growing is captured as last read, and reported', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  const log = b.at('source', 'log')
  const start = noise(16_000_000)
  fs.writeFileSync(log, start)
  fs.writeFileSync(b.at('source', 'quiet'), 'quiet')
  const { Worker } = await import('node:worker_threads')
  const writer = new Worker(
    `const fs = require('node:fs'); const { workerData, parentPort } = require('node:worker_threads')
     const fd = fs.openSync(workerData, 'a'); parentPort.postMessage('started')
     for (;;) fs.writeSync(fd, 'more\\n')`,
    { eval: true, workerData: log },
  )
  t.after(() => writer.terminate())
  await new Promise((resolve) => writer.once('message', resolve))
  const result = await b.import(b.at('source'))
  await writer.terminate()
  assert.deepEqual(result.uncaptured.first, [
    { path: 'log', reason: 'it changed while it was read; what the last of three tries read was captured' },
  ])
  await b.checkOut(result, b.at('out'))
  const captured = fs.readFileSync(b.at('out', 'log'))
  assert.ok(captured.length >= start.length)
  assert.ok(captured.equals(fs.readFileSync(log).subarray(0, captured.length)), 'a prefix of the log')
})

test('an unchanged tree gives the same root whatever wrote it, and a changed byte another', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  for (let i = 0; i < 700; i++) fs.writeFileSync(b.at('source', `f${i}`), noise(i + 1, i + 1))
  const first = await b.import(b.at('source'), { workers: 2, notes: { by: 'test' } })
  const again = await b.import(b.at('source'), { workers: 1, parent: first.snapshotCid })
  assert.ok(again.snapshot.index.equals(first.snapshot.index))
  assert.deepEqual(encodeEntry(again.snapshot.root), encodeEntry(first.snapshot.root))
  assert.ok(again.snapshot.parent?.equals(first.snapshotCid))
  assert.deepEqual(first.snapshot.notes, { by: 'test' })
  assert.equal(first.files, 700)
  let pages = 0
  for await (const _ of listPages(b.store.blocks, first.snapshot.index)) pages += 1
  const indexNodes = pages === 1 ? 1 : pages + 1
  assert.equal(first.newBlocks, first.blocks + indexNodes + 1, 'the blocks, the index and the snapshot')
  fs.writeFileSync(b.at('source', 'f5'), 'changed')
  const changed = await b.import(b.at('source'))
  assert.notDeepEqual(encodeEntry(changed.snapshot.root), encodeEntry(first.snapshot.root))
  assert.ok(changed.newBytes < first.newBytes / 2)
})

test('equal contents are stored once even when two threads meet them at a time', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  const same = noise(3_000_000)
  for (let i = 0; i < 12; i++) fs.writeFileSync(b.at('source', `copy-${i}`), same)
  const { newBytes, bytes } = await b.import(b.at('source'), { workers: 4 })
  assert.equal(bytes, 36_000_000)
  assert.ok(newBytes < 3_100_000)
})

test('progress rises to the totals, and an abort ends the import and leaves nothing open', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  for (let i = 0; i < 40; i++) fs.writeFileSync(b.at('source', `f${i}`), noise(1_000_000, i + 1))
  const told: TreeProgress[] = []
  await b.import(b.at('source'), { onProgress: (progress) => told.push(progress) })
  assert.deepEqual(told.at(-1), {
    phase: 'finish',
    files: 40,
    totalFiles: 40,
    bytes: 40_000_000,
    totalBytes: 40_000_000,
  })
  const open = (): number => fs.readdirSync('/proc/self/fd').length
  const before = open()
  const controller = new AbortController()
  const aborted = b.import(b.at('source'), { signal: controller.signal })
  setImmediate(() => controller.abort())
  await assert.rejects(aborted, { code: 'aborted' })
  assert.ok(open() <= before)
  assert.deepEqual(fs.readdirSync(b.at('tmp')), [])
})

test('a source that is unmounted or replaced while it is read becomes no snapshot', async (t) => {
  const b = await bench(t)
  const source = b.at('source')
  fs.mkdirSync(source)
  for (let i = 0; i < 20; i++) fs.writeFileSync(b.at('source', `file-${i}`), noise(50_000, i))
  const { blocks } = b.store
  const unmounting: BlockStore = {
    ...blocks,
    reservePack() {
      if (!fs.existsSync(b.at('gone'))) {
        fs.renameSync(source, b.at('gone'))
        fs.mkdirSync(source)
      }
      return blocks.reservePack()
    },
  }
  await assert.rejects(
    importTree(
      { blocks: unmounting, tempDir: b.at('tmp'), clock: systemClock },
      { path: source, tree: 'test' },
    ),
    { code: 'unstable', message: /was unmounted or replaced while it was read/ },
  )
})
