import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compareBytes, utf8 } from '../../src/base/bytes.ts'
import { isMirrorError } from '../../src/base/errors.ts'
import { cidKey } from '../../src/block/cid.ts'
import { buildDirectory } from '../../src/dag/directory.ts'
import type { Entry } from '../../src/dag/entry.ts'
import { closure, fileParts, listPages, lookUp, readPage, walk } from '../../src/dag/reader.ts'
import { createMemoryScratch } from '../../src/dag/scratch.ts'
import { createMemorySource } from './memory-source.ts'
import type { Plan } from './trees.ts'
import {
  buildTree,
  collect,
  directoryPlan,
  filePlan,
  META,
  numberedFiles,
  plans,
  sortedChildren,
} from './trees.ts'

/** The walk that a plan must give, without any of the code under test. */
function naiveWalk(
  plan: Plan,
  path: readonly Uint8Array[] = [],
): { path: readonly Uint8Array[]; plan: Plan }[] {
  const below =
    plan.type === 'directory'
      ? sortedChildren(plan).flatMap(([name, child]) => naiveWalk(child, [...path, name]))
      : []
  return [{ path, plan }, ...below]
}

test('a walk gives every entry once, a directory before what it holds, in byte order', async () => {
  await fc.assert(
    fc.asyncProperty(plans, async (plan) => {
      const source = createMemorySource()
      const { root } = buildTree(plan, source.emit)
      const steps = await collect(walk(source, root))
      const expected = naiveWalk(plan)
      assert.deepEqual(
        steps.map(({ path, entry }) => ({
          path,
          type: entry.type,
          mode: entry.mode,
          mtimeSec: entry.mtimeSec,
        })),
        expected.map(({ path, plan }) => ({
          path,
          type: plan.type,
          mode: plan.meta.mode,
          mtimeSec: plan.meta.mtimeSec,
        })),
      )
    }),
    { numRuns: 60 },
  )
})

test('every file reads back as its chunks, and every path looks up to its entry', async () => {
  await fc.assert(
    fc.asyncProperty(plans, async (plan) => {
      const source = createMemorySource()
      const { root } = buildTree(plan, source.emit)
      for (const { path, plan: node } of naiveWalk(plan)) {
        const entry = await lookUp(source, root, path)
        assert.ok(entry !== undefined && entry.type === node.type)
        if (entry.type === 'symlink' && node.type === 'symlink') assert.deepEqual(entry.target, node.target)
        if (entry.type !== 'file' || node.type !== 'file') continue
        const read: Uint8Array[] = []
        for await (const { cid, inline } of fileParts(source, entry))
          read.push(inline ?? (await source.get(cid))!)
        assert.deepEqual(Buffer.concat(read), Buffer.concat(node.chunks))
      }
      assert.equal(await lookUp(source, root, [utf8('no such name')]), undefined)
    }),
    { numRuns: 60 },
  )
})

test('the closure, each block once, is the block index, in its order', async () => {
  await fc.assert(
    fc.asyncProperty(plans, async (plan) => {
      const source = createMemorySource()
      const { root, index } = buildTree(plan, source.emit)
      const reached = new Map<string, number>()
      for await (const { cid, lengthBytes } of closure(source, root)) {
        const key = cidKey(cid)
        assert.ok(!reached.has(key) || reached.get(key) === lengthBytes)
        if (!reached.has(key)) reached.set(key, lengthBytes)
        assert.equal(source.blocks.get(key)?.bytes.length, lengthBytes)
      }
      const indexed: [string, number][] = []
      for await (const ref of listPages(source, index.root)) {
        for (const { cid, lengthBytes } of (await readPage(source, ref)).blocks) {
          indexed.push([cidKey(cid), lengthBytes])
        }
      }
      assert.deepEqual(indexed, [...reached])
      assert.equal(index.blocks, indexed.length)
      assert.equal(
        index.sizeBytes,
        indexed.reduce((sum, [, lengthBytes]) => sum + lengthBytes, 0),
      )
    }),
    { numRuns: 80 },
  )
})

test('closure equals index for a tree with long directories and a long file', async () => {
  const source = createMemorySource()
  const chunks = Array.from({ length: 3000 }, (_, i) => `chunk ${i % 2500}`)
  const same = Array.from({ length: 3000 }, () => 'zeros')
  const many = Object.fromEntries(Array.from({ length: 1500 }, (_, i) => [`f${i}`, filePlan(`content ${i}`)]))
  const plan = directoryPlan({
    big: filePlan(...chunks),
    copy: filePlan(...chunks),
    same: filePlan(...same),
    many: directoryPlan(many),
  })
  const { root, index } = buildTree(plan, source.emit)
  const reached = new Set((await collect(closure(source, root))).map(({ cid }) => cidKey(cid)))
  const indexed: string[] = []
  for await (const ref of listPages(source, index.root)) {
    indexed.push(...(await readPage(source, ref)).blocks.map(({ cid }) => cidKey(cid)))
  }
  assert.deepEqual(indexed, [...reached])
  assert.ok(indexed.length > 4000)
})

test('a root may be a file or a symbolic link', async () => {
  for (const plan of [
    filePlan('x', 'y'),
    filePlan(),
    { type: 'symlink', meta: META, target: utf8('t') } as const,
  ]) {
    const source = createMemorySource()
    const { root, index } = buildTree(plan, source.emit)
    assert.equal((await collect(walk(source, root))).length, 1)
    assert.equal((await collect(closure(source, root))).length, index.blocks)
    assert.equal((await collect(listPages(source, index.root))).length, 1)
  }
})

test('a directory named twice at each of 500 levels is closed over in linear time', async () => {
  const source = createMemorySource()
  let directory = buildDirectory(numberedFiles(2), source.emit)
  for (let level = 0; level < 500; level++) {
    const twins = ['a', 'b'].map(
      (name): Entry => ({ type: 'directory', name: utf8(name), directory, ...META }),
    )
    directory = buildDirectory(twins, source.emit)
  }
  const root: Entry = { type: 'directory', name: new Uint8Array(), directory, ...META }
  assert.equal((await collect(closure(source, root))).length, 2 + 501)
  assert.equal((await collect(closure(source, root, undefined, createMemoryScratch()))).length, 2 + 501)
})

test('a path deeper than the limit ends the walk with an error', async () => {
  const source = createMemorySource()
  let directory = buildDirectory([], source.emit)
  for (let level = 0; level < 1025; level++) {
    directory = buildDirectory([{ type: 'directory', name: utf8('d'), directory, ...META }], source.emit)
  }
  const root: Entry = { type: 'directory', name: new Uint8Array(), directory, ...META }
  for (const read of [walk(source, root), closure(source, root)]) {
    await assert.rejects(collect(read as AsyncIterable<unknown>), (error) => isMirrorError(error, 'limit'))
  }
})

test('a missing block is not-found and is named', async () => {
  const source = createMemorySource()
  const { root, index } = buildTree(
    directoryPlan({ sub: directoryPlan({ f: filePlan('x', 'y') }) }),
    source.emit,
  )
  for (const [key, block] of [...source.blocks]) {
    if (cidKey(index.root) === key || block.bytes.length === 1) continue
    source.blocks.delete(key)
    await assert.rejects(
      collect(closure(source, root)),
      (error) => isMirrorError(error, 'not-found') && error.facts.cid === block.cid.toString(),
    )
    source.blocks.set(key, block)
  }
})

test('an aborted signal ends every reader', async () => {
  const source = createMemorySource()
  const { root, index } = buildTree(directoryPlan({ f: filePlan('x', 'y') }), source.emit)
  const signal = AbortSignal.abort()
  for (const read of [
    walk(source, root, signal),
    closure(source, root, signal),
    listPages(source, index.root, signal),
  ]) {
    await assert.rejects(collect(read as AsyncIterable<unknown>), { name: 'AbortError' })
  }
  await assert.rejects(lookUp(source, root, [utf8('f')], signal), { name: 'AbortError' })
})

test('order is of raw bytes, not of text', () => {
  const names = ['Z', 'a', 'b', 'b.d', 'b0', '\xff'].map(
    (name) => new Uint8Array(Buffer.from(name, 'latin1')),
  )
  for (let i = 1; i < names.length; i++) assert.equal(compareBytes(names[i - 1]!, names[i]!), -1)
})
