/** Pairs of snapshots to make deltas between: files of blocks that look like programs and text, and what happens to them. */
import assert from 'node:assert/strict'
import zlib from 'node:zlib'
import fc from 'fast-check'
import type { Block } from '../../src/block/block.ts'
import type { Cid } from '../../src/block/cid.ts'
import { cidKey } from '../../src/block/cid.ts'
import { listPages, type NodeSource, readPage } from '../../src/dag/reader.ts'
import { decodeSnapshot, encodeSnapshot } from '../../src/dag/snapshot.ts'
import type { BlockRange, MadeDelta } from '../../src/delta/delta.ts'
import {
  countBlocks,
  MAX_DELTA_BLOCKS,
  MAX_DELTA_RANGES,
  MAX_TARGET_BYTES,
  MAX_WINDOW_BYTES,
} from '../../src/delta/delta.ts'
import { SAMPLE_SNAPSHOT } from '../dag/samples.ts'
import { buildTree, META, type Plan } from '../dag/trees.ts'

/** Files by path; each is a list of blocks. */
export type Files = ReadonlyMap<string, readonly Uint8Array[]>

/** Same seed, same bytes: hardly compressible by themselves, so that only a base makes them small. */
export function noise(seed: number, lengthBytes: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes)
  let state = (Math.imul(seed, 2654435761) ^ 0x9e3779b9) >>> 0 || 1
  for (let at = 0; at < lengthBytes; at++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[at] = state & 0x3f
  }
  return bytes
}

/** As after a small change: some bytes differ, and some are new. */
export function edited(bytes: Uint8Array, seed: number): Uint8Array {
  const at = seed % bytes.length
  return Buffer.concat([bytes.subarray(0, at), noise(seed + 1, 1 + (seed % 40)), bytes.subarray(at)])
}

/** @param inlineBytes files of up to so many lie in the nodes of their folders */
export function planOf(files: Files, inlineBytes = 0): Plan {
  const root = new Map<string, Plan>()
  for (const [path, chunks] of files) {
    const names = path.split('/')
    let folder = root
    for (const name of names.slice(0, -1)) {
      const found = folder.get(name)
      if (found?.type === 'directory') folder = found.children as Map<string, Plan>
      else {
        const children = new Map<string, Plan>()
        folder.set(name, { type: 'directory', meta: META, children })
        folder = children
      }
    }
    const isInline = chunks.reduce((sum, { length }) => sum + length, 0) <= inlineBytes
    folder.set(names.at(-1)!, { type: 'file', meta: META, chunks, ...(isInline ? { isInline } : {}) })
  }
  return { type: 'directory', meta: META, children: root }
}

export function snapshotOf(files: Files, emit: (block: Block) => void, inlineBytes = 0): Cid {
  const { root, index } = buildTree(planOf(files, inlineBytes), emit)
  const { blocks, sizeBytes } = index
  const snapshot = encodeSnapshot({
    ...SAMPLE_SNAPSHOT,
    root,
    index: index.root,
    counts: { ...SAMPLE_SNAPSHOT.counts, blocks, blockBytes: sizeBytes },
  })
  emit(snapshot)
  return snapshot.cid
}

const blockBytes = fc.oneof(fc.integer({ min: 1, max: 2000 }), fc.constantFrom(1, 300, 4096, 20_000))
const block = fc.tuple(fc.nat(40), blockBytes).map(([seed, length]) => noise(seed, length))
const path = fc
  .array(fc.constantFrom('a', 'b-1.0', 'b-1.1', 'c', 'lib.so.3', 'lib.so.4', 'x0', 'zz'), {
    minLength: 1,
    maxLength: 3,
  })
  .map((names) => [...names.slice(0, -1).map((name) => `${name}.d`), names.at(-1)].join('/'))
export const files: fc.Arbitrary<Files> = fc
  .array(fc.tuple(path, fc.array(block, { maxLength: 6 })), { maxLength: 8 })
  .map((pairs) => new Map(pairs))

type Change = (files: Map<string, readonly Uint8Array[]>) => void

const change: fc.Arbitrary<Change> = fc
  .tuple(fc.constantFrom('edit', 'insert', 'drop', 'move', 'add', 'double'), fc.nat(1000), path, block)
  .map(([what, seed, to, extra]): Change => {
    return (all) => {
      const from = [...all.keys()][seed % Math.max(1, all.size)]
      const blocks = from === undefined ? undefined : all.get(from)
      if (what === 'add' || from === undefined || blocks === undefined) {
        all.set(to, [extra])
        return
      }
      const at = seed % Math.max(1, blocks.length)
      const old = blocks[at] ?? extra
      if (what === 'edit') all.set(from, blocks.with(Math.min(at, blocks.length - 1), edited(old, seed)))
      if (what === 'insert') all.set(from, blocks.toSpliced(at, 0, extra))
      if (what === 'drop') all.set(from, blocks.toSpliced(at, 1))
      if (what === 'double') all.set(to, [...blocks, edited(old, seed)])
      if (what === 'move') {
        all.delete(from)
        all.set(to, [...blocks.slice(0, at), edited(old, seed), ...blocks.slice(at + 1)])
      }
    }
  })
  .map((apply) => (all: Map<string, readonly Uint8Array[]>) => {
    const empty = [...all].filter(([, blocks]) => blocks.length === 0).map(([name]) => name)
    for (const name of empty) all.set(name, [new Uint8Array([7])])
    apply(all)
  })

/** What a tree was, and what became of it. */
export const histories: fc.Arbitrary<{ readonly before: Files; readonly after: Files }> = fc
  .tuple(files, fc.array(change, { maxLength: 8 }))
  .map(([before, changes]) => {
    const after = new Map(before)
    for (const apply of changes) apply(after)
    return { before, after: withoutFilesAsFolders(after) }
  })
  .map(({ before, after }) => ({ before: withoutFilesAsFolders(before), after }))

/** A name that is a folder too stays the folder. */
function withoutFilesAsFolders(all: Files): Files {
  const paths = [...all.keys()]
  return new Map([...all].filter(([own]) => !paths.some((other) => other.startsWith(`${own}/`))))
}

export interface ListedBlock {
  readonly cid: Cid
  readonly bytes: Uint8Array
}

/** Every block of a snapshot's index, by position. */
export async function listBlocks(source: NodeSource, snapshot: Cid): Promise<ListedBlock[]> {
  const { index } = decodeSnapshot(snapshot, (await source.get(snapshot))!)
  const blocks: ListedBlock[] = []
  for await (const page of listPages(source, index))
    for (const { cid } of (await readPage(source, page)).blocks)
      blocks.push({ cid, bytes: (await source.get(cid))! })
  return blocks
}

/** Holds the deltas to all that is promised of them; returns the positions that they make. */
export function checkDeltas(
  deltas: readonly MadeDelta[],
  target: readonly ListedBlock[],
  base: readonly ListedBlock[],
): Set<number> {
  const held = new Set(base.map(({ cid }) => cidKey(cid)))
  const made = new Set<number>()
  let last = -1
  for (const delta of deltas) {
    const window = bytesAt(base, delta.base)
    const plain = bytesAt(target, delta.targets)
    for (const ranges of [delta.targets, delta.base]) {
      assert.ok(ranges.length >= 1 && ranges.length <= MAX_DELTA_RANGES)
      assert.ok(countBlocks(ranges) >= 1 && countBlocks(ranges) <= MAX_DELTA_BLOCKS)
      assert.ok(ranges.every(({ count }) => count >= 1))
    }
    assert.ok(plain.length <= MAX_TARGET_BYTES && window.length <= MAX_WINDOW_BYTES)
    assert.equal(delta.plainBytes, plain.length)
    assert.ok(delta.bytes.length < delta.zstdBytes && delta.zstdBytes <= plain.length)
    assert.deepEqual(zlib.zstdDecompressSync(delta.bytes, { dictionary: window }), Buffer.from(plain))
    for (const { first, count } of delta.targets)
      for (let position = first; position < first + count; position++) {
        assert.ok(position > last, 'targets come in order, each once')
        assert.ok(!held.has(cidKey(target[position]!.cid)), 'what the base holds is no target')
        last = position
        made.add(position)
      }
  }
  return made
}

function bytesAt(blocks: readonly ListedBlock[], ranges: readonly BlockRange[]): Uint8Array {
  return Buffer.concat(
    ranges.flatMap(({ first, count }) => {
      assert.ok(first >= 0 && first + count <= blocks.length)
      return blocks.slice(first, first + count).map(({ bytes }) => bytes)
    }),
  )
}
