import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DEFAULT_CHUNKER } from '../../src/block/chunker.ts'
import { chunkerOfNewTrees } from '../../src/replica/publish/new-trees.ts'

const heard = (...versions: (number | undefined)[]) =>
  new Map(
    versions.map((snapshotVersion, i) => [
      `peer-${i}`,
      { announcement: { version: '0.1.0', ...(snapshotVersion === undefined ? {} : { snapshotVersion }) } },
    ]),
  )

test('small files of a new tree lie in its directories once every site that was heard of reads that', () => {
  assert.equal(chunkerOfNewTrees(heard()), DEFAULT_CHUNKER)
  assert.equal(chunkerOfNewTrees(heard(2, 2)), DEFAULT_CHUNKER)
  assert.equal(chunkerOfNewTrees(heard(2, 3)), DEFAULT_CHUNKER)
  const bare = new Map([...heard(2), ['of changes alone', { announcement: { version: '' } }] as const])
  assert.equal(chunkerOfNewTrees(bare), DEFAULT_CHUNKER)
  for (const versions of [[undefined], [1], [2, undefined, 2]])
    assert.deepEqual(chunkerOfNewTrees(heard(...versions)), { ...DEFAULT_CHUNKER, inlineBytes: 0 })
})
