import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import type { BackedFile } from '../../src/store/block-backings.ts'
import { createBackedReader, SMALLEST_BACKED_BYTES } from '../../src/tree/import/backed-reader.ts'
import type { BlockRun } from '../../src/tree/import/block-sink.ts'
import type { FileRecord } from '../../src/tree/import/content-reader.ts'
import { scanTree } from '../../src/tree/import/scan.ts'
import { readReadHeader, resultBodyBytes } from '../../src/tree/spool/read-results.ts'
import { createRecordReader, createRecordWriter, openUnnamedFile } from '../../src/tree/spool/record-bytes.ts'
import { readSpoolRecord } from '../../src/tree/spool/spool.ts'
import { CHUNKED } from '../chunked.ts'
import { bench, noise } from './trees.ts'

test('stable files are committed where they lie; small ones and those that keep changing are copied', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('dir'))
  fs.writeFileSync(b.at('dir', 'a-large'), noise(3_000_000))
  fs.writeFileSync(b.at('dir', 'b-small'), noise(SMALLEST_BACKED_BYTES - 1, 2))
  fs.writeFileSync(b.at('dir', 'c-moving'), noise(200_000, 3))
  fs.writeFileSync(b.at('dir', 'd-changed-once'), noise(200_000, 4))
  fs.writeFileSync(b.at('dir', 'e-gone'), noise(200_000, 5))
  fs.writeFileSync(b.at('dir', 'f-last'), noise(SMALLEST_BACKED_BYTES, 6))
  const spoolFd = openUnnamedFile(b.at('tmp'), 'spool')
  const resultsFd = openUnnamedFile(b.at('tmp'), 'results')
  t.after(() => {
    fs.closeSync(spoolFd)
    fs.closeSync(resultsFd)
  })
  const records: FileRecord[] = []
  scanTree(Buffer.from(b.at('dir')), { spoolFd, tempDir: b.at('tmp') }, ({ startByte, endByte }) => {
    const reader = createRecordReader(spoolFd, startByte, endByte)
    while (!reader.isAtEnd) {
      const record = readSpoolRecord(reader)
      if (record.kind === 'file') records.push(record)
    }
  })
  fs.rmSync(b.at('dir', 'e-gone'))
  let copiedBytes = 0
  const sink = {
    offer: (run: BlockRun) => () => {
      for (let index = 0; index < run.count; index++) copiedBytes += run.lengths[index]!
    },
    finish: () => undefined,
  }
  const committed: BackedFile[] = []
  let awaited = 0
  const results = createRecordWriter(resultsFd)
  let opened = ''
  let isChanged = false
  let writes = 0
  const reader = createBackedReader(
    {
      sink,
      results,
      resultsFd,
      commit(files) {
        committed.push(...files)
        return () => {
          awaited += 1
        }
      },
    },
    {
      chunker: CHUNKED,
      openFile(path) {
        const fd = fs.openSync(path, 'r')
        opened = path.toString()
        if (/once/.test(opened) && !isChanged) {
          isChanged = true
          fs.appendFileSync(path, 'x')
        }
        return fd
      },
      onBytes() {
        if (/moving/.test(opened)) fs.writeFileSync(opened, noise(200_000, 100 + writes++))
      },
    },
  )
  for (const record of records) {
    const name = Buffer.from(record.name)
    reader.read(
      () => Buffer.from(b.at('dir', name.toString())),
      () => Buffer.from(name),
      record,
    )
  }
  reader.flush()
  reader.finish()
  assert.equal(awaited, 1)
  const names = committed.map(({ below }) => Buffer.from(below).toString())
  assert.deepEqual(names, ['a-large', 'd-changed-once', 'f-last'])
  for (const { below, identity, blocks } of committed) {
    const { size, ino } = fs.statSync(b.at('dir', Buffer.from(below).toString()), { bigint: true })
    assert.deepEqual([identity.sizeBytes, identity.ino], [Number(size), ino])
    let end = 0
    for (const { offset, lengthBytes } of blocks) {
      assert.equal(offset, end)
      end += lengthBytes
    }
    assert.equal(end, Number(size))
  }
  assert.ok(
    copiedBytes >= SMALLEST_BACKED_BYTES - 1 + 200_000 && copiedBytes < 1_000_000,
    String(copiedBytes),
  )
  const outcome = createRecordReader(resultsFd, 0, results.position)
  const statuses = records.map(() => {
    const header = readReadHeader(outcome)
    outcome.view(resultBodyBytes(header))
    return header.status
  })
  assert.deepEqual(statuses, ['captured', 'captured', 'unstable', 'captured', 'failed', 'captured'])
})
