/** Files and groups beyond what one call, one inode or one path takes. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { utf8 } from '../../src/base/bytes.ts'
import { systemClock } from '../../src/base/clock.ts'
import { buildDirectory } from '../../src/dag/directory.ts'
import type { Entry, FileEntry } from '../../src/dag/entry.ts'
import { walk } from '../../src/dag/reader.ts'
import { setXattr } from '../../src/posix/xattr.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { checkOut } from '../../src/tree/checkout/checkout.ts'
import { compareTree } from '../../src/tree/compare/compare.ts'
import { bench, describeTree, noise } from './trees.ts'

/** Half a million blocks of zeros in one file, and sizes over what 32 bits count. */
const DISK_BYTES = 2 ** 37

test('a file of 128 GiB that is nearly all hole is imported, checked out and verified without its zeros', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  const fd = fs.openSync(b.at('source', 'disk.img'), 'w')
  fs.ftruncateSync(fd, DISK_BYTES)
  fs.writeSync(fd, noise(100_000), 0, 100_000, 2 ** 36 + 12_345)
  fs.closeSync(fd)
  const startedMs = performance.now()
  const result = await b.import(b.at('source'))
  const { counts, root } = result.snapshot
  assert.deepEqual(result.uncaptured, { count: 0, first: [] })
  assert.equal(counts.bytes, DISK_BYTES)
  assert.ok(counts.blockBytes < 1_000_000, `${counts.blockBytes} bytes of blocks`)
  // The counts go along: the room that is asked for is that of the data.
  const { notRestored } = await b.checkOut(result, b.at('out'), { counts })
  assert.deepEqual(notRestored, { count: 0, first: [] })
  const stat = fs.statSync(b.at('out', 'disk.img'))
  assert.equal(stat.size, DISK_BYTES)
  assert.ok(stat.blocks * 512 < 1_000_000, `${stat.blocks} sectors on the disk`)
  const found = Buffer.alloc(100_000)
  const copy = fs.openSync(b.at('out', 'disk.img'), 'r')
  fs.readSync(copy, found, 0, found.length, 2 ** 36 + 12_345)
  fs.closeSync(copy)
  assert.ok(found.equals(noise(100_000)))
  assert.deepEqual(describeTree(b.at('out')), describeTree(b.at('source')))
  for await (const difference of compareTree(
    { blocks: b.store.blocks, tempDir: b.dir },
    { root, dir: b.at('out') },
  )) {
    assert.fail(difference.detail)
  }
  // Byte for byte this takes ten minutes and more, without the zeros a minute where it is slow.
  assert.ok(performance.now() - startedMs < 240_000)
})

test('a hole over bytes that are not zeros is not left: content has the last word', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  fs.writeFileSync(b.at('source', 'file'), noise(3_000_000))
  const { snapshot } = await b.import(b.at('source'))
  let file: FileEntry | undefined
  for await (const { entry } of walk(b.store.blocks, snapshot.root)) if (entry.type === 'file') file = entry
  const lying: Entry = { ...file!, name: new Uint8Array(), holes: [4096, 8192, 1_048_576, 1_048_576] }
  await checkOut({ blocks: b.store.blocks, clock: systemClock }, { root: lying, dest: b.at('out') })
  assert.ok(fs.readFileSync(b.at('out')).equals(noise(3_000_000)))
})

test('a hard-link group over the limit of the file system goes on in a new inode, and that is reported', async (t) => {
  const b = await bench(t)
  // As ext4 has it; where the file system takes more, the group stays whole.
  const members = 65_010
  const store = createMemoryStore()
  t.after(() => store.close())
  const meta = { mode: 0o640, mtimeSec: 1, mtimeNsec: 2, uid: 0, gid: 0 }
  const xattrs = [{ name: utf8('user.group'), value: utf8('one') }]
  const entries = Array.from({ length: members }, (_, index): Entry => {
    const name = utf8(String(index).padStart(6, '0'))
    return { type: 'file', name, sizeBytes: 0, link: utf8('8 bytes!'), xattrs, ...meta }
  })
  const blocks: Parameters<typeof store.blocks.put>[0][number][] = []
  const directory = buildDirectory(entries, (block) => blocks.push(block))
  await store.blocks.put(blocks, { verified: true })
  const root: Entry = { type: 'directory', name: new Uint8Array(), directory, ...meta, mode: 0o755 }
  const { notRestored } = await checkOut(
    { blocks: store.blocks, clock: systemClock },
    { root, dest: b.at('out'), owner: false, workers: 1 },
  )
  const stats = entries.map(({ name }) => fs.lstatSync(b.at('out', Buffer.from(name).toString())))
  const inodes = new Set(stats.map(({ ino }) => ino))
  assert.equal(notRestored.count, inodes.size - 1)
  assert.ok(inodes.size <= 2, `${inodes.size} inodes`)
  if (inodes.size === 2)
    assert.match(notRestored.first[0]!.reason, /takes no more links to one inode.*EMLINK/)
  for (const { mode, mtimeMs } of stats) assert.deepEqual([mode & 0o7777, Math.trunc(mtimeMs)], [0o640, 1000])
})

test('attributes over what stands in an entry come back, and so do paths longer than one call takes', async (t) => {
  const b = await bench(t)
  fs.mkdirSync(b.at('source'))
  fs.writeFileSync(b.at('source', 'large'), '')
  for (const name of ['large', '.']) {
    setXattr(Buffer.from(b.at('source', name)), Buffer.from('user.large'), noise(2500))
  }
  // Below a root whose own path is long; each name alone is within reach of a working directory.
  let at = b.at('source')
  for (let depth = 0; depth < 16; depth++) {
    at = `${at}/${String(depth).repeat(120).slice(0, 240)}`
    fs.mkdirSync(at)
  }
  fs.writeFileSync(`${at}/file`, 'deep')
  const result = await b.import(b.at('source'))
  assert.deepEqual(result.uncaptured, { count: 0, first: [] })
  await b.checkOut(result, b.at('o'))
  assert.deepEqual(describeTree(b.at('o')), describeTree(b.at('source')))
})
