import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isMirrorError } from '../../src/base/errors.ts'
import { decodeCbor, nodeBlock } from '../../src/block/codec.ts'
import type { Snapshot } from '../../src/dag/snapshot.ts'
import { decodeSnapshot, encodeSnapshot } from '../../src/dag/snapshot.ts'
import { checkTreeName } from '../../src/dag/tree-name.ts'
import { SAMPLE_SNAPSHOT } from './samples.ts'

test('a snapshot survives its encoding, with and without a parent and ignore rules', () => {
  const { parent: _, ...first } = SAMPLE_SNAPSHOT
  const ignore = ['*.tmp', '!kept.tmp']
  for (const snapshot of [SAMPLE_SNAPSHOT, first, { ...SAMPLE_SNAPSHOT, ignore }, { ...first, ignore }]) {
    const { cid, bytes } = encodeSnapshot(snapshot)
    assert.deepEqual(decodeSnapshot(cid, bytes), snapshot)
  }
})

test('the order in which notes were written is no part of a snapshot', () => {
  const notes = Object.fromEntries(Object.entries(SAMPLE_SNAPSHOT.notes).reverse())
  assert.deepEqual(encodeSnapshot({ ...SAMPLE_SNAPSHOT, notes }), encodeSnapshot(SAMPLE_SNAPSHOT))
})

test('the largest snapshot that can be written can be read', () => {
  const path = '\\xff'.repeat(4095)
  const first = Array.from({ length: 100 }, () => ({ path, reason: 'r'.repeat(512) }))
  const notes = Object.fromEntries(
    Array.from({ length: 64 }, (_, i) => [`n${i}`.padEnd(64, 'x'), 'v'.repeat(4096)]),
  )
  const ignore = Array.from({ length: 256 }, (_, i) => String(i).padEnd(128, 'x'))
  const { cid, bytes } = encodeSnapshot({
    ...SAMPLE_SNAPSHOT,
    uncaptured: { count: 1e6, first },
    notes,
    ignore,
  })
  assert.equal(decodeSnapshot(cid, bytes).uncaptured.first.length, 100)
})

test('fields out of bounds are refused when written', () => {
  const many = Array.from({ length: 101 }, () => ({ path: 'p', reason: 'r' }))
  const bad: Partial<Snapshot>[] = [
    { tree: 'Builds' },
    { tree: '' },
    { tree: '../etc' },
    { root: { ...SAMPLE_SNAPSHOT.root, name: new Uint8Array([97]) } },
    { createdMs: -1 },
    { createdMs: 1.5 },
    { counts: { ...SAMPLE_SNAPSHOT.counts, files: -1 } },
    { uncaptured: { count: 0, first: many.slice(0, 1) } },
    { uncaptured: { count: 101, first: many } },
    { uncaptured: { count: 1, first: [{ path: 'p', reason: 'r'.repeat(513) }] } },
    { ignore: [] },
    { ignore: ['a', ''] },
    { ignore: ['# comment'] },
    { ignore: ['a\nb'] },
    { ignore: Array.from({ length: 257 }, () => 'a') },
    { ignore: ['a'.repeat(32_769)] },
    { notes: { 'a b': '' } },
    { notes: { a: 'v'.repeat(4097) } },
    { notes: { a: '\ud800' } },
    { notes: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`n${i}`, ''])) },
  ]
  for (const change of bad) {
    assert.throws(
      () => encodeSnapshot({ ...SAMPLE_SNAPSHOT, ...change }),
      (error) => isMirrorError(error, 'invalid'),
      JSON.stringify(change).slice(0, 100),
    )
  }
})

test('a later version is unsupported, a changed field corrupt', () => {
  const { bytes } = encodeSnapshot(SAMPLE_SNAPSHOT)
  const known = decodeCbor(bytes, 'snapshot') as Record<string, unknown>
  const cases = [
    ['unsupported', { v: 3 }],
    ['unsupported', { v: 3, more: 1, and: 2 }],
    ['corrupt', { v: 0 }],
    ['corrupt', { v: 2 }],
    ['corrupt', { v: 2, chunker: { avg: 65536, max: 262144, min: 16384, kind: 'gear64', inline: 0 } }],
    ['limit', { v: 2, chunker: { avg: 65536, max: 262144, min: 16384, kind: 'gear64', inline: 16385 } }],
    ['limit', { chunker: { avg: 65536, max: 262144, min: 16384, kind: 'gear64', inline: 4096 } }],
    ['unsupported', { chunker: { avg: 1, max: 1, min: 1, kind: 'later' } }],
    ['corrupt', { k: 'record' }],
    ['corrupt', { tree: 'A' }],
    ['corrupt', { created: -5 }],
    ['corrupt', { ignore: [] }],
    ['corrupt', { ignore: ['a\nb'] }],
    ['corrupt', { ignore: ['a'], more: 1 }],
    ['limit', { ignore: Array.from({ length: 257 }, () => 'a') }],
    ['corrupt', { more: 1 }],
    ['corrupt', { notes: { __proto__: null, 'a b': '' } }],
    ['corrupt', { uncaptured: { count: 0, first: [['p', 'r']] } }],
  ] as const
  for (const [code, change] of cases) {
    const block = nodeBlock({ ...known, ...change })
    assert.throws(
      () => decodeSnapshot(block.cid, block.bytes),
      (error) => isMirrorError(error, code),
      JSON.stringify(change),
    )
  }
})

test('names of trees are 1 to 8 plain segments', () => {
  for (const name of ['a', '0', 'builds/rhel-9/nightly', 'a/b/c/d/e/f/g/h', 'x'.repeat(64), 'a..b', 'a.']) {
    assert.equal(checkTreeName(name), name)
  }
  const bad = [
    '',
    '/',
    'a/',
    '/a',
    'a//b',
    '.',
    '..',
    'a/../b',
    '.a',
    '-a',
    'A',
    'a b',
    'a\n',
    'ä',
    'x'.repeat(65),
  ]
  for (const name of [...bad, 'a/b/c/d/e/f/g/h/i', 'a/'.repeat(100_000)]) {
    assert.throws(
      () => checkTreeName(name),
      (error) => isMirrorError(error, 'invalid'),
      name.slice(0, 50),
    )
  }
})
