/** Trees to test with: generators of random ones, and a builder that does what an import does, in memory. */
import fc from 'fast-check'
import { compareBytes, utf8 } from '../../src/base/bytes.ts'
import type { Block } from '../../src/block/block.ts'
import type { Cid } from '../../src/block/cid.ts'
import { cidOf, RAW } from '../../src/block/cid.ts'
import type { BuiltIndex } from '../../src/dag/block-index.ts'
import { createBlockIndexBuilder } from '../../src/dag/block-index.ts'
import { buildDirectory } from '../../src/dag/directory.ts'
import type { Entry, FileEntry, Metadata } from '../../src/dag/entry.ts'
import { checkName } from '../../src/dag/entry.ts'
import { createFileBuilder } from '../../src/dag/file.ts'

/** A tree before it has CIDs. Files are given as their chunks. */
export type Plan =
  | { readonly type: 'file'; readonly meta: Metadata; readonly chunks: readonly Uint8Array[] }
  | { readonly type: 'symlink'; readonly meta: Metadata; readonly target: Uint8Array }
  | { readonly type: 'directory'; readonly meta: Metadata; readonly children: ReadonlyMap<string, Plan> }

export const META: Metadata = { mode: 0o644, mtimeSec: 1_700_000_000, mtimeNsec: 5, uid: 0, gid: 0 }

export interface BuiltTree {
  readonly root: Entry
  readonly index: BuiltIndex
}

/** Builds `plan` in the order that closure defines, adding every block to the index as it goes. */
export function buildTree(plan: Plan, emit: (block: Block) => void): BuiltTree {
  const index = createBlockIndexBuilder(emit)
  const emitNode = (block: Block): void => {
    emit(block)
    index.add(block.cid, block.bytes.length)
  }
  const build = (name: Uint8Array, node: Plan): Entry => {
    if (node.type === 'symlink') return { type: 'symlink', name, target: node.target, ...node.meta }
    if (node.type === 'file') {
      const file = createFileBuilder(emitNode)
      for (const bytes of node.chunks) {
        const cid = cidOf(RAW, bytes)
        emitNode({ cid, bytes })
        file.add({ cid, lengthBytes: bytes.length })
      }
      return { type: 'file', name, ...file.finish(), ...node.meta }
    }
    const entries = sortedChildren(node).map(([childName, child]) => build(childName, child))
    return { type: 'directory', name, directory: buildDirectory(entries, emitNode), ...node.meta }
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

const target = fc.uint8Array({ minLength: 1, maxLength: 60 }).filter((bytes) => !bytes.includes(0))

/** Random trees with few distinct names and chunks, so that two of them have much in common. */
export const plans: fc.Arbitrary<Plan> = fc.letrec<{
  node: Plan
  file: Plan
  symlink: Plan
  directory: Plan
}>((tie) => {
  const meta = fc.oneof({ weight: 4, arbitrary: fc.constant(META) }, { weight: 1, arbitrary: metadata })
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
      tie('directory'),
    ),
    file: fc.record({ type: fc.constant('file' as const), meta, chunks: fc.array(chunk, { maxLength: 4 }) }),
    symlink: fc.record({ type: fc.constant('symlink' as const), meta, target }),
    directory: fc.record({
      type: fc.constant('directory' as const),
      meta,
      children: fc.array(fc.tuple(name, tie('node')), { maxLength: 6 }).map((pairs) => new Map(pairs)),
    }),
  }
}).directory

/** Any entry that can be written. */
export const entries: fc.Arbitrary<Entry> = fc.oneof(
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

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}
