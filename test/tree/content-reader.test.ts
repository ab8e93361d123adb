import assert from 'node:assert/strict'
import fs from 'node:fs'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import fc from 'fast-check'
import type { ChunkerParams } from '../../src/block/chunker.ts'
import { createChunker, DEFAULT_CHUNKER } from '../../src/block/chunker.ts'
import { CID_KEY_BYTES } from '../../src/block/cid.ts'
import { blake3 } from '../../src/block/hash.ts'
import { makeSpecial } from '../../src/posix/special.ts'
import { setXattr } from '../../src/posix/xattr.ts'
import type { BlockRun } from '../../src/tree/import/block-sink.ts'
import type { FileRecord } from '../../src/tree/import/content-reader.ts'
import { createContentReader } from '../../src/tree/import/content-reader.ts'
import { scanTree } from '../../src/tree/import/scan.ts'
import type { ReadExtras, ReadHeader } from '../../src/tree/spool/read-results.ts'
import { readPart, readReadExtras, readReadHeader } from '../../src/tree/spool/read-results.ts'
import { createRecordReader, createRecordWriter, openUnnamedFile } from '../../src/tree/spool/record-bytes.ts'
import { readSpoolRecord } from '../../src/tree/spool/spool.ts'
import { bench, noise } from './trees.ts'

interface Outcome extends Omit<ReadHeader, 'extras' | 'extrasBytes'>, ReadExtras {
  /** Offered blocks, in the order of the file, repeats included. */
  readonly chunks: readonly string[]
  readonly content: Buffer
}

/**
 * Reads every file of `dir`; `onOpen` runs each time a file has been opened, `onRead` each time bytes of it were read.
 * Contents come from the offered blocks, or from the results of small files.
 */
async function readAll(
  t: TestContext,
  dir: string,
  tempDir: string,
  {
    onOpen,
    onRead,
    chunker = DEFAULT_CHUNKER,
  }: { onOpen?: (path: string) => void; onRead?: (path: string) => void; chunker?: ChunkerParams },
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
      chunker,
      onBytes: () => onRead?.(opened),
      openFile(path) {
        const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
        opened = path.toString()
        onOpen?.(opened)
        return fd
      },
    },
  )
  for (const record of records)
    reader.read(() => Buffer.from(`${dir}/${Buffer.from(record.name).toString()}`), record)
  reader.finish()
  results.flush()
  const outcome = createRecordReader(resultsFd, 0, results.position)
  return records.map(() => {
    const { extras, extrasBytes: _extrasBytes, ...header } = readReadHeader(outcome)
    const { inline, ...found } = readReadExtras(outcome, extras)
    const runs = Array.from({ length: header.parts }, () => readPart(outcome))
    const chunks = runs.flatMap(({ digest, count }) =>
      new Array<string>(count).fill(Buffer.from(digest).toString('hex')),
    )
    const content = Buffer.from(inline ?? Buffer.concat(chunks.map((chunk) => stored.get(chunk)!)))
    return { ...header, ...found, chunks, content }
  })
}

test('a file that changes during one read is read again and is consistent', async (t) => {
  const limit = DEFAULT_CHUNKER.inlineBytes!
  for (const [size, newSize] of [
    [10, 15],
    [limit, limit + 1],
    [limit + 1, limit],
    [5, 3_000_000],
    [3_000_000, 5],
    [3_000_000, 3_000_005],
    [20_000_000, 20_000_005],
  ] as const) {
    const b = await bench(t)
    fs.mkdirSync(b.at('source'))
    for (const name of ['a', 'b', 'c'])
      fs.writeFileSync(b.at('source', name), noise(size, name.charCodeAt(0)))
    let changes = 0
    const [a, changed, c] = await readAll(t, b.at('source'), b.at('tmp'), {
      onOpen(path) {
        if (path.endsWith('/b') && changes++ === 0) fs.writeFileSync(path, noise(newSize, 99))
      },
    })
    assert.equal(changes, 2)
    assert.deepEqual([a?.status, changed?.status, c?.status], ['captured', 'captured', 'captured'])
    assert.ok(a?.content.equals(noise(size, 97)))
    assert.ok(changed?.content.equals(noise(newSize, 99)))
    assert.ok(c?.content.equals(noise(size, 99)))
    assert.equal(changed?.sizeBytes, newSize)
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

test('a file that vanishes, or whose name a directory or a fifo takes, has vanished; one that shrinks is read again', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  for (const name of ['a', 'b', 'c', 'c2', 'd']) {
    fs.writeFileSync(b.at('source', name), noise(100_000))
  }
  let shrunk = 0
  const outcomes = await readAll(t, b.at('source'), b.at('tmp'), {
    onOpen(path) {
      if (path.endsWith('/a')) {
        fs.rmSync(b.at('source', 'b'))
        fs.rmSync(b.at('source', 'c'))
        fs.mkdirSync(b.at('source', 'c'))
        fs.rmSync(b.at('source', 'c2'))
        makeSpecial(Buffer.from(b.at('source', 'c2')), 'fifo', { major: 0, minor: 0 })
      } else if (path.endsWith('/d') && shrunk++ === 0) fs.truncateSync(path, 7)
    },
  })
  assert.deepEqual(
    outcomes.map(({ status, errno, content }) => [status, errno, content.length]),
    [
      ['captured', '', 100_000],
      ['failed', 'ENOENT', 0],
      ['failed', 'ENOENT', 0],
      ['failed', 'ENOENT', 0],
      ['captured', '', 7],
    ],
  )
})

/** What the file would give without knowledge of its holes: cut and hashed byte for byte. */
function plainChunks(bytes: Uint8Array, params: ChunkerParams): string[] {
  const chunker = createChunker(params, { capacityBytes: Math.max(params.maxBytes, bytes.length) })
  chunker.buffer.set(bytes)
  const chunks: string[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = chunker.nextCut(at, bytes.length, true)
    chunks.push(Buffer.from(blake3.digest(bytes.slice(at, at + length))).toString('hex'))
    at += length
  }
  return chunks
}

test('holes are never read, and the chunks are those of the same bytes without holes', async (t) => {
  const small = { kind: 'gear64', minBytes: 4096, avgBytes: 16_384, maxBytes: 65_536 } as const
  // Runs of data and holes by turns, from both sides of every limit of the chunker.
  const run = fc.oneof(
    fc.integer({ min: 1, max: 300_000 }),
    fc.constantFrom(1, 4095, 4096, 4097, 65_535, 65_536, 65_537, 131_072, 1_000_000),
  )
  const b = await bench(t)
  let runs = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(run, { minLength: 1, maxLength: 7 }),
      fc.boolean(),
      async (lengths, startsInHole) => {
        const dir = b.at(`sparse-${runs++}`)
        fs.mkdirSync(dir)
        const fd = fs.openSync(`${dir}/file`, 'w')
        let size = 0
        for (const [index, length] of lengths.entries()) {
          if ((index % 2 === 0) !== startsInHole) fs.writeSync(fd, noise(length, size + 1), 0, length, size)
          size += length
        }
        fs.ftruncateSync(fd, size)
        fs.closeSync(fd)
        const [found] = await readAll(t, dir, b.at('tmp'), { chunker: small })
        const bytes = fs.readFileSync(`${dir}/file`)
        assert.equal(found?.status, 'captured')
        assert.equal(found?.sizeBytes, size)
        assert.deepEqual(found?.chunks, plainChunks(bytes, small))
        for (let at = 0; at < (found?.holes?.length ?? 0); at += 2) {
          const [start, length] = [found!.holes![at]!, found!.holes![at + 1]!]
          assert.ok(bytes.subarray(start, start + length).every((byte) => byte === 0))
        }
      },
    ),
    { numRuns: 40 },
  )
})

test('a file of nothing but a hole takes no reads; one with more chunks of zeros than fit fails with a reason', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  fs.writeFileSync(b.at('source', 'hole'), '')
  fs.truncateSync(b.at('source', 'hole'), 4 * 2 ** 30)
  const startedMs = performance.now()
  const [hole] = await readAll(t, b.at('source'), b.at('tmp'), {})
  assert.ok(performance.now() - startedMs < 20_000)
  assert.equal(hole?.chunks.length, (4 * 2 ** 30) / DEFAULT_CHUNKER.maxBytes)
  assert.equal(new Set(hole?.chunks).size, 1)
  assert.deepEqual(hole?.holes, [0, 4 * 2 ** 30])
  fs.truncateSync(b.at('source', 'hole'), 2 ** 43)
  const tiny = { kind: 'gear64', minBytes: 1024, avgBytes: 4096, maxBytes: 8192 } as const
  const [tooMany] = await readAll(t, b.at('source'), b.at('tmp'), { chunker: tiny })
  assert.deepEqual([tooMany?.status, tooMany?.errno], ['failed', 'EFBIG'])
})

test('attributes that change while a file is read are those of the content that was captured', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  fs.writeFileSync(b.at('source', 'a'), noise(3_000_000))
  setXattr(Buffer.from(b.at('source', 'a')), Buffer.from('user.version'), Buffer.from('one'))
  let reads = 0
  const [found] = await readAll(t, b.at('source'), b.at('tmp'), {
    onRead(path) {
      if (reads++ === 0) setXattr(Buffer.from(path), Buffer.from('user.version'), Buffer.from('two'))
    },
  })
  assert.equal(found?.status, 'captured')
  assert.deepEqual(
    found?.xattrs?.map(({ name, value }) => `${Buffer.from(name)}=${Buffer.from(value)}`),
    ['user.version=two'],
  )
})
