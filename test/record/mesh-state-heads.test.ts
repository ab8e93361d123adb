import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMeshStateBuilder, foldRecords } from '../../src/record/mesh-state-builder.ts'
import type { Author } from './author.ts'
import { admin, createAuthor, keyOf as key } from './author.ts'
import { admit, invite, member, node } from './membership.ts'

const pub = key('publisher')
const mallory = key('mallory')

function fold(author: Author) {
  return foldRecords(author.records, author.mesh)
}

test('heads in a chain make a history, each sequence one higher', () => {
  const author = createAuthor()
  author.tree('builds/a', [pub])
  const epoch = author.epoch('builds/a', pub)
  const h1 = author.head(pub, 'builds/a', undefined, 'one')
  const h2 = author.head(pub, 'builds/a', h1, 'two')
  const tree = fold(author).trees.get('builds/a')
  assert.deepEqual(
    tree?.history.map(({ sequence }) => sequence),
    [1, 2],
  )
  assert.ok(tree?.newest?.id.equals(h2.id))
  assert.ok(tree?.epoch?.id.equals(epoch.id))
  assert.equal(tree?.epoch?.publisher, pub.peer)
  assert.equal(tree?.fork, undefined)
})

test('a head by a key that is not the publisher has no effect, whoever relays it', () => {
  const author = createAuthor()
  member(author, mallory, 'brno')
  author.tree('builds/a', [pub])
  author.epoch('builds/a', pub)
  const good = author.head(pub, 'builds/a', undefined, 'one')
  const builder = createMeshStateBuilder(author.mesh)
  builder.addAll(author.records)
  const bad = author.head(mallory, 'builds/a', good, 'evil')
  assert.equal(builder.assess(bad).verdict, 'idle')
  assert.match(builder.add(bad).reason, /is not the publisher of builds\/a in epoch 1/)
  assert.ok(builder.state.trees.get('builds/a')?.newest?.id.equals(good.id))
  // A complete stranger's is not even kept.
  const stranger = author.head(key('stranger'), 'builds/a', good, 'evil')
  assert.equal(builder.add(stranger).verdict, 'waiting')
  assert.equal(builder.get(stranger.id), undefined)
  assert.ok(fold(author).trees.get('builds/a')?.newest?.id.equals(good.id))
})

test('an old sequence, a repeated one and a jump are refused: the tree stays', () => {
  const author = createAuthor()
  author.tree('a', [pub])
  author.epoch('a', pub)
  const h1 = author.head(pub, 'a', undefined, 'one')
  const h2 = author.head(pub, 'a', h1, 'two')
  const h3 = author.head(pub, 'a', h2, 'three')
  const builder = createMeshStateBuilder(author.mesh)
  builder.addAll(author.records)
  for (const sequence of [2, 3, 5, Number.MAX_SAFE_INTEGER]) {
    const head = author.head(pub, 'a', h3, `bad ${sequence}`, { sequence })
    const { verdict, reason } = builder.add(head)
    assert.equal(verdict, 'idle')
    assert.match(reason, /the next head of a has sequence 4/)
    assert.ok(builder.state.trees.get('a')?.newest?.id.equals(h3.id), `sequence ${sequence}`)
  }
  assert.equal(builder.add(h1).verdict, 'duplicate')
  const h4 = author.head(pub, 'a', h3, 'four')
  assert.equal(builder.add(h4).verdict, 'effective')
  assert.ok(builder.state.trees.get('a')?.newest?.id.equals(h4.id))
})

test('two heads at one place raise an alarm, and the tree stays at the last good one until a new epoch', () => {
  const author = createAuthor()
  author.tree('a', [pub, node])
  const e1 = author.epoch('a', pub)
  const h1 = author.head(pub, 'a', undefined, 'one')
  const h2 = author.head(pub, 'a', h1, 'two')
  const other = author.head(pub, 'a', h1, 'other two', { after: h1 })
  const h3 = author.head(pub, 'a', other, 'other three')
  const builder = createMeshStateBuilder(author.mesh)
  builder.addAll(author.records.slice(0, 5))
  assert.ok(builder.state.trees.get('a')?.newest?.id.equals(h2.id))
  const { effects } = builder.add(other)
  assert.ok(effects.some((effect) => effect.kind === 'alarm' && effect.alarm.kind === 'head-fork'))
  builder.add(h3)
  const tree = builder.state.trees.get('a')
  assert.ok(tree?.newest?.id.equals(h1.id))
  assert.equal(tree?.fork?.sequence, 2)
  assert.equal(tree?.fork?.records.length, 2)
  assert.deepEqual(tree?.fork?.tips.map(({ sequence }) => sequence).sort(), [2, 3])
  assert.deepEqual(
    builder.state.alarms.map(({ kind }) => kind),
    ['chain-fork', 'head-fork'],
  )
  // Both are kept as evidence.
  assert.ok(builder.get(h2.id) && builder.get(other.id))
  const e2 = author.epoch('a', node, e1, h3)
  assert.equal(builder.assess(e2).verdict, 'effective')
  builder.add(e2)
  const after = builder.state.trees.get('a')
  assert.deepEqual(
    after?.history.map(({ id }) => id.toString()),
    [h1, other, h3].map(({ id }) => id.toString()),
  )
  assert.equal(after?.fork, undefined)
  const h4 = author.head(node, 'a', h3, 'four', { epoch: 2 })
  assert.equal(builder.add(h4).verdict, 'effective')
  assert.equal(builder.state.trees.get('a')?.newest?.sequence, 4)
  // The old publisher has no say any more.
  const late = author.head(pub, 'a', h3, 'late')
  assert.equal(builder.add(late).verdict, 'idle')
  assert.equal(builder.state.trees.get('a')?.newest?.sequence, 4)
  assert.ok(!builder.state.alarms.some(({ kind }) => kind === 'head-fork'))
})

test('two heads at one place with one snapshot are no fork', () => {
  const author = createAuthor()
  author.tree('a', [pub])
  author.epoch('a', pub)
  const h1 = author.head(pub, 'a', undefined, 'one')
  const h2 = author.head(pub, 'a', h1, 'two')
  const twin = author.head(pub, 'a', h1, 'two')
  const h3 = author.head(pub, 'a', twin, 'three')
  assert.ok(!h2.id.equals(twin.id))
  const tree = fold(author).trees.get('a')
  assert.equal(tree?.fork, undefined)
  assert.ok(tree?.newest?.id.equals(h3.id))
  assert.equal(tree?.history.length, 3)
})

test('two different epochs of one number stop the tree where both agree it was', () => {
  const author = createAuthor()
  author.tree('a', [pub, node])
  const e1 = author.epoch('a', pub)
  const h1 = author.head(pub, 'a', undefined, 'one')
  const h2 = author.head(pub, 'a', h1, 'two')
  author.epoch('a', pub, e1, h2)
  const e2 = author.epoch('a', node, e1, h1)
  const state = fold(author)
  assert.equal(state.trees.get('a')?.newest?.sequence, 1)
  assert.equal(state.trees.get('a')?.fork?.kind, 'epochs')
  assert.deepEqual(
    state.alarms.map(({ kind }) => kind),
    ['epoch-conflict'],
  )
  author.epoch('a', node, e2, h1)
  assert.equal(fold(author).trees.get('a')?.epoch?.epoch, 3)
  assert.deepEqual(fold(author).alarms, [])
})

test('an epoch counts only by an admin, for a listed publisher, one higher than the last', () => {
  const author = createAuthor()
  member(author, mallory, 'brno')
  author.tree('a', [pub])
  const e1 = author.epoch('a', pub)
  const builder = createMeshStateBuilder(author.mesh)
  builder.addAll(author.records)
  const body = { tree: 'a', epoch: 2, previous: e1.id, publisher: mallory.publicKey, base: null }
  assert.equal(builder.add(author.say(mallory, 'epoch', body)).verdict, 'idle')
  assert.match(builder.add(author.say(admin, 'epoch', body)).reason, /not listed/)
  assert.match(
    builder.add(author.say(admin, 'epoch', { ...body, publisher: pub.publicKey, epoch: 9 })).reason,
    /next epoch/,
  )
  assert.equal(builder.state.trees.get('a')?.epoch?.epoch, 1)
})

test('an epoch that came before the head it goes on from takes over when that head comes', () => {
  const author = createAuthor()
  author.tree('a', [pub, node])
  const e1 = author.epoch('a', pub)
  const h1 = author.head(pub, 'a', undefined, 'one')
  const h2 = author.head(pub, 'a', h1, 'two')
  const e2 = author.epoch('a', node, e1, h2)
  const builder = createMeshStateBuilder(author.mesh)
  for (const record of author.records) if (record !== h2) builder.add(record)
  assert.ok(builder.state.trees.get('a')?.epoch?.id.equals(e1.id))
  builder.add(h2)
  assert.ok(builder.state.trees.get('a')?.epoch?.id.equals(e2.id))
  assert.ok(builder.state.trees.get('a')?.newest?.id.equals(h2.id))
})

test('a branch that counted for want of the last entry stops counting when that entry comes', () => {
  const author = createAuthor()
  member(author, node, 'brno')
  const open1 = invite(author, 'london')
  const open2 = invite(author, 'paris')
  const good = admit(author, open1, key('london'), 'london')
  const body = {
    peer: key('paris').publicKey,
    site: 'paris',
    region: 'emea',
    roles: ['site'],
    expiresMs: null,
    version: 1,
  }
  author.say(node, 'member', { ...body, invite: open2.id }, { after: null })
  author.say(admin, 'revocation', { key: node.publicKey, counter: 1, last: good.id, reason: 'stolen' })
  const builder = createMeshStateBuilder(author.mesh)
  for (const record of author.records) if (record !== good) builder.add(record)
  assert.ok(builder.state.members.has(key('paris').peer))
  builder.add(good)
  assert.equal(builder.state.members.has(key('paris').peer), false)
  assert.ok(builder.state.members.has(key('london').peer))
})
