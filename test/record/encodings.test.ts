import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isMirrorError } from '../../src/base/errors.ts'
import { cidOf, RAW } from '../../src/block/cid.ts'
import { decodeEncodingsBody, type EncodingsBody } from '../../src/record/kinds/encodings.ts'
import { createMeshStateBuilder } from '../../src/record/mesh-state-builder.ts'
import type { VerifiedRecord } from '../../src/record/record.ts'
import type { Author } from './author.ts'
import { createAuthor, keyOf, snapshotOf } from './author.ts'

const pub = keyOf('publisher')
const mallory = keyOf('mallory')
const TREE = 'builds/nightly'

function published(): { author: Author; heads: VerifiedRecord[] } {
  const author = createAuthor()
  author.tree(TREE, [pub, mallory])
  author.epoch(TREE, pub)
  const first = author.head(pub, TREE, undefined, 'one')
  const second = author.head(pub, TREE, first, 'two')
  const third = author.head(pub, TREE, second, 'three')
  return { author, heads: [first, second, third] }
}

const body = (fields: Partial<EncodingsBody> = {}): EncodingsBody => ({
  tree: TREE,
  snapshot: snapshotOf('three'),
  base: snapshotOf('two'),
  sequence: 3,
  set: null,
  version: 1,
  isComplete: false,
  bytes: 0,
  targetBytes: 0,
  ...fields,
})

test('the highest version of each pair counts, and the newest base comes first', () => {
  const { author } = published()
  author.say(pub, 'encodings', body({ base: snapshotOf('one'), set: snapshotOf('old'), version: 2 }))
  author.say(pub, 'encodings', body())
  const grown = author.say(pub, 'encodings', body({ set: snapshotOf('set'), version: 2, bytes: 7 }))
  const builder = createMeshStateBuilder(author.mesh)
  for (const record of author.records.slice(0, -1)) builder.add(record)
  const { effects, verdict } = builder.add(grown)
  assert.equal(verdict, 'effective')
  assert.deepEqual(
    effects.filter(({ kind }) => kind !== 'kept'),
    [{ kind: 'encodings', tree: TREE, snapshot: snapshotOf('three').toString() }],
  )
  const found = builder.state.trees.get(TREE)?.encodings.get(snapshotOf('three').toString())
  assert.deepEqual(
    found?.map(({ body: { base, version, bytes }, baseSequence }) => [
      base.toString(),
      version,
      bytes,
      baseSequence,
    ]),
    [
      [snapshotOf('two').toString(), 2, 7, 2],
      [snapshotOf('one').toString(), 2, 0, 1],
    ],
  )
})

test('only the publisher of a head says what its encodings are, and only against an older snapshot', () => {
  const cases: readonly [string, typeof pub, Partial<EncodingsBody>, RegExp][] = [
    ['another publisher', mallory, {}, /did not publish/],
    ['a sequence that has another snapshot', pub, { sequence: 2 }, /no head 2 of that snapshot/],
    ['a head that is not there', pub, { sequence: 9 }, /no head 9/],
    ['a base that never was', pub, { base: snapshotOf('never') }, /not the snapshot of a head before it/],
    [
      'a base that is newer',
      pub,
      { snapshot: snapshotOf('two'), sequence: 2, base: snapshotOf('three') },
      /head before it/,
    ],
    ['another tree', pub, { tree: 'builds/other' }, /no head/],
  ]
  for (const [what, issuer, fields, reason] of cases) {
    const { author } = published()
    const builder = createMeshStateBuilder(author.mesh)
    builder.addAll(author.records)
    const record = author.say(issuer, 'encodings', body(fields))
    const result = builder.add(record)
    assert.equal(result.verdict, 'idle', what)
    assert.match(result.reason, reason, what)
    assert.equal(builder.state.trees.get(TREE)?.encodings.size, 0, what)
  }
})

test('encodings that come before their head are there as soon as it is', () => {
  const { author, heads } = published()
  const record = author.say(pub, 'encodings', body({ snapshot: snapshotOf('four'), sequence: 4 }))
  author.head(pub, TREE, heads[2], 'four', { after: record })
  const builder = createMeshStateBuilder(author.mesh)
  for (const each of author.records) builder.add(each)
  assert.equal(builder.state.trees.get(TREE)?.newest?.sequence, 4)
  assert.equal(builder.state.trees.get(TREE)?.encodings.size, 1)
})

test('what the key signed beyond the end of its chain does not count', () => {
  const { author, heads } = published()
  author.say(pub, 'encodings', body())
  const builder = createMeshStateBuilder(author.mesh)
  builder.addAll(author.records)
  assert.equal(builder.state.trees.get(TREE)?.encodings.size, 1)
  const last = heads[2]!
  const revocation = author.say(keyOf('admin'), 'revocation', {
    key: pub.publicKey,
    counter: last.counter,
    last: last.id,
    reason: 'lost',
  })
  builder.add(revocation)
  assert.equal(builder.state.trees.get(TREE)?.newest?.sequence, 3)
  assert.equal(builder.state.trees.get(TREE)?.encodings.size, 0)
})

test('a body out of bounds is refused, naming the field', () => {
  for (const [name, value] of [
    ['base', snapshotOf('three')],
    ['set', cidOf(RAW, new Uint8Array(1))],
    ['sequence', 0],
    ['version', 0],
    ['bytes', -1],
    ['isComplete', 1],
    ['tree', 'No Tree'],
  ] as const) {
    assert.throws(
      () => decodeEncodingsBody({ ...body(), [name]: value }),
      (error) => isMirrorError(error, 'corrupt') && error.message.includes(name),
      name,
    )
  }
  assert.throws(() => decodeEncodingsBody({ ...body(), more: 1 }), { code: 'corrupt' })
})
