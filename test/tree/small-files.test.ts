/** Files that lie in their directories' nodes: at the limit, over it and back, by other names, and from hostile publishers. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { utf8 } from '../../src/base/bytes.ts'
import { type Clock, systemClock } from '../../src/base/clock.ts'
import type { Block } from '../../src/block/block.ts'
import { DEFAULT_CHUNKER } from '../../src/block/chunker.ts'
import { cidOf, RAW } from '../../src/block/cid.ts'
import { buildDirectory } from '../../src/dag/directory.ts'
import type { Entry, FileEntry } from '../../src/dag/entry.ts'
import { encodeEntry } from '../../src/dag/entry.ts'
import { diff, lookUp } from '../../src/dag/reader.ts'
import { checkOut } from '../../src/tree/checkout/checkout.ts'
import { compareTree } from '../../src/tree/compare/compare.ts'
import type { ImportResult } from '../../src/tree/import/import.ts'
import { importTree } from '../../src/tree/import/import.ts'
import { createFileReader } from '../../src/tree/read-file.ts'
import { openStatCaches } from '../../src/tree/stat-cache/stat-caches.ts'
import { CHUNKED } from '../chunked.ts'
import { inlineFile } from '../dag/samples.ts'
import { META } from '../dag/trees.ts'
import { createTestLogger } from '../replica/test-mesh.ts'
import { missingOf } from './missing-blocks.ts'
import { type Bench, bench, describeTree, noise } from './trees.ts'

const LIMIT = DEFAULT_CHUNKER.inlineBytes!
const SIZES = [0, 1, LIMIT - 1, LIMIT, LIMIT + 1]

async function fileOf({ store }: Bench, { snapshot }: ImportResult, name: string): Promise<FileEntry> {
  const entry = await lookUp(store.blocks, snapshot.root, [utf8(name)])
  assert.ok(entry?.type === 'file', name)
  return entry
}

async function read(b: Bench, entry: FileEntry, startByte: number, endByte: number): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  const reader = createFileReader({ blocks: b.store.blocks })
  for await (const piece of reader.read(entry, { startByte, endByte })) pieces.push(Uint8Array.from(piece))
  return Buffer.concat(pieces)
}

function makeSizes(b: Bench): string {
  const source = b.at('source')
  fs.mkdirSync(source)
  for (const size of SIZES) fs.writeFileSync(b.at('source', `${size}`), noise(size, size + 1))
  fs.linkSync(b.at('source', `${LIMIT}`), b.at('source', 'linked'))
  fs.writeFileSync(b.at('source', 'twin'), noise(LIMIT, LIMIT + 1))
  fs.writeFileSync(b.at('source', 'sparse'), '')
  fs.truncateSync(b.at('source', 'sparse'), LIMIT)
  return source
}

test('files up to the limit lie in their directory, larger and sparse ones and a root do not, and all read alike', async (t) => {
  const b = await bench(t)
  const source = makeSizes(b)
  const imported = await b.import(source)
  for (const size of SIZES) {
    const entry = await fileOf(b, imported, `${size}`)
    const content = noise(size, size + 1)
    assert.equal(entry.inline !== undefined, size > 0 && size <= LIMIT, `${size}`)
    if (size > 0 && size <= LIMIT) assert.ok(entry.content?.equals(cidOf(RAW, content)))
    for (const [from, to] of [
      [0, size],
      [0, size + 10],
      [size >> 1, size],
      [size - 1, size],
      [1, 2],
    ] as const)
      if (from >= 0) assert.deepEqual(await read(b, entry, from, to), content.subarray(from, to), `${size}`)
  }
  assert.equal((await fileOf(b, imported, 'sparse')).inline, undefined)
  const [one, other, twin] = await Promise.all(
    [`${LIMIT}`, 'linked', 'twin'].map((name) => fileOf(b, imported, name)),
  )
  assert.deepEqual([one!.link, one!.inline], [other!.link, other!.inline])
  assert.equal(twin!.link, undefined)
  assert.equal(await missingOf(b, imported), 0)

  await b.checkOut(imported, b.at('out'))
  assert.deepEqual(describeTree(b.at('out')), describeTree(source))
  const chunked = await b.import(source, { tree: 'chunked', chunker: CHUNKED })
  // Whether a file lies here or there is no change of it.
  for await (const change of diff(b.store.blocks, imported.snapshot.root, chunked.snapshot.root))
    assert.fail(`${Buffer.from(change.path.at(-1) ?? []).toString()} is ${change.change}`)

  fs.writeFileSync(b.at('out', 'twin'), noise(LIMIT, 99))
  fs.rmSync(b.at('out', '1'))
  const found: string[] = []
  const compared = { blocks: b.store.blocks, tempDir: b.at('tmp') }
  for await (const { path, kind } of compareTree(compared, {
    root: imported.snapshot.root,
    dir: b.at('out'),
  }))
    found.push(`${path.toString()} ${kind}`)
  assert.ok(found.includes('twin content') && found.includes('1 missing'), found.join())

  const single = await b.import(b.at('source', '1'), { tree: 'single' })
  assert.ok(single.snapshot.root.type === 'file' && single.snapshot.root.inline === undefined)
  assert.equal(await missingOf(b, single), 0)
})

test('in place and adopted, small files are in the store and nothing rests on them', async (t) => {
  for (const inPlace of ['in-place', 'adopted'] as const) {
    const b = await bench(t)
    const source = makeSizes(b)
    const imported = await b.import(source, { inPlace })
    const before = describeTree(source)
    const [backing] = b.store.blocks.backings.list()
    const backed: string[] = []
    for await (const run of b.store.blocks.backings.files(backing!.id))
      for (const { below } of run) backed.push(Buffer.from(below).toString())
    assert.deepEqual(backed, [`${LIMIT + 1}`])
    for (const name of fs.readdirSync(source)) if (!backed.includes(name)) fs.rmSync(b.at('source', name))
    assert.equal(await missingOf(b, imported), 0)
    await b.checkOut(imported, b.at('out'))
    assert.deepEqual(describeTree(b.at('out')), before)
  }
})

test('a file that crosses the limit from one snapshot to the next, both ways, is right in each', async (t) => {
  const b = await bench(t)
  const later: Clock = { ...systemClock, nowMs: () => systemClock.nowMs() + 3_600_000 }
  const statCaches = openStatCaches({ dir: b.at('cache'), log: createTestLogger() })
  fs.mkdirSync(b.at('source'))
  const write = (sizes: readonly number[]): void => {
    for (const [i, size] of sizes.entries())
      fs.writeFileSync(b.at('source', `${i}`), noise(size, 7 * i + size))
  }
  let last: ImportResult | undefined
  for (const sizes of [
    [LIMIT, LIMIT + 1, 10, 50_000],
    [LIMIT + 1, LIMIT, 10, 10],
    [LIMIT + 1, 0, 11, 50_000],
    [LIMIT, 1, 11, LIMIT],
  ]) {
    write(sizes)
    const imported = await importTree(
      { blocks: b.store.blocks, tempDir: b.at('tmp'), clock: later },
      { path: b.at('source'), tree: 'test', statCaches },
    )
    await imported.cache?.keep(imported.snapshotCid)
    // As one that knows of nothing before.
    const plain = await b.import(b.at('source'), { tree: 'plain' })
    assert.deepEqual(encodeEntry(imported.snapshot.root), encodeEntry(plain.snapshot.root))
    await b.checkOut(imported, b.at('out'), { replace: true })
    assert.deepEqual(describeTree(b.at('out')), describeTree(b.at('source')))
    if (last !== undefined) assert.equal(await missingOf(b, last), 0)
    last = imported
  }
})

test('one directory of small files under many names fills no disk beyond what the snapshot says', async (t) => {
  const b = await bench(t)
  const stored: Block[] = []
  const files = Array.from({ length: 64 }, (_, i) => inlineFile(`${100 + i}`, noise(16_384, i)))
  const directory = buildDirectory(files, (block) => stored.push(block))
  const names = Array.from(
    { length: 5000 },
    (_, i): Entry => ({
      type: 'directory',
      name: utf8(`${10_000 + i}`),
      directory,
      ...META,
      mode: 0o755,
    }),
  )
  const root: Entry = {
    type: 'directory',
    name: new Uint8Array(),
    directory: buildDirectory(names, (block) => stored.push(block)),
    ...META,
    mode: 0o755,
  }
  await b.store.blocks.put(stored)
  // It lists 5 GB, and says that it has what lies in its blocks.
  const counts = {
    files: 64,
    directories: 5001,
    symlinks: 0,
    bytes: 64 * 16_384,
    blocks: stored.length,
    blockBytes: 2e6,
  }
  await assert.rejects(
    checkOut({ blocks: b.store.blocks, clock: systemClock }, { root, dest: b.at('out'), counts }),
    { code: 'corrupt', message: /larger than its snapshot says/ },
  )
  assert.ok(!fs.existsSync(b.at('out')))
})

test('names of one hard-link group with other contents are other files, and one file may be a chunk as well', async (t) => {
  const b = await bench(t)
  const stored: Block[] = []
  const [same, another] = [noise(3000, 1), noise(3000, 2)]
  const link = { link: utf8('8 bytes!') }
  const chunk: Entry = {
    type: 'file',
    name: utf8('chunk'),
    sizeBytes: same.length,
    content: cidOf(RAW, same),
    ...META,
  }
  stored.push({ cid: cidOf(RAW, same), bytes: same })
  const entries: Entry[] = [
    { ...inlineFile('a', same), ...link } as Entry,
    { ...inlineFile('b', another), ...link } as Entry,
    { ...inlineFile('c', same), ...link } as Entry,
    chunk,
  ]
  const directory = buildDirectory(entries, (block) => stored.push(block))
  await b.store.blocks.put(stored)
  const root: Entry = { type: 'directory', name: new Uint8Array(), directory, ...META, mode: 0o755 }
  await checkOut({ blocks: b.store.blocks, clock: systemClock }, { root, dest: b.at('out') })
  const inodeOf = (name: string): number => fs.lstatSync(b.at('out', name)).ino
  for (const name of ['a', 'c', 'chunk']) assert.deepEqual(fs.readFileSync(b.at('out', name)), same)
  assert.deepEqual(fs.readFileSync(b.at('out', 'b')), another)
  assert.equal(inodeOf('a'), inodeOf('c'))
  assert.equal(new Set(['a', 'b', 'chunk'].map(inodeOf)).size, 3)
})
