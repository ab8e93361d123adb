import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compareBytes, utf8 } from '../../src/base/bytes.ts'
import { isMirrorError } from '../../src/base/errors.ts'
import { cidKey } from '../../src/block/cid.ts'
import { nodeBlock } from '../../src/block/codec.ts'
import { buildDirectory, decodeDirectoryNode } from '../../src/dag/directory.ts'
import type { Entry } from '../../src/dag/entry.ts'
import { countEntries, lookUp, readDirectory } from '../../src/dag/reader.ts'
import { createMemorySource } from './memory-source.ts'
import { inlineFile } from './samples.ts'
import { collect, entries, META, numberedFiles } from './trees.ts'

const rootOf = (directory: ReturnType<typeof buildDirectory>): Entry => ({
  type: 'directory',
  name: new Uint8Array(),
  directory,
  ...META,
})

const newBlocks = (list: readonly Entry[], known: ReadonlyMap<string, unknown>): number => {
  const fresh = new Set<string>()
  buildDirectory(list, ({ cid }) => {
    if (!known.has(cidKey(cid))) fresh.add(cidKey(cid))
  })
  return fresh.size
}

test('a directory reads back as the entries it was built from', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(entries, { selector: ({ name }) => name.join() }), async (list) => {
      const sorted = list.sort((a, b) => compareBytes(a.name, b.name))
      const source = createMemorySource()
      const cid = buildDirectory(sorted, source.emit)
      assert.deepEqual(await collect(readDirectory(source, cid)), sorted)
    }),
    { numRuns: 60 },
  )
})

test('long directories read back, from any name on, and look up in a handful of blocks', async () => {
  const list = numberedFiles(20_000)
  const source = createMemorySource()
  const cid = buildDirectory(list, source.emit)
  assert.deepEqual(await collect(readDirectory(source, cid)), list)
  source.takeReads()
  for (const at of [0, 1, 63, 9_999, 19_998, 19_999]) {
    const after = list[at]!.name
    assert.deepEqual(await collect(readDirectory(source, cid, { after })), list.slice(at + 1))
    source.takeReads()
    assert.deepEqual(await lookUp(source, rootOf(cid), [after]), list[at])
    assert.ok(source.takeReads() <= 3)
    const page = readDirectory(source, cid, { after })
    for (let i = 0; i < 10 && (await page.next()).done !== true; i++);
    await page.return()
    assert.ok(source.takeReads() <= 4, 'a page costs the way to it and what it shows')
  }
  assert.equal(await countEntries(source, cid), list.length)
  assert.ok(source.takeReads() <= 1)
  assert.equal(await lookUp(source, rootOf(cid), [utf8('file-0000500.rpm0')]), undefined)
  assert.equal(await lookUp(source, rootOf(cid), [utf8('zzz')]), undefined)
})

test('changing, removing or inserting one of 100,000 entries rewrites a handful of blocks', () => {
  const list = numberedFiles(100_000)
  const known = new Map<string, unknown>()
  buildDirectory(list, ({ cid }) => known.set(cidKey(cid), true))
  assert.ok(known.size > 200 && known.size < 1000, `${known.size} nodes`)
  for (const at of [0, 31_007, 77_777, 99_999]) {
    const changed = list.with(at, { ...list[at]!, mtimeNsec: 77 })
    assert.ok(newBlocks(changed, known) <= 3)
    assert.ok(newBlocks(list.toSpliced(at, 1), known) <= 6)
    const inserted = { ...list[at]!, name: utf8(`${Buffer.from(list[at]!.name).toString()}.sig`) }
    assert.ok(newBlocks(list.toSpliced(at + 1, 0, inserted), known) <= 6)
  }
})

test('small files that lie in a directory fill nodes by their bytes, and a change rewrites a handful of them', () => {
  const smalls = Array.from({ length: 5000 }, (_, i) => {
    const inline = new Uint8Array(1 + ((i * 733) % 4096)).fill(i)
    return inlineFile(`${10_000 + i}.h`, inline)
  })
  const sizes: number[] = []
  const known = new Map<string, unknown>()
  buildDirectory(smalls, ({ cid, bytes }) => {
    known.set(cidKey(cid), true)
    sizes.push(bytes.length)
  })
  // The last of each level is as long as what is left.
  const leaves = sizes.filter((bytes) => bytes > 20_000)
  const mean = leaves.reduce((sum, bytes) => sum + bytes, 0) / leaves.length
  assert.ok(mean > 48 * 1024 && mean < 96 * 1024, `${mean} bytes a leaf`)
  assert.ok(Math.max(...sizes) <= 257 * 1024)
  for (const at of [0, 1234, 4999]) {
    const inline = utf8('another content')
    assert.ok(newBlocks(smalls.with(at, inlineFile(`${10_000 + at}.h`, inline)), known) <= 4)
    assert.ok(newBlocks(smalls.toSpliced(at, 1), known) <= 6)
  }
})

test('names out of order or repeated are refused when built', () => {
  const [a, b] = numberedFiles(2) as [Entry, Entry]
  for (const list of [
    [b, a],
    [a, a],
  ]) {
    assert.throws(
      () => buildDirectory(list, () => undefined),
      (error) => isMirrorError(error, 'corrupt'),
    )
  }
})

test('a branch that lies about its children is caught by every reader', async () => {
  const source = createMemorySource()
  const cid = buildDirectory(numberedFiles(2_000), source.emit)
  const root = decodeDirectoryNode(cid, (await source.get(cid))!)
  assert.ok(root.kind === 'branch')
  const asItem = ({ lastName, cid, entries }: (typeof root.children)[number]): unknown[] => [
    lastName,
    cid,
    entries,
  ]
  const [first, ...rest] = root.children.map(asItem) as [unknown[], ...unknown[][]]
  const lies = [
    { l: 1, items: [[first[0], first[1], (first[2] as number) + 1], ...rest] },
    { l: 1, items: [[utf8('file-0000000'), first[1], first[2]], ...rest] },
    { l: 2, items: [first, ...rest] },
    { l: 1, items: [first, [rest[0]![0], first[1], first[2]], ...rest.slice(1)] },
    { l: 1, items: [[first[0], cid, first[2]]] },
  ]
  for (const lie of lies) {
    const block = nodeBlock({ k: 'dir', v: 1, ...lie })
    source.emit(block)
    await assert.rejects(collect(readDirectory(source, block.cid)), (error) =>
      isMirrorError(error, 'corrupt'),
    )
  }
})

test('another version of the format is unsupported, another kind corrupt', () => {
  const cases = [
    ['unsupported', { k: 'dir', l: 0, v: 2, items: [] }],
    ['corrupt', { k: 'file', l: 0, v: 1, items: [] }],
    ['corrupt', { k: 'dir', l: 1, v: 1, items: [] }],
    ['limit', { k: 'dir', l: 9, v: 1, items: [] }],
    ['limit', { k: 'dir', l: 0, v: 1, items: [], more: 1 }],
    ['corrupt', []],
  ] as const
  for (const [code, value] of cases) {
    const { cid, bytes } = nodeBlock(value)
    assert.throws(
      () => decodeDirectoryNode(cid, bytes),
      (error) => isMirrorError(error, code),
      JSON.stringify(value),
    )
  }
})
