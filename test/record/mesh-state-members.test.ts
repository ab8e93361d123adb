import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KeyPair } from '../../src/record/key.ts'
import { isMemberAt, openInvites } from '../../src/record/mesh-state.ts'
import { createMeshStateBuilder, foldRecords } from '../../src/record/mesh-state-builder.ts'
import type { Author } from './author.ts'
import { admin, createAuthor, keyOf as key, NOW_MS, recovery, snapshotOf, sorted } from './author.ts'
import { admit, invite, member, node } from './membership.ts'

const mallory = key('mallory')

function fold(author: Author) {
  return foldRecords(author.records, author.mesh)
}

test('an invite lets in one node: the first in the chain of its admitter', () => {
  const author = createAuthor()
  member(author, node, 'brno')
  const open = invite(author, 'london')
  assert.equal(openInvites(fold(author), node.peer, NOW_MS).length, 1)
  assert.equal(openInvites(fold(author), node.peer, NOW_MS + 1001).length, 0)
  const first = admit(author, open, key('first'), 'london')
  const second = admit(author, open, key('second'), 'london')
  for (const order of [author.records, author.records.toReversed()]) {
    const state = foldRecords(order, author.mesh)
    assert.equal(state.members.get(key('first').peer)?.site, 'london')
    assert.equal(state.members.get(key('second').peer), undefined)
    assert.equal([...state.invites.values()][0]?.usedBy, key('first').peer)
    assert.equal(openInvites(state, node.peer, NOW_MS).length, 0)
  }
  const builder = createMeshStateBuilder(author.mesh)
  builder.addAll(author.records.filter((record) => record !== second))
  assert.match(builder.add(second).reason, /the invite has been used/)
  assert.equal(first.counter + 1, second.counter)
})

test('an expired invite, one of another admitter, or other terms admit nobody', () => {
  const author = createAuthor()
  member(author, node, 'brno')
  member(author, mallory, 'oslo')
  const open = invite(author, 'london')
  const late = key('late')
  const builder = createMeshStateBuilder(author.mesh)
  builder.addAll(author.records)
  assert.match(builder.add(admit(author, open, late, 'london', NOW_MS + 1001)).reason, /expired/)
  assert.match(builder.add(admit(author, open, late, 'tokyo')).reason, /does not repeat/)
  const body = {
    peer: late.publicKey,
    site: 'london',
    region: 'emea',
    roles: ['site'],
    invite: open.id,
    expiresMs: null,
    version: 1,
  }
  assert.match(builder.add(author.say(mallory, 'member', body)).reason, /not the admitter/)
  assert.match(builder.add(author.say(mallory, 'member', { ...body, invite: null })).reason, /not an admin/)
  assert.equal(builder.state.members.get(late.peer), undefined)
  // The invite is still good for one who comes in time.
  builder.add(admit(author, open, key('in-time'), 'london'))
  assert.equal(builder.state.members.get(key('in-time').peer)?.site, 'london')
})

test('a withdrawn invite admits nobody, whichever came first', () => {
  const [lab, late] = [key('lab'), key('late')]
  for (const isFirst of [true, false]) {
    const author = createAuthor()
    member(author, node, 'hq')
    const used = invite(author, 'lab')
    const open = invite(author, 'late')
    const admitted = admit(author, used, lab, 'lab')
    const builder = createMeshStateBuilder(author.mesh)
    builder.addAll(author.records.filter(({ id }) => !isFirst || !id.equals(admitted.id)))
    assert.equal(builder.add(author.say(mallory, 'withdrawal', { invite: used.id })).verdict, 'waiting')
    for (const each of [used, open])
      assert.equal(builder.add(author.say(admin, 'withdrawal', { invite: each.id })).verdict, 'effective')
    if (isFirst) assert.match(builder.add(admitted).reason, /withdrawn/)
    const { reason } = builder.add(admit(author, open, late, 'late', NOW_MS, admitted))
    assert.match(reason, /the invite was withdrawn/)
    const { members, invites } = builder.state
    assert.deepEqual(
      [...members.values()].map(({ site }) => site),
      ['hq'],
    )
    assert.deepEqual(
      [...invites.values()].map(({ isWithdrawn, usedBy }) => [isWithdrawn, usedBy]),
      [
        [true, undefined],
        [true, undefined],
      ],
    )
    assert.deepEqual(openInvites(builder.state, node.peer, NOW_MS), [])
    const nothing = author.say(admin, 'withdrawal', { invite: admitted.id })
    assert.match(builder.add(nothing).reason, /no invite of an admin has that id/)
  }
})

test('a revocation ends a key: its member is not active, what it said before still counts', () => {
  const author = createAuthor()
  member(author, node, 'brno')
  const open1 = invite(author, 'london')
  const open2 = invite(author, 'paris')
  const before = admit(author, open1, key('london'), 'london')
  admit(author, open2, key('paris'), 'paris')
  author.say(admin, 'revocation', {
    key: node.publicKey,
    counter: before.counter,
    last: before.id,
    reason: 'stolen',
  })
  const state = fold(author)
  assert.equal(state.members.get(node.peer)?.isActive, false)
  assert.equal(isMemberAt(state, node.peer, NOW_MS), false)
  assert.equal(isMemberAt(state, key('london').peer, NOW_MS), true)
  assert.equal(state.members.get(key('paris').peer), undefined)
  assert.deepEqual([...state.revoked], [node.peer])
})

test('a revocation takes the branch that it names when the chain has forked', () => {
  const author = createAuthor()
  member(author, node, 'brno')
  const open1 = invite(author, 'london')
  const open2 = invite(author, 'paris')
  const good = admit(author, open1, key('london'), 'london')
  const thief = author.say(
    node,
    'member',
    {
      peer: key('paris').publicKey,
      site: 'paris',
      region: 'emea',
      roles: ['site'],
      invite: open2.id,
      expiresMs: null,
      version: 1,
    },
    { after: null },
  )
  assert.equal(thief.counter, good.counter)
  author.say(admin, 'revocation', {
    key: node.publicKey,
    counter: good.counter,
    last: good.id,
    reason: 'stolen',
  })
  const state = fold(author)
  assert.ok(state.members.has(key('london').peer))
  assert.equal(state.members.get(key('paris').peer), undefined)
  assert.deepEqual(state.alarms, [])
})

test('only admins say what admins say', () => {
  const author = createAuthor()
  member(author, mallory, 'brno')
  const builder = createMeshStateBuilder(author.mesh)
  builder.addAll(author.records)
  const bodies = [
    author.say(mallory, 'pin', { name: 'p', tree: 'a', sites: { all: true }, version: 1, removed: false }),
    author.say(mallory, 'tree', {
      name: 'a',
      readers: 'members',
      publishers: [mallory.publicKey],
      version: 1,
      removed: false,
    }),
    author.say(mallory, 'tag', {
      tree: 'a',
      tag: 'ga',
      snapshot: snapshotOf('x'),
      sequence: 1,
      version: 1,
      removed: false,
    }),
    author.say(mallory, 'revocation', { key: node.publicKey, counter: 0, last: null, reason: 'no' }),
    author.say(mallory, 'invite', {
      admitter: mallory.publicKey,
      secretHash: new Uint8Array(32),
      site: 's',
      region: 'r',
      roles: ['site'],
      expiresMs: 9,
    }),
    author.say(mallory, 'admin-set', {
      previous: author.mesh,
      admins: { keys: [mallory.publicKey], threshold: 1 },
      recovery: recovery.publicKey,
      cuts: [{ key: admin.publicKey, counter: 0, last: null }],
    }),
  ]
  for (const record of bodies) assert.equal(builder.add(record).verdict, 'idle', record.kind)
  const { pins, trees, revoked, invites, admins } = builder.state
  assert.deepEqual([pins.size, trees.size, revoked.size, invites.size], [0, 0, 0, 0])
  assert.deepEqual(admins?.keys, [admin.peer])
})

test('one stolen admin key cannot throw out the others; the threshold can, and the recovery key can replace all', () => {
  const [a, b, c] = [key('a'), key('b'), key('c')]
  const author = createAuthor({ admins: [a, b, c], threshold: 2 })
  const cut = (who: KeyPair) => ({ key: who.publicKey, counter: 0, last: null })
  const set = (keys: KeyPair[], threshold: number, cuts: KeyPair[]) => ({
    previous: author.mesh,
    admins: { keys: sorted(...keys), threshold },
    recovery: recovery.publicKey,
    cuts: cuts.map(cut).sort((x, y) => Buffer.compare(x.key, y.key)),
  })
  const builder = createMeshStateBuilder(author.mesh)
  builder.addAll(author.records)
  const alone = author.say(a, 'admin-set', set([a], 1, [b, c]))
  assert.match(builder.add(alone).reason, /signed by 1 of the admins before; 2 are needed/)
  assert.match(builder.add(author.say(a, 'revocation', { ...cut(b), reason: 'mine now' })).reason, /admin/)
  assert.equal(builder.state.admins?.keys.length, 3)
  const pinByC = author.say(c, 'pin', {
    name: 'p',
    tree: 'x',
    sites: { all: true },
    version: 1,
    removed: false,
  })
  builder.add(pinByC)
  assert.equal(builder.state.pins.size, 1)
  const together = author.say(a, 'admin-set', set([a, b], 2, [c]), { cosigners: [b] })
  assert.equal(builder.add(together).verdict, 'effective')
  assert.deepEqual(builder.state.admins?.keys, [a.peer, b.peer].sort())
  // The cut of c was at 0: what it said does not count any more.
  assert.equal(builder.state.pins.size, 0)
  // The recovery key replaces the first set too, and wins over the threshold.
  const rescued = author.say(recovery, 'admin-set', set([c], 1, [a, b]))
  builder.add(rescued)
  assert.deepEqual(builder.state.admins?.keys, [c.peer])
  assert.equal(builder.state.pins.size, 1)
  assert.deepEqual(builder.state.alarms, [])
})
