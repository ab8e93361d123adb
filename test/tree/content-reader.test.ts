import assert from 'node:assert/strict'
import fs from 'node:fs'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { DEFAULT_CHUNKER } from '../../src/block/chunker.ts'
import { CID_KEY_BYTES } from '../../src/block/cid.ts'
import type { BlockRun } from '../../src/tree/block-sink.ts'
import type { FileRecord } from '../../src/tree/content-reader.ts'
import { createContentReader } from '../../src/tree/content-reader.ts'
import type { ReadHeader } from '../../src/tree/read-results.ts'
import { readPart, readReadHeader } from '../../src/tree/read-results.ts'
import { createRecordReader, createRecordWriter, openUnnamedFile } from '../../src/tree/record-bytes.ts'
import { scanTree } from '../../src/tree/scan.ts'
import { readSpoolRecord } from '../../src/tree/spool.ts'
import { bench, noise } from './trees.ts'

interface Outcome extends ReadHeader {
  readonly content: Buffer
}

/**
 * Reads every file of `dir`; `onOpen` runs each time a file has been opened, `onRead` each time bytes of it were read.
 * Contents come from the offered blocks.
 */
async function readAll(
  t: TestContext,
  dir: string,
  tempDir: string,
  { onOpen, onRead }: { onOpen?: (path: string) => void; onRead?: (path: string) => void },
): Promise<Outcome[]> {
  const spoolFd = openUnnamedFile(tempDir, 'spool')
  const resultsFd = openUnnamedFile(tempDir, 'results')
  t.after(() => {
    fs.closeSync(spoolFd)
    fs.closeSync(resultsFd)
  })
  const records: FileRecord[] = []
  scanTree(Buffer.from(dir), { spoolFd, tempDir }, ({ startByte, endByte }) => {
    const reader = createRecordReader(spoolFd, startByte, endByte)
    while (!reader.isAtEnd) {
      const record = readSpoolRecord(reader)
      if (record.kind === 'file' && record.isRead) records.push(record)
    }
  })
  const stored = new Map<string, Buffer>()
  const sink = {
    offer: (run: BlockRun) => () => {
      for (let index = 0; index < run.count; index++) {
        const key = Buffer.from(run.keys.subarray(index * CID_KEY_BYTES + 1, (index + 1) * CID_KEY_BYTES))
        stored.set(key.toString('hex'), Buffer.from(run.bytesOf(index)))
      }
    },
    finish: () => undefined,
  }
  const results = createRecordWriter(resultsFd)
  let opened = ''
  const reader = createContentReader(
    { sink, results },
    {
      chunker: DEFAULT_CHUNKER,
      onBytes: () => onRead?.(opened),
      openFile(path) {
        const fd = fs.openSync(path, 'r')
        opened = path.toString()
        onOpen?.(opened)
        return fd
      },
    },
  )
  for (const record of records)
    reader.read(Buffer.from(`${dir}/${Buffer.from(record.name).toString()}`), record)
  reader.finish()
  results.flush()
  const outcome = createRecordReader(resultsFd, 0, results.position)
  return records.map(() => {
    const header = readReadHeader(outcome)
    const parts = Array.from({ length: header.parts }, () => readPart(outcome))
    const content = Buffer.concat(parts.map(({ digest }) => stored.get(Buffer.from(digest).toString('hex'))!))
    return { ...header, content }
  })
}

test('a file that changes during one read is read again and is consistent', async (t) => {
  for (const size of [10, 3_000_000, 20_000_000]) {
    const b = await bench(t)
    fs.mkdirSync(b.at('source'))
    for (const name of ['a', 'b', 'c'])
      fs.writeFileSync(b.at('source', name), noise(size, name.charCodeAt(0)))
    let changes = 0
    const [a, changed, c] = await readAll(t, b.at('source'), b.at('tmp'), {
      onOpen(path) {
        if (path.endsWith('/b') && changes++ === 0) fs.writeFileSync(path, noise(size + 5, 99))
      },
    })
    assert.equal(changes, 2)
    assert.deepEqual([a?.status, changed?.status, c?.status], ['captured', 'captured', 'captured'])
    assert.ok(a?.content.equals(noise(size, 97)))
    assert.ok(changed?.content.equals(noise(size + 5, 99)))
    assert.ok(c?.content.equals(noise(size, 99)))
    assert.equal(changed?.sizeBytes, size + 5)
  }
})

test('a file that changes during every read is marked unstable with what the last one read', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  for (const name of ['a', 'b']) fs.writeFileSync(b.at('source', name), name)
  let reads = 0
  const [growing, after] = await readAll(t, b.at('source'), b.at('tmp'), {
    onRead(path) {
      if (path.endsWith('/a')) fs.appendFileSync(path, `${++reads}`)
    },
  })
  assert.equal(reads, 3)
  assert.equal(growing?.status, 'unstable')
  assert.equal(growing?.content.toString(), 'a12', 'its size when the third try began')
  assert.equal(growing?.sizeBytes, 3)
  assert.equal(after?.status, 'captured')
  assert.equal(after?.content.toString(), 'b')
})

test('same size and mtime but another content is a change all the same', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  fs.writeFileSync(b.at('source', 'a'), 'before')
  const { atime, mtime } = fs.statSync(b.at('source', 'a'))
  fs.utimesSync(b.at('source', 'a'), atime, mtime)
  let changes = 0
  const [found] = await readAll(t, b.at('source'), b.at('tmp'), {
    onOpen(path) {
      if (changes++ > 0) return
      fs.writeFileSync(path, 'after!')
      fs.utimesSync(path, atime, mtime)
    },
  })
  assert.equal(changes, 2)
  assert.equal(found?.content.toString(), 'after!')
})

test('a file that vanishes or becomes a directory fails with its errno; one that shrinks is read again', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  for (const name of ['a', 'b', 'c', 'd']) fs.writeFileSync(b.at('source', name), noise(100_000))
  let shrunk = 0
  const outcomes = await readAll(t, b.at('source'), b.at('tmp'), {
    onOpen(path) {
      if (path.endsWith('/a')) {
        fs.rmSync(b.at('source', 'b'))
        fs.rmSync(b.at('source', 'c'))
        fs.mkdirSync(b.at('source', 'c'))
      } else if (path.endsWith('/d') && shrunk++ === 0) fs.truncateSync(path, 7)
    },
  })
  assert.deepEqual(
    outcomes.map(({ status, errno, content }) => [status, errno, content.length]),
    [
      ['captured', '', 100_000],
      ['failed', 'ENOENT', 0],
      ['failed', 'EISDIR', 0],
      ['captured', '', 7],
    ],
  )
})
