import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { cidOf, RAW } from '../../src/block/cid.ts'
import { tryZstd } from '../../src/block/encoding.ts'
import type { Entry } from '../../src/dag/entry.ts'
import { createPackReader } from '../../src/tree/checkout/pack-reader.ts'
import { removeTree } from '../../src/tree/checkout/remove-tree.ts'
import { createLinkTable } from '../../src/tree/import/link-table.ts'
import { scanTree } from '../../src/tree/import/scan.ts'
import { joinPath, parentPath, splitPath } from '../../src/tree/path-bytes.ts'
import { reasonOf } from '../../src/tree/reason.ts'
import { createEntryStack } from '../../src/tree/spool/entry-stack.ts'
import { createRecordReader, createRecordWriter, openUnnamedFile } from '../../src/tree/spool/record-bytes.ts'
import type { SpoolBatch, SpoolRecord } from '../../src/tree/spool/spool.ts'
import { NO_LINK, readSpoolRecord, writeSpoolRecord } from '../../src/tree/spool/spool.ts'
import { STAT_KEY_BYTES } from '../../src/tree/spool/stat-key.ts'
import { bench, noise } from './trees.ts'

/** With prototypes, as everything that is read back has. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>

const inode = record({
  mode: fc.nat(0o7777),
  mtimeSec: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
  mtimeNsec: fc.nat(999_999_999),
  uid: fc.nat(0xffff_ffff),
  gid: fc.nat(0xffff_ffff),
})
const name = fc.uint8Array({ maxLength: 255 })
const group = fc.oneof(fc.nat(1000), fc.constant(NO_LINK))
const xattrs = fc.array(
  record({
    name: fc.uint8Array({ minLength: 1, maxLength: 255 }),
    value: fc.uint8Array({ maxLength: 3000 }),
  }),
  { maxLength: 3 },
)
const stat = fc.uint8Array({ minLength: STAT_KEY_BYTES, maxLength: STAT_KEY_BYTES })
const spoolRecord: fc.Arbitrary<SpoolRecord> = fc.oneof(
  record({
    kind: fc.constant('file' as const),
    name,
    inode,
    xattrs,
    sizeBytes: fc.maxSafeNat(),
    ino: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    ctimeNs: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    group,
    isRead: fc.boolean(),
    isKnown: fc.boolean(),
    stat,
  }),
  record({
    kind: fc.constant('symlink' as const),
    name,
    inode,
    xattrs,
    target: fc.uint8Array({ maxLength: 4095 }),
    group,
    stat,
  }),
  record({ kind: fc.constant('enter' as const), name, inode, xattrs, stat }),
  record({
    kind: fc.constant('special' as const),
    name,
    inode,
    xattrs,
    type: fc.constantFrom('fifo', 'socket', 'block-device', 'character-device'),
    major: fc.nat(0xffff_ffff),
    minor: fc.nat(0xffff_ffff),
    group,
    stat,
  }),
  record({ kind: fc.constant('leave' as const) }),
  record({ kind: fc.constant('uncaptured' as const), name, reason: fc.string({ unit: 'binary' }) }),
)

test('spool records come back as they were written, across the edges of the buffers', async (t) => {
  const b = await bench(t)
  fc.assert(
    fc.property(fc.array(spoolRecord, { minLength: 1, maxLength: 300 }), (records) => {
      const fd = openUnnamedFile(b.dir, 'records')
      const writer = createRecordWriter(fd)
      // Repeated, so that the buffer overflows.
      for (let round = 0; round < 5; round++) for (const record of records) writeSpoolRecord(writer, record)
      writer.flush()
      const reader = createRecordReader(fd, 0, writer.position)
      for (let round = 0; round < 5; round++) {
        for (const record of records) assert.deepEqual(readSpoolRecord(reader), record)
      }
      assert.ok(reader.isAtEnd)
      fs.closeSync(fd)
    }),
    { numRuns: 15 },
  )
})

test('a record writer patches and rewinds, before and after a flush', async (t) => {
  const b = await bench(t)
  const fd = openUnnamedFile(b.dir, 'records')
  const writer = createRecordWriter(fd)
  writer.bytes(Buffer.from('0123456789'))
  writer.patch(2, Buffer.from('xy'))
  writer.flush()
  writer.bytes(Buffer.from('tail'))
  writer.patch(5, Buffer.from('Z'))
  writer.rewind(12)
  writer.bytes(Buffer.from('!'))
  writer.rewind(8)
  writer.bytes(Buffer.from('end'))
  writer.flush()
  assert.equal(createRecordReader(fd, 0, 11).view(11).toString(), '01xy4Z67end')
  assert.throws(() => createRecordReader(fd, 0, 4).u64(), RangeError)
  fs.closeSync(fd)
})

test('entries over the bound wait in a file and come back in order, at every depth', async (t) => {
  const b = await bench(t)
  const fd = openUnnamedFile(b.dir, 'spill')
  const stack = createEntryStack(fd, 10)
  const entry = (text: string): Entry => ({
    type: 'symlink',
    name: Buffer.from(text),
    target: Buffer.from('t'),
    mode: 0o777,
    mtimeSec: 1,
    mtimeNsec: 2,
    uid: 3,
    gid: 4,
  })
  const close = (): string[] => [...stack.close()].map((each) => Buffer.from(each.name).toString())
  const numbered = (prefix: string, count: number): string[] =>
    Array.from({ length: count }, (_, i) => `${prefix}${i}`)
  for (let round = 0; round < 3; round++) {
    stack.open()
    for (const text of numbered('a', 25)) stack.add(entry(text))
    stack.open()
    for (const text of numbered('b', 37)) stack.add(entry(text))
    stack.open()
    assert.deepEqual(close(), [])
    assert.deepEqual(close(), numbered('b', 37))
    stack.add(entry('z'))
    assert.deepEqual(close(), [...numbered('a', 25), 'z'])
  }
  fs.closeSync(fd)
})

test('what ails this process or its own disk is never a reason to leave a file out', () => {
  const failure = (code: string): Error => Object.assign(new Error(code), { code })
  assert.equal(reasonOf(failure('EACCES')), 'permission denied (EACCES)')
  assert.equal(reasonOf(failure('EIO')), 'EIO')
  for (const code of ['EMFILE', 'ENFILE', 'ENOMEM', 'ENOSPC', 'EDQUOT'])
    assert.throws(() => reasonOf(failure(code)), { code })
})

test('link groups count their members inside the tree, and inodes of two devices are never one', () => {
  const table = createLinkTable()
  assert.deepEqual(table.meet(1n, 5n, 3), { group: 0, isFirst: true })
  assert.deepEqual(table.meet(2n, 5n, 2), { group: 1, isFirst: true })
  assert.deepEqual(table.meet(1n, 5n, 3), { group: 0, isFirst: false })
  assert.deepEqual(table.meet(1n, 5n, 3), { group: 0, isFirst: false })
  assert.deepEqual([...table.memberCounts()], [3, 1])
})

test('a scan cuts its batches at whole records and says which directory each starts in', async (t) => {
  const b = await bench(t)
  for (const dir of ['a', 'a/b', 'c']) {
    fs.mkdirSync(b.at('source', dir), { recursive: true })
    for (let i = 0; i < 600; i++) fs.writeFileSync(b.at('source', dir, `f${i}`), 'x')
  }
  const fd = openUnnamedFile(b.dir, 'spool')
  const batches: SpoolBatch[] = []
  scanTree(Buffer.from(b.at('source')), { spoolFd: fd, tempDir: b.dir }, (batch) => batches.push(batch))
  assert.ok(batches.length > 3)
  let below: Buffer = Buffer.alloc(0)
  let files = 0
  for (const batch of batches) {
    assert.equal(Buffer.from(batch.dir).toString(), below.toString())
    const reader = createRecordReader(fd, batch.startByte, batch.endByte)
    while (!reader.isAtEnd) {
      const record = readSpoolRecord(reader)
      if (record.kind === 'enter') below = joinPath(below, record.name)
      else if (record.kind === 'leave') below = parentPath(below)
      else if (record.kind === 'file') {
        files += 1
        assert.ok(fs.existsSync(b.at('source', below.toString(), Buffer.from(record.name).toString())))
      }
    }
  }
  assert.equal(files, 1800)
  fs.closeSync(fd)
})

test('a pack reader gives the named block or nothing', async (t) => {
  const b = await bench(t)
  const bytes = noise(3_000_000)
  fs.writeFileSync(b.at('pack'), bytes)
  const reader = createPackReader()
  const read = (offset: number, length: number, of = bytes.subarray(offset, offset + length)): boolean => {
    const place = { pack: { path: b.at('pack') }, offset, storedBytes: length, lengthBytes: length }
    const block = reader.read(place, cidKeyOf(of))
    return block !== undefined && Buffer.from(block).equals(bytes.subarray(offset, offset + length))
  }
  for (let offset = 0; offset < 2_900_000; offset += 70_052)
    assert.ok(read(offset, 70_000), 'in order, with gaps')
  assert.ok(read(2_000_000, 1_000_000) && read(5, 1) && read(2_999_999, 1))
  assert.equal(read(10, 100, Buffer.from('other')), false)
  assert.equal(read(2_999_990, 100), false, 'past the end')
  assert.equal(
    reader.read(
      { pack: { path: b.at('absent') }, offset: 0, storedBytes: 1, lengthBytes: 1 },
      cidKeyOf(Buffer.from('x')),
    ),
    undefined,
  )
  reader.close()
})

test('a pack reader decodes what rests as zstd, and takes damage for no block', async (t) => {
  const b = await bench(t)
  const plain = Buffer.from('what is said twice compresses '.repeat(9000))
  const frame = Buffer.from(tryZstd(plain, 3)!)
  fs.writeFileSync(b.at('pack'), Buffer.concat([frame, frame.subarray(0, -1), frame, Buffer.alloc(9)]))
  const reader = createPackReader()
  const read = (offset: number, storedBytes: number, lengthBytes = plain.length): boolean => {
    const block = reader.read(
      { pack: { path: b.at('pack') }, offset, storedBytes, lengthBytes },
      cidKeyOf(plain),
    )
    return block !== undefined && Buffer.from(block).equals(plain)
  }
  const third = 2 * frame.length - 1
  assert.ok(read(0, frame.length) && read(third, frame.length))
  assert.equal(read(frame.length, frame.length - 1), false, 'cut short')
  assert.equal(read(third, frame.length + 9), false, 'bytes behind it')
  assert.equal(read(0, frame.length, plain.length + 1), false, 'another length')
  assert.equal(read(0, frame.length, plain.length - 1), false, 'another length')
  reader.close()
})

function cidKeyOf(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from([RAW, ...cidOf(RAW, bytes).multihash.digest])
}

test('a tree of closed directories, odd names, links and paths over 4096 bytes is removed; what links lead to stays', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('kept'))
  fs.writeFileSync(b.at('kept', 'file'), 'x')
  fs.mkdirSync(b.at('tree', 'closed'), { recursive: true })
  fs.symlinkSync(b.at('kept'), b.at('tree', 'closed', 'link'))
  fs.writeFileSync(Buffer.from(`${b.at('tree')}/\xff`, 'latin1'), '')
  fs.chmodSync(b.at('tree', 'closed'), 0)
  // Deeper than one path can say: each half is made on its own, then one is moved into the other.
  const half = `${'n'.repeat(200)}/`.repeat(15)
  fs.mkdirSync(b.at('tree', half), { recursive: true })
  fs.mkdirSync(b.at('other', half), { recursive: true })
  fs.renameSync(b.at('other', half.slice(0, 200)), b.at('tree', half, 'moved'))
  removeTree(Buffer.from(b.at('tree')))
  assert.equal(fs.existsSync(b.at('tree')), false)
  assert.deepEqual(fs.readdirSync(b.at('kept')), ['file'])
  removeTree(Buffer.from(b.at('absent')))
})

test('paths are joined and split as bytes', () => {
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')
  assert.equal(text(joinPath(Buffer.from('a'), Buffer.from([0xff]))), 'a/\xff')
  assert.equal(text(joinPath(Buffer.alloc(0), Buffer.from('b'))), 'b')
  assert.equal(text(joinPath(Buffer.from('a'), Buffer.alloc(0))), 'a')
  const { dir, name: base } = splitPath(Buffer.from('/top'))
  assert.deepEqual([text(dir), text(base)], ['/', 'top'])
  assert.equal(text(parentPath(Buffer.from('a/b'))), 'a')
  assert.equal(text(parentPath(Buffer.from('a'))), '')
})
