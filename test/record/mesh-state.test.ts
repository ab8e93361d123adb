import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inviteSecretHash } from '../../src/record/invite-token.ts'
import type { KeyPair } from '../../src/record/key.ts'
import { isMemberAt, openInvites } from '../../src/record/mesh-state.ts'
import { createMeshStateBuilder, foldRecords } from '../../src/record/mesh-state-builder.ts'
import type { VerifiedRecord } from '../../src/record/record.ts'
import type { Author } from './author.ts'
import { admin, createAuthor, keyOf as key, NOW_MS, recovery, snapshotOf, sorted } from './author.ts'

const pub = key('publisher')
const node = key('node')
const mallory = key('mallory')

function member(author: Author, peer: KeyPair, site: string, version = 1): VerifiedRecord {
  return author.say(admin, 'member', {
    peer: peer.publicKey,
    site,
    region: 'emea',
    roles: ['site'],
    invite: null,
    expiresMs: null,
    version,
  })
}

function invite(author: Author, site: string): VerifiedRecord {
  return author.say(admin, 'invite', {
    admitter: node.publicKey,
    secretHash: inviteSecretHash(new Uint8Array(32)),
    site,
    region: 'emea',
    roles: ['site'],
    expiresMs: NOW_MS + 1000,
  })
}

function admit(
  author: Author,
  by: VerifiedRecord,
  peer: KeyPair,
  site: string,
  timeMs = NOW_MS,
  after?: VerifiedRecord,
): VerifiedRecord {
  return author.say(
    node,
    'member',
    {
      peer: peer.publicKey,
      site,
      region: 'emea',
      roles: ['site'],
      invite: by.id,
      expiresMs: null,
      version: 1,
    },
    { timeMs, ...(after === undefined ? {} : { after }) },
  )
}

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

test('records of an unknown kind are kept in their chain, without effect, and so is what follows them', () => {
  const author = createAuthor()
  author.sayOpaque(admin, 'hold', { anything: [1, 2, 3] })
  author.sayOpaque(admin, 'pin', {
    name: 'p',
    tree: 'a',
    sites: { all: true },
    version: 1,
    removed: false,
    filters: ['x'],
  })
  author.say(admin, 'pin', { name: 'q', tree: 'a', sites: { all: true }, version: 1, removed: false })
  const builder = createMeshStateBuilder(author.mesh)
  builder.addAll(author.records)
  assert.equal(builder.ids().length, 4)
  assert.deepEqual([...builder.state.pins.keys()], ['q'])
})

test('a pin whose versions have no place or no sense is kept, and has no effect', () => {
  const author = createAuthor()
  const pin = { tree: 'a', sites: { all: true }, version: 1, removed: false }
  author.sayOpaque(admin, 'pin', { ...pin, name: 'no-place', versions: 3 })
  for (const versions of [0, 101, 2.5, '3', null]) {
    author.sayOpaque(admin, 'pin', { ...pin, name: `of ${versions}`, checkout: '/srv/a', versions })
  }
  author.say(admin, 'pin', { ...pin, name: 'good', sites: { all: true }, checkout: '/srv/a', versions: 100 })
  const builder = createMeshStateBuilder(author.mesh)
  builder.addAll(author.records)
  assert.equal(builder.ids().length, 8)
  assert.deepEqual([...builder.state.pins.keys()], ['good'])
})

test('an admin can give a key a standing through a kind of a later version', () => {
  const author = createAuthor()
  const operator = key('operator')
  const said = author.sayOpaque(operator, 'drain', { site: 'brno' })
  author.sayOpaque(admin, 'delegation', { grants: [operator.publicKey], scope: 'logs/**' })
  const builder = createMeshStateBuilder(author.mesh)
  builder.addAll(author.records)
  assert.ok(builder.get(said.id))
})

test('records of another mesh, another genesis, a broken counter are refused', () => {
  const author = createAuthor()
  const elsewhere = createAuthor({ admins: [admin, node] })
  const builder = createMeshStateBuilder(author.mesh)
  builder.addAll(author.records)
  assert.equal(builder.add(elsewhere.genesis).verdict, 'refused')
  assert.equal(builder.add(elsewhere.tree('a', [pub])).verdict, 'refused')
  const jump = author.say(
    admin,
    'tag',
    { tree: 'a', tag: 'x', snapshot: snapshotOf('s'), sequence: 1, version: 1, removed: false },
    { after: { ...author.genesis, counter: 7 } },
  )
  assert.match(builder.add(jump).reason, /counter 8, after a record with 1/)
  const foreign = author.say(
    node,
    'pin',
    { name: 'p', tree: 'a', sites: { all: true }, version: 1, removed: false },
    { after: author.genesis },
  )
  assert.match(builder.add(foreign).reason, /not of the same issuer/)
  assert.equal(builder.ids().length, 1)
})

test('the topology is the last one of an admin, as a whole', () => {
  const author = createAuthor()
  const say = (key: KeyPair, version: number, upKbit: number) =>
    author.say(key, 'topology', { regions: [{ region: 'eu', upKbit }], sites: [], paths: [], version })
  assert.equal(fold(author).topology, undefined)
  say(admin, 2, 20)
  say(admin, 1, 10)
  assert.deepEqual(fold(author).topology?.body.regions, [{ region: 'eu', upKbit: 20 }])
  author.say(admin, 'member', {
    peer: node.publicKey,
    site: 's',
    region: 'eu',
    roles: ['site'],
    invite: null,
    expiresMs: null,
    version: 1,
  })
  const builder = createMeshStateBuilder(author.mesh)
  builder.addAll(author.records)
  const foreign = say(node, 3, 30)
  assert.match(builder.assess(foreign).reason, /admin/)
  assert.equal(fold(author).topology?.body.version, 2)
  const stale = say(admin, 2, 40)
  assert.match(builder.assess(stale).reason, /version 2 is known; the next is 3/)
  const next = say(admin, 3, 50)
  assert.deepEqual(
    builder.addAll([stale, next]).filter(({ kind }) => kind === 'topology'),
    [{ kind: 'topology' }],
  )
  assert.equal(builder.state.topology?.body.regions[0]?.upKbit, 50)
})

test('the last writer of a pin or tag wins by version, and a tombstone removes it', () => {
  const author = createAuthor()
  author.tree('a', [pub])
  const pin = (version: number, site: string, removed = false) =>
    author.say(admin, 'pin', { name: 'p', tree: 'a', sites: { site }, version, removed })
  pin(2, 'two')
  pin(1, 'one')
  assert.deepEqual(fold(author).pins.get('p')?.body.sites, { site: 'two' })
  pin(3, 'two', true)
  assert.equal(fold(author).pins.size, 0)
  assert.equal(fold(author).removedPins.get('p')?.body.version, 3)
  pin(4, 'four')
  assert.deepEqual(fold(author).pins.get('p')?.body.sites, { site: 'four' })
  const tag = (version: number, snapshot: string, removed = false) =>
    author.say(admin, 'tag', {
      tree: 'a',
      tag: 'ga',
      snapshot: snapshotOf(snapshot),
      sequence: 1,
      version,
      removed,
    })
  tag(1, 'x')
  tag(2, 'y')
  assert.ok(fold(author).trees.get('a')?.tags.get('ga')?.body.snapshot.equals(snapshotOf('y')))
  tag(3, 'y', true)
  assert.equal(fold(author).trees.get('a')?.tags.size, 0)
  assert.equal(fold(author).trees.get('a')?.removedTags.size, 1)
})

test('strangers can fill only their own bounded waiting room', () => {
  const author = createAuthor()
  const builder = createMeshStateBuilder(author.mesh)
  builder.addAll(author.records)
  const crowd = key('crowd')
  for (let i = 0; i < 4200; i++)
    builder.add({ ...author.sayOpaque(crowd, 'noise', { i }), bytes: new Uint8Array(100) })
  assert.equal(builder.waiting().records, 4096)
  assert.equal(builder.ids().length, 1)
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
