/** Sources that move while they are imported: what becomes a snapshot, what is reported, and what a stat cache makes of it. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import type { Clock } from '../../src/base/clock.ts'
import { systemClock } from '../../src/base/clock.ts'
import { encodeEntry } from '../../src/dag/entry.ts'
import { walk } from '../../src/dag/reader.ts'
import { checkClosure } from '../../src/replica/holdings/closure-check.ts'
import type { BlockStore } from '../../src/store/block-store.ts'
import type { ImportResult } from '../../src/tree/import/import.ts'
import { importTree } from '../../src/tree/import/import.ts'
import { scanTree } from '../../src/tree/import/scan.ts'
import { createRecordReader, openUnnamedFile } from '../../src/tree/spool/record-bytes.ts'
import { readSpoolRecord } from '../../src/tree/spool/spool.ts'
import { openStatCaches } from '../../src/tree/stat-cache/stat-caches.ts'
import { createTestLogger } from '../replica/test-mesh.ts'
import type { Bench } from './trees.ts'
import { bench, noise } from './trees.ts'

/** An import during which `move` runs once: when the first blocks are to be stored, so after the scan of a small tree. */
function importWhile(b: Bench, move: () => void): Promise<ImportResult> {
  const { blocks } = b.store
  let hasMoved = false
  const moving: BlockStore = {
    ...blocks,
    reservePack() {
      if (!hasMoved) move()
      hasMoved = true
      return blocks.reservePack()
    },
  }
  return importTree(
    { blocks: moving, tempDir: b.at('tmp'), clock: systemClock },
    { path: b.at('source'), tree: 'test', workers: 1 },
  )
}

/** The first file keeps the reader busy: what follows is read after `move`. */
function fillSource(b: Bench): void {
  fs.mkdirSync(b.at('source', 'z', 'deep'), { recursive: true })
  fs.writeFileSync(b.at('source', 'a-large'), noise(40_000_000))
  for (const name of ['z/one', 'z/two', 'z/deep/three']) fs.writeFileSync(b.at('source', name), noise(6000))
}

async function isWhole(b: Bench, { snapshot }: ImportResult): Promise<string[]> {
  await checkClosure(b.store.blocks, snapshot, new AbortController().signal)
  const files: string[] = []
  for await (const { path, entry } of walk(b.store.blocks, snapshot.root)) {
    if (entry.type === 'file') files.push(path.map((name) => Buffer.from(name).toString()).join('/'))
  }
  assert.equal(files.length, snapshot.counts.files)
  return files
}

test('a directory that is renamed after the scan: its files are left out and reported by path', async (t) => {
  const b = await bench(t)
  fillSource(b)
  const result = await importWhile(b, () => fs.renameSync(b.at('source', 'z'), b.at('source', 'y')))
  assert.deepEqual(await isWhole(b, result), ['a-large'])
  assert.deepEqual(
    result.uncaptured.first,
    ['z/deep/three', 'z/one', 'z/two'].map((path) => ({
      path,
      reason: 'vanished while it was read (ENOENT)',
    })),
  )
  await b.checkOut(result, b.at('out'))
})

test('files that grow, shrink, are replaced or edited at the same size and time are captured as they are now', async (t) => {
  const b = await bench(t)
  fillSource(b)
  const stat = fs.lstatSync(b.at('source', 'z', 'deep', 'three'))
  const edited = noise(6000, 7)
  const result = await importWhile(b, () => {
    fs.appendFileSync(b.at('source', 'z', 'one'), 'grown')
    fs.writeFileSync(b.at('new'), 'replaced by rename')
    fs.renameSync(b.at('new'), b.at('source', 'z', 'two'))
    fs.writeFileSync(b.at('source', 'z', 'deep', 'three'), edited)
    fs.utimesSync(b.at('source', 'z', 'deep', 'three'), stat.atime, stat.mtime)
  })
  assert.deepEqual(await isWhole(b, result), ['a-large', 'z/deep/three', 'z/one', 'z/two'])
  assert.equal(result.uncaptured.count, 0)
  await b.checkOut(result, b.at('out'))
  for (const name of ['z/one', 'z/two', 'z/deep/three']) {
    assert.ok(fs.readFileSync(b.at('out', name)).equals(fs.readFileSync(b.at('source', name))), name)
  }
})

test('a directory that is renamed under the walk is left out and reported', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source', 'a'), { recursive: true })
  fs.mkdirSync(b.at('source', 'b'))
  for (let i = 0; i < 600; i++) fs.writeFileSync(b.at('source', 'a', `file-${i}`), '')
  fs.writeFileSync(b.at('source', 'b', 'inside'), '')
  const spoolFd = openUnnamedFile(b.dir, 'spool')
  t.after(() => fs.closeSync(spoolFd))
  const reported: string[] = []
  let batches = 0
  scanTree(Buffer.from(b.at('source')), { spoolFd, tempDir: b.dir }, ({ startByte, endByte }) => {
    if (batches++ === 0) fs.renameSync(b.at('source', 'b'), b.at('source', 'c'))
    const reader = createRecordReader(spoolFd, startByte, endByte)
    while (!reader.isAtEnd) {
      const record = readSpoolRecord(reader)
      if (record.kind === 'uncaptured') reported.push(`${Buffer.from(record.name)}: ${record.reason}`)
    }
  })
  assert.ok(batches >= 2)
  assert.deepEqual(reported, ['b: vanished while it was read (ENOENT)'])
})

test('whatever moves during an import with a stat cache, the next one sees the tree as it is', async (t) => {
  const b = await bench(t)
  const laterClock: Clock = { ...systemClock, nowMs: () => systemClock.nowMs() + 3_600_000 }
  const caches = openStatCaches({ dir: b.at('cache'), log: createTestLogger() })
  fs.mkdirSync(b.at('source'))
  for (let i = 0; i < 300; i++) fs.writeFileSync(b.at('source', `f${i}`), noise(3000, i + 1))
  const importCached = async (clock: Clock): Promise<ImportResult> => {
    const result = await importTree(
      { blocks: b.store.blocks, tempDir: b.at('tmp'), clock },
      { path: b.at('source'), tree: 'test', statCaches: caches },
    )
    await result.cache?.keep(result.snapshotCid)
    return result
  }
  // All of it is old enough to be trusted; what the mover does from now on is not.
  await importCached(laterClock)
  const mover = new Worker(
    `const fs = require('node:fs'); const { workerData: dir, parentPort } = require('node:worker_threads')
     let isOver = false
     parentPort.on('message', () => { isOver = true })
     let i = 0
     const at = (n) => dir + '/f' + (n % 300)
     function step() {
       for (let k = 0; k < 20; k++, i++) {
         try {
           const n = (i * 7919) % 300
           if (i % 5 === 0) fs.appendFileSync(at(n), 'more')
           else if (i % 5 === 1) fs.renameSync(at(n), at(n + 1))
           else if (i % 5 === 2) fs.truncateSync(at(n), 1000)
           else if (i % 5 === 3) { const { atime, mtime } = fs.statSync(at(n)); fs.writeFileSync(at(n), String(i)); fs.utimesSync(at(n), atime, mtime) }
           else fs.linkSync(at(n), at(n + 3))
         } catch {}
       }
       if (isOver) { parentPort.postMessage(i); parentPort.close() } else setImmediate(step)
     }
     step()`,
    { eval: true, workerData: b.at('source') },
  )
  t.after(() => mover.terminate())
  for (let round = 0; round < 3; round++) await isWhole(b, await importCached(systemClock))
  const edits = new Promise<number>((resolve) => mover.once('message', resolve))
  mover.postMessage('stop')
  assert.ok((await edits) > 100)
  const last = await importCached(systemClock)
  const plain = await b.import(b.at('source'))
  assert.deepEqual(encodeEntry(last.snapshot.root), encodeEntry(plain.snapshot.root))
})
