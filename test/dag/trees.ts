/** Trees to test with: generators of random ones, and a builder that does what an import does, in memory. */
import fc from 'fast-check'
import { compareBytes, utf8 } from '../../src/base/bytes.ts'
import type { Block } from '../../src/block/block.ts'
import type { Cid } from '../../src/block/cid.ts'
import { cidOf, DAG_CBOR, RAW } from '../../src/block/cid.ts'
import type { BuiltIndex } from '../../src/dag/block-index.ts'
import { createBlockIndexBuilder } from '../../src/dag/block-index.ts'
import { buildDirectory } from '../../src/dag/directory.ts'
import type { Entry, FileEntry, Metadata } from '../../src/dag/entry.ts'
import { checkName } from '../../src/dag/entry.ts'
import { createFileBuilder } from '../../src/dag/file.ts'
import type { Xattr } from '../../src/dag/xattrs.ts'
import { placeXattrs } from '../../src/dag/xattrs.ts'

/** A tree before it has CIDs. Files are given as their chunks, attributes as a set wherever it will lie. */
export type Plan = { readonly attributes?: readonly Xattr[] | undefined } & (
  | {
      readonly type: 'file'
      readonly meta: Metadata
      readonly chunks: readonly Uint8Array[]
      readonly isInline?: boolean
    }
  | { readonly type: 'symlink'; readonly meta: Metadata; readonly target: Uint8Array }
  | { readonly type: 'directory'; readonly meta: Metadata; readonly children: ReadonlyMap<string, Plan> }
  | { readonly type: 'fifo'; readonly meta: Metadata }
)

export const META: Metadata = { mode: 0o644, mtimeSec: 1_700_000_000, mtimeNsec: 5, uid: 0, gid: 0 }

export interface BuiltTree {
  readonly root: Entry
  readonly index: BuiltIndex
}

const NOTHING = new Uint8Array()

/** Builds `plan` in the order that closure defines, adding every block to the index as it goes. */
export function buildTree(plan: Plan, emit: (block: Block) => void): BuiltTree {
  const index = createBlockIndexBuilder(emit)
  const emitNode = (block: Block): void => {
    emit(block)
    index.add(block.cid, block.bytes.length)
  }
  const build = (name: Uint8Array, node: Plan): Entry => {
    const placed = placeXattrs(node.attributes ?? [], emitNode)
    const meta = { ...node.meta, ...placed }
    if (node.type === 'symlink') return { type: 'symlink', name, target: node.target, ...meta }
    if (node.type === 'fifo') return { type: 'fifo', name, ...meta }
    if (node.type === 'file') {
      const inline = node.isInline === true ? new Uint8Array(Buffer.concat(node.chunks)) : NOTHING
      if (inline.length > 0) {
        const content = cidOf(RAW, inline)
        return { type: 'file', name, content, inline, sizeBytes: inline.length, ...meta }
      }
      const file = createFileBuilder(emitNode)
      for (const bytes of node.chunks) {
        const cid = cidOf(RAW, bytes)
        emitNode({ cid, bytes })
        file.add({ cid, lengthBytes: bytes.length })
      }
      return { type: 'file', name, ...file.finish(), ...meta }
    }
    const entries = sortedChildren(node).map(([childName, child]) => build(childName, child))
    return { type: 'directory', name, directory: buildDirectory(entries, emitNode), ...meta }
  }
  const root = build(new Uint8Array(), plan)
  return { root, index: index.finish() }
}

/** Children in byte order; a plan spells names in latin1, one character a byte. */
export function sortedChildren(plan: Plan & { type: 'directory' }): [Uint8Array, Plan][] {
  return [...plan.children]
    .map(([name, child]): [Uint8Array, Plan] => [new Uint8Array(Buffer.from(name, 'latin1')), child])
    .sort(([a], [b]) => compareBytes(a, b))
}

export function directoryPlan(children: Record<string, Plan>, meta = META): Plan {
  return { type: 'directory', meta, children: new Map(Object.entries(children)) }
}

export function filePlan(...chunks: string[]): Plan {
  return { type: 'file', meta: META, chunks: chunks.map(utf8) }
}

/** A flat directory of `count` files with a name, a size and a chunk of their own. */
export function numberedFiles(
  count: number,
  change: (i: number) => Partial<FileEntry> = () => ({}),
): FileEntry[] {
  return Array.from({ length: count }, (_, i) => ({
    type: 'file' as const,
    name: utf8(`file-${String(i).padStart(7, '0')}.rpm`),
    ...META,
    sizeBytes: 1 + (i % 1000),
    content: chunkCid(i),
    ...change(i),
  }))
}

export function chunkCid(i: number): Cid {
  return cidOf(RAW, utf8(`chunk ${i}`))
}

const text = fc.oneof(
  fc.string({ minLength: 1, maxLength: 12 }),
  fc.constantFrom('root', 'mockbuild', 'Jörg'),
)

export const metadata: fc.Arbitrary<Metadata> = fc.record(
  {
    mode: fc.integer({ min: 0, max: 0o7777 }),
    mtimeSec: fc.oneof(
      fc.integer(),
      fc.constantFrom(0, -1, 2 ** 40, -(2 ** 40), Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER),
    ),
    mtimeNsec: fc.integer({ min: 0, max: 999_999_999 }),
    uid: fc.integer({ min: 0, max: 0xffff_ffff }),
    gid: fc.integer({ min: 0, max: 0xffff_ffff }),
    user: text,
    group: text,
  },
  { requiredKeys: ['mode', 'mtimeSec', 'mtimeNsec', 'uid', 'gid'] },
)

export const nameBytes = fc
  .oneof(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.uint8Array({ minLength: 255, maxLength: 255 }))
  .filter(isName)

function isName(bytes: Uint8Array): boolean {
  try {
    checkName(bytes)
    return true
  } catch {
    return false
  }
}

const attributeName = fc.uint8Array({ minLength: 1, maxLength: 20 }).filter((bytes) => !bytes.includes(0))

/** Sets of attributes, some too long to stand in their entry. */
const attributeSets: fc.Arbitrary<readonly Xattr[]> = fc
  .uniqueArray(
    fc.record(
      {
        name: attributeName,
        value: fc.oneof(fc.uint8Array({ maxLength: 30 }), fc.constant(new Uint8Array(2000))),
      },
      { noNullPrototype: true },
    ),
    { maxLength: 4, minLength: 1, selector: ({ name }) => Buffer.from(name).toString('latin1') },
  )
  .map((set) => set.toSorted((a, b) => compareBytes(a.name, b.name)))

const target = fc.uint8Array({ minLength: 1, maxLength: 60 }).filter((bytes) => !bytes.includes(0))

/** Random trees with few distinct names and chunks, so that two of them have much in common. */
export const plans: fc.Arbitrary<Plan> = fc.letrec<{
  node: Plan
  file: Plan
  symlink: Plan
  directory: Plan
}>((tie) => {
  const meta = fc.oneof({ weight: 4, arbitrary: fc.constant(META) }, { weight: 1, arbitrary: metadata })
  const attributes = fc.option(attributeSets, { nil: undefined, freq: 4 })
  const name = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom('a', 'b', 'b.d', 'b0', 'c', 'sub', '\xff', 'Z') },
    { weight: 1, arbitrary: nameBytes.map((bytes) => Buffer.from(bytes).toString('latin1')) },
  )
  const chunk = fc.oneof(fc.constantFrom('one', 'two', 'three').map(utf8), fc.uint8Array({ minLength: 1 }))
  return {
    node: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      tie('file'),
      tie('symlink'),
      fc.record({ type: fc.constant('fifo' as const), meta, attributes }),
      tie('directory'),
    ),
    file: fc.record({
      type: fc.constant('file' as const),
      meta,
      attributes,
      chunks: fc.array(chunk, { maxLength: 4 }),
      isInline: fc.boolean(),
    }),
    symlink: fc.record({ type: fc.constant('symlink' as const), meta, attributes, target }),
    directory: fc.record({
      type: fc.constant('directory' as const),
      meta,
      attributes,
      children: fc.array(fc.tuple(name, tie('node')), { maxLength: 6 }).map((pairs) => new Map(pairs)),
    }),
  }
}).directory

/** Any entry that can be written. */
export const entries: fc.Arbitrary<Entry> = fc
  .tuple(
    fc.oneof(plainEntries(), specialEntries(), sparseEntries(), inlineEntries()),
    fc.option(attributeSets, { nil: undefined }),
  )
  .map(([entry, set]) => ({ ...entry, ...placeXattrs(set ?? [], () => undefined) }))

function specialEntries(): fc.Arbitrary<Entry> {
  const number = fc.integer({ min: 0, max: 0xffff_ffff })
  const common = { meta: metadata, name: nameBytes }
  return fc.oneof(
    fc
      .record({ ...common, type: fc.constantFrom('fifo', 'socket') })
      .map(({ meta, name, type }): Entry => ({ type, name, ...meta })),
    fc
      .record({
        ...common,
        type: fc.constantFrom('block-device', 'character-device'),
        major: number,
        minor: number,
      })
      .map(({ meta, name, type, major, minor }): Entry => ({ type, name, ...meta, major, minor })),
  )
}

function inlineEntries(): fc.Arbitrary<Entry> {
  return fc
    .record({ meta: metadata, name: nameBytes, inline: fc.uint8Array({ minLength: 1, maxLength: 300 }) })
    .map(({ meta, name, inline }): Entry => {
      const content = cidOf(RAW, inline)
      return { type: 'file', name, sizeBytes: inline.length, ...meta, content, inline }
    })
}

function sparseEntries(): fc.Arbitrary<Entry> {
  const grains = fc.array(fc.integer({ min: 1, max: 2 ** 20 }), { minLength: 2, maxLength: 9 })
  return fc
    .record({
      meta: metadata,
      name: nameBytes,
      seed: fc.nat(),
      grains,
      tail: fc.integer({ min: 1, max: 4096 }),
    })
    .map(({ meta, name, seed, grains, tail }): Entry => {
      const holes: number[] = []
      let at = 0
      for (const [index, grain] of grains.entries()) {
        if (index % 2 === 1) holes.push(at, grain * 4096)
        at += grain * 4096
      }
      // Sometimes the last hole reaches the end of the file, wherever that is.
      if (grains.length % 2 === 0) holes[holes.length - 1]! += tail
      const content = cidOf(DAG_CBOR, utf8(`file ${seed}`))
      return { type: 'file', name, sizeBytes: at + tail, content, ...meta, holes }
    })
}

function plainEntries(): fc.Arbitrary<Entry> {
  return fc.oneof(
    fc
      .record({
        meta: metadata,
        name: nameBytes,
        sizeBytes: fc.oneof(fc.nat(4_000_000), fc.constant(0)),
        link: fc.option(fc.uint8Array({ minLength: 8, maxLength: 8 }), { nil: undefined }),
        seed: fc.nat(),
      })
      .map(
        ({ meta, name, sizeBytes, link, seed }): Entry => ({
          type: 'file',
          name,
          sizeBytes,
          ...meta,
          ...(sizeBytes === 0 ? {} : { content: chunkCid(seed) }),
          ...(link === undefined ? {} : { link }),
        }),
      ),
    fc.record({ meta: metadata, name: nameBytes, seed: fc.nat() }).map(
      ({ meta, name, seed }): Entry => ({
        type: 'directory',
        name,
        directory: buildDirectory(numberedFiles(seed % 3), () => undefined),
        ...meta,
      }),
    ),
    fc
      .record({
        meta: metadata,
        name: nameBytes,
        target,
        link: fc.option(fc.constant(utf8('12345678')), { nil: undefined }),
      })
      .map(
        ({ meta, name, target, link }): Entry => ({
          type: 'symlink',
          name,
          target,
          ...meta,
          ...(link === undefined ? {} : { link }),
        }),
      ),
  )
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}
