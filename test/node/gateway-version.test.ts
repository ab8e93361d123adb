import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseTarget } from '../../node/gateway/request-target.ts'
import {
  type Catalogue,
  type ChosenVersion,
  chooseVersion,
  matchTree,
  type ServedTree,
} from '../../node/gateway/version.ts'
import { utf8 } from '../../src/base/bytes.ts'
import { isMirrorError } from '../../src/base/errors.ts'
import { type Cid, cidKey, cidOf, DAG_CBOR } from '../../src/block/cid.ts'

const snapshot = (sequence: number): Cid => cidOf(DAG_CBOR, utf8(`snapshot ${sequence}`))

function tree(
  name: string,
  { heads, complete, tags = {} }: { heads: number; complete: number[]; tags?: Record<string, number> },
): ServedTree {
  const here = new Set(complete.map((sequence) => cidKey(snapshot(sequence))))
  return {
    name,
    isPrivate: false,
    versions: Array.from({ length: heads }, (_, i) => ({ sequence: i + 1, snapshot: snapshot(i + 1) })),
    tags: new Map(
      Object.entries(tags).map(([tag, sequence]) => [tag, { sequence, snapshot: snapshot(sequence) }]),
    ),
    isComplete: (cid) => here.has(cidKey(cid)),
  }
}

function choose(served: ServedTree, path: string): { version: ChosenVersion; left: number } {
  const { version, rest } = chooseVersion(served, parseTarget(path).segments)
  return { version, left: rest.length }
}

test('a snapshot that is not complete here is not served; the newest complete one is', () => {
  const { version } = choose(tree('t', { heads: 5, complete: [2, 3] }), '/a')
  assert.equal(version.sequence, 3)
  assert.equal(version.behind, 2)
  assert.equal(version.isImmutable, false)
})

test('the tag latest decides when it is complete here, and is passed over when not', () => {
  assert.equal(
    choose(tree('t', { heads: 5, complete: [2, 5], tags: { latest: 2 } }), '/').version.sequence,
    2,
  )
  assert.equal(
    choose(tree('t', { heads: 5, complete: [2, 4], tags: { latest: 5 } }), '/').version.sequence,
    4,
  )
})

test('a sequence, a tag and head choose a version, and only a sequence never moves', () => {
  const served = tree('t', { heads: 5, complete: [1, 2, 5], tags: { ga: 2 } })
  assert.deepEqual(
    ['/@1/x', '/@ga/x', '/@head/x'].map((path) => {
      const { version, left } = choose(served, path)
      return [version.sequence, version.isImmutable, left]
    }),
    [
      [1, true, 1],
      [2, false, 1],
      [5, false, 1],
    ],
  )
})

test('what is no version of the tree is a name in it, and an escaped @ always is', () => {
  const served = tree('t', { heads: 1, complete: [1], tags: { ga: 1 } })
  assert.equal(choose(served, '/@libp2p/x').left, 2)
  assert.equal(choose(served, '/@7/x').left, 2)
  assert.equal(choose(served, '/%40ga/x').left, 2)
  assert.equal(choose(served, '/@ga/x').left, 1)
})

test('a version that is known but not complete says so', () => {
  const served = tree('t', { heads: 2, complete: [1] })
  assert.throws(
    () => choose(served, '/@2/x'),
    (error) => isMirrorError(error, 'degraded'),
  )
  assert.throws(
    () => choose(tree('t', { heads: 1, complete: [] }), '/'),
    (error) => isMirrorError(error, 'degraded'),
  )
  assert.throws(
    () => choose(tree('t', { heads: 0, complete: [] }), '/'),
    (error) => isMirrorError(error, 'not-found'),
  )
})

test('the longest tree name wins', () => {
  const trees = new Map(['a', 'a/b'].map((name) => [name, tree(name, { heads: 1, complete: [1] })]))
  const catalogue: Catalogue = {
    names: () => [...trees.keys()],
    isPrivate: (name) => trees.get(name)?.isPrivate,
    tree: (name) => trees.get(name),
    revision: () => 0,
  }
  const match = (path: string): unknown => {
    const found = matchTree(catalogue, parseTarget(path).segments)
    return found === undefined ? undefined : [found.tree.name, found.rest.length]
  }
  assert.deepEqual(match('/a/b/c'), ['a/b', 1])
  assert.deepEqual(match('/a/c'), ['a', 1])
  assert.equal(match('/c'), undefined)
})
