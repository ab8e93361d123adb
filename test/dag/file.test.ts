import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { utf8 } from '../../src/base/bytes.ts'
import { isMirrorError } from '../../src/base/errors.ts'
import { cidKey, cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import { nodeBlock } from '../../src/block/codec.ts'
import type { FileEntry } from '../../src/dag/entry.ts'
import type { FilePart } from '../../src/dag/file.ts'
import { buildFile, decodeFileNode } from '../../src/dag/file.ts'
import { fileParts } from '../../src/dag/reader.ts'
import { createMemorySource } from './memory-source.ts'
import { chunkCid, collect, META } from './trees.ts'

const partsOf = (count: number): FilePart[] =>
  Array.from({ length: count }, (_, i) => ({ cid: chunkCid(i), lengthBytes: 1 + (i % 5000) }))

const entryOf = (parts: readonly FilePart[], source = createMemorySource()) => {
  const built = buildFile(parts, source.emit)
  const entry: FileEntry = { type: 'file', name: utf8('f'), ...META, ...built }
  return { entry, source }
}

test('an empty file has no content, one chunk is the content itself, more have a node', () => {
  assert.deepEqual(entryOf([]).entry.content, undefined)
  const one = entryOf(partsOf(1))
  assert.ok(one.entry.content?.equals(chunkCid(0)) && one.source.blocks.size === 0)
  const two = entryOf(partsOf(2))
  assert.ok(two.entry.content?.code === DAG_CBOR && two.source.blocks.size === 1)
})

test('a range gives exactly the chunks that overlap it, with their offsets', async () => {
  const parts = partsOf(2_000)
  const { entry, source } = entryOf(parts)
  let offset = 0
  const placed = parts.map((part) => {
    offset += part.lengthBytes
    return { ...part, offset: offset - part.lengthBytes }
  })
  assert.deepEqual(await collect(fileParts(source, entry)), placed)
  await fc.assert(
    fc.asyncProperty(fc.nat(entry.sizeBytes + 10), fc.nat(50_000), async (startByte, length) => {
      const endByte = startByte + length
      const expected = placed.filter(
        (part) => length > 0 && part.offset < endByte && part.offset + part.lengthBytes > startByte,
      )
      source.takeReads()
      assert.deepEqual(await collect(fileParts(source, entry, { startByte, endByte })), expected)
      assert.ok(source.takeReads() <= 4)
    }),
    { numRuns: 60 },
  )
})

test('a chunk inserted into a long file rewrites a handful of nodes', () => {
  const parts = partsOf(50_000)
  const { source } = entryOf(parts)
  let fresh = 0
  buildFile(parts.toSpliced(20_000, 0, { cid: chunkCid(-1), lengthBytes: 9 }), ({ cid }) => {
    if (!source.blocks.has(cidKey(cid))) fresh++
  })
  assert.ok(fresh <= 6, `${fresh} new nodes`)
})

test('a file of one chunk repeated is still a bounded tree', () => {
  const part = { cid: chunkCid(0), lengthBytes: 4096 }
  const { entry, source } = entryOf(Array.from({ length: 5_000 }, () => part))
  assert.equal(entry.sizeBytes, 5_000 * 4096)
  for (const { bytes } of source.blocks.values()) assert.ok(bytes.length < 256 * 1024)
})

test('parts that are no chunk, or of no possible length, are refused', () => {
  const bad = [
    { cid: chunkCid(0), lengthBytes: 0 },
    { cid: chunkCid(0), lengthBytes: 1.5 },
    { cid: chunkCid(0), lengthBytes: 4 * 1024 * 1024 + 1 },
    { cid: cidOf(DAG_CBOR, utf8('x')), lengthBytes: 1 },
  ]
  for (const part of bad) {
    assert.throws(
      () => buildFile([part], () => undefined),
      (error) => isMirrorError(error, 'corrupt'),
    )
  }
})

test('a node whose size is not what the entry says is corrupt', async () => {
  const { entry, source } = entryOf(partsOf(10))
  const lie = { ...entry, sizeBytes: entry.sizeBytes + 1 }
  await assert.rejects(collect(fileParts(source, lie)), (error) => isMirrorError(error, 'corrupt'))
})

test('nodes with empty parts, parts of another level, or too many bytes are corrupt', () => {
  const chunk = chunkCid(0)
  const node = cidOf(DAG_CBOR, utf8('x'))
  for (const [l, items] of [
    [0, []],
    [0, [[chunk, 0]]],
    [0, [[node, 1]]],
    [1, [[chunk, 1]]],
    [0, [[chunk]]],
    [
      1,
      [
        [node, Number.MAX_SAFE_INTEGER],
        [node, 1],
      ],
    ],
  ] as const) {
    const { cid, bytes } = nodeBlock({ k: 'file', l, v: 1, items })
    assert.throws(
      () => decodeFileNode(cid, bytes),
      (error) => isMirrorError(error, 'corrupt'),
    )
  }
})
