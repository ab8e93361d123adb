import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { compareBytes, utf8 } from '../../src/base/bytes.ts'
import { buildDirectory } from '../../src/dag/directory.ts'
import type { Entry } from '../../src/dag/entry.ts'
import type { Change } from '../../src/dag/reader.ts'
import { diff, walk } from '../../src/dag/reader.ts'
import { createMemorySource } from './memory-source.ts'
import { buildTree, chunkCid, collect, META, numberedFiles, plans } from './trees.ts'

type Path = readonly Uint8Array[]

function comparePaths(a: Path, b: Path): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const order = compareBytes(a[i]!, b[i]!)
    if (order !== 0) return order
  }
  return a.length - b.length
}

/** Compares two whole walks path by path. */
function naiveDiff(before: readonly { path: Path; entry: Entry }[], after: typeof before): unknown[] {
  const key = (path: Path): string => path.map((name) => name.join()).join('/')
  const olds = new Map(before.map((step) => [key(step.path), step]))
  const news = new Map(after.map((step) => [key(step.path), step]))
  const paths = [...new Map([...olds, ...news]).values()].map(({ path }) => path).sort(comparePaths)
  return paths.flatMap((path) => {
    const a = olds.get(key(path))?.entry
    const b = news.get(key(path))?.entry
    if (a === undefined) return [{ path, change: 'added' }]
    if (b === undefined) return [{ path, change: 'removed' }]
    if (a.type !== b.type) return [{ path, change: 'type' }]
    const { directory: _a, ...restA } = a as unknown as Record<string, unknown>
    const { directory: _b, ...restB } = b as unknown as Record<string, unknown>
    return isDeepStrictEqual(restA, restB) ? [] : [{ path, change: 'changed' }]
  })
}

const brief = ({ path, change }: Change): unknown => ({ path, change })

test('a diff is what two whole walks differ in', async () => {
  await fc.assert(
    fc.asyncProperty(plans, plans, async (planA, planB) => {
      const source = createMemorySource()
      const a = buildTree(planA, source.emit).root
      const b = buildTree(planB, source.emit).root
      const expected = naiveDiff(await collect(walk(source, a)), await collect(walk(source, b)))
      assert.deepEqual((await collect(diff(source, a, b))).map(brief), expected)
      assert.deepEqual(await collect(diff(source, a, a)), [])
      const added = await collect(diff(source, undefined, b))
      assert.deepEqual(
        added.map(({ path, after }) => ({ path, entry: after })),
        await collect(walk(source, b)),
      )
      assert.equal((await collect(diff(source, b, undefined))).length, added.length)
    }),
    { numRuns: 80 },
  )
})

test('long directories diff entry by entry, and equal nodes are not read', async () => {
  const list = numberedFiles(20_000)
  const source = createMemorySource()
  const root = (entries: readonly Entry[]): Entry => ({
    type: 'directory',
    name: new Uint8Array(),
    directory: buildDirectory(entries, source.emit),
    ...META,
  })
  const fresh = { ...list[0]!, name: utf8('aaa') }
  const changedAt = 11_111
  const changed = [fresh, ...list.with(changedAt, { ...list[changedAt]!, mode: 0o600 }).toSpliced(5, 1)]
  const [a, b] = [root(list), root(changed)]
  source.takeReads()
  const changes = await collect(diff(source, a, b))
  assert.deepEqual(changes.map(brief), [
    { path: [fresh.name], change: 'added' },
    { path: [list[5]!.name], change: 'removed' },
    { path: [list[changedAt]!.name], change: 'changed' },
  ])
  assert.deepEqual([changes[2]!.content, changes[2]!.metadata], [false, true])
  assert.ok(source.takeReads() <= 14)
})

test('content and metadata are told apart', async () => {
  const source = createMemorySource()
  const symlink: Entry = { type: 'symlink', name: new Uint8Array(), target: utf8('a'), ...META }
  const file: Entry = { type: 'file', name: new Uint8Array(), sizeBytes: 0, ...META }
  const flags = async (a: Entry, b: Entry): Promise<unknown[]> =>
    (await collect(diff(source, a, b))).map(({ change, content, metadata }) => [change, content, metadata])
  assert.deepEqual(await flags(symlink, { ...symlink, target: utf8('b') }), [['changed', true, false]])
  assert.deepEqual(await flags(symlink, { ...symlink, user: 'u' }), [['changed', false, true]])
  assert.deepEqual(await flags(file, { ...file, link: utf8('12345678') }), [['changed', false, true]])
  assert.deepEqual(await flags(file, symlink), [['type', true, false]])
  const xattrs = [{ name: utf8('user.a'), value: utf8('1') }]
  const tagged = { ...file, xattrs }
  assert.deepEqual(await flags(file, tagged), [['changed', false, true]])
  assert.deepEqual(await flags(tagged, { ...file, xattrs: [{ ...xattrs[0]!, value: utf8('2') }] }), [
    ['changed', false, true],
  ])
  assert.deepEqual(await flags(tagged, { ...file, xattrs: [...xattrs] }), [])
  const full: Entry = { ...file, sizeBytes: 8192, content: chunkCid(1) }
  assert.deepEqual(await flags(full, { ...full, holes: [0, 4096] }), [['changed', false, true]])
  const device: Entry = { type: 'block-device', name: new Uint8Array(), major: 8, minor: 1, ...META }
  assert.deepEqual(await flags(device, { ...device, minor: 2 }), [['changed', true, false]])
  assert.deepEqual(await flags(device, { ...device, type: 'character-device' }), [['type', true, false]])
})
