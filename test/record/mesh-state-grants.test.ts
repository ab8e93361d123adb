import assert from 'node:assert/strict'
import { test } from 'node:test'
import { coversPattern } from '../../src/base/names.ts'
import type { KeyPair } from '../../src/record/key.ts'
import type { GrantBody } from '../../src/record/kinds/grant.ts'
import type { PinSites } from '../../src/record/kinds/pin.ts'
import { grantsAt, mayRead } from '../../src/record/mesh-state.ts'
import { createMeshStateBuilder, foldRecords } from '../../src/record/mesh-state-builder.ts'
import type { VerifiedRecord } from '../../src/record/record.ts'
import {
  type Author,
  admin,
  createAuthor,
  keyOf,
  NOW_MS,
  type SayOptions,
  snapshotOf,
  sorted,
} from './author.ts'
import { member } from './membership.ts'

const [desk, press, other] = [keyOf('desk'), keyOf('press'), keyOf('other')]
const everywhere: PinSites = { all: true }

function grant(
  author: Author,
  key: KeyPair,
  rest: Partial<GrantBody> & Pick<GrantBody, 'role'>,
): VerifiedRecord {
  return author.say(admin, 'grant', {
    grants: [key.publicKey],
    name: 'test',
    trees: ['logs/**'],
    may: rest.role === 'operator' ? ['pins', 'tags'] : [],
    expiresMs: null,
    counter: 0,
    last: null,
    version: 1,
    removed: false,
    ...rest,
  })
}

function pin(author: Author, key: KeyPair, tree: string, rest = {}, options?: SayOptions): VerifiedRecord {
  const body = { name: `${tree}@all`, tree, sites: everywhere, version: 1, removed: false, ...rest }
  return author.say(key, 'pin', body, options)
}

/** Tree and first epoch, by the publisher itself. */
function create(author: Author, key: KeyPair, name: string, readers: 'members' | 'granted' = 'members') {
  const tree = author.say(key, 'tree', {
    name,
    readers,
    publishers: [key.publicKey],
    version: 1,
    removed: false,
  })
  const publisher = key.publicKey
  return [
    tree,
    author.say(key, 'epoch', { tree: name, epoch: 1, previous: null, publisher, base: null }),
  ] as const
}

function state(author: Author) {
  return foldRecords(author.records, author.mesh)
}

/** What a node answers that has all the records before the last. */
function assessLast(author: Author) {
  const builder = createMeshStateBuilder(author.mesh)
  builder.addAll(author.records.slice(0, -1))
  return builder.assess(author.records.at(-1)!)
}

test('a scope covers a pattern when it surely covers every tree of it', () => {
  for (const [scope, pattern] of [
    ['**', 'a/*'],
    ['a/*', 'a/*'],
    ['a/*', 'a/b'],
    ['a/**', 'a/b/**'],
    ['a/**', 'a/*/c'],
    ['a/**', 'a'],
  ] as const)
    assert.ok(coversPattern(scope, pattern), `${scope} ${pattern}`)
  for (const [scope, pattern] of [
    ['a/*', 'a/**'],
    ['a/*', '**'],
    ['a/**', 'ab/*'],
    ['a/**', '*/b'],
    ['a/**', '**'],
    ['*/**', 'a/**'],
    ['a', 'b'],
    ['a/b', 'a/*'],
  ] as const)
    assert.ok(!coversPattern(scope, pattern), `${scope} ${pattern}`)
})

test("an operator's pins and tags of its trees count, and no others", () => {
  const author = createAuthor()
  author.tree('logs/brq', [press])
  author.tree('builds', [press])
  grant(author, desk, { role: 'operator' })
  grant(author, other, { role: 'operator', may: ['tags'] })
  pin(author, desk, 'logs/**')
  pin(author, desk, 'builds')
  pin(author, desk, '**')
  pin(author, other, 'logs/x')
  const tag = { tag: 'ga', snapshot: snapshotOf('s'), sequence: 1, version: 1, removed: false }
  author.say(other, 'tag', { tree: 'logs/brq', ...tag })
  author.say(other, 'tag', { tree: 'builds', ...tag })
  const { pins, trees } = state(author)
  assert.deepEqual([...pins.keys()], ['logs/**@all'])
  assert.equal(trees.get('logs/brq')?.tags.get('ga')?.origin.issuer, other.peer)
  assert.equal(trees.get('builds')?.tags.size, 0)
  assert.match(
    assessLast(author).reason,
    /is not an admin, and no grant makes it operator of the tags of builds/,
  )
})

test('an operator does not get at a pin of other trees by its name', () => {
  const author = createAuthor()
  pin(author, admin, 'builds', { name: 'mine' })
  pin(author, admin, 'builds', { name: 'logs/a@all' })
  grant(author, desk, { role: 'operator' })
  pin(author, desk, 'logs/a', { name: 'mine', version: 9, removed: true })
  assert.match(assessLast(author).reason, /begins with its tree/)
  pin(author, desk, 'logs/a', { version: 9, removed: true })
  assert.match(assessLast(author).reason, /an admin has a pin of that name for another tree/)
  assert.deepEqual([...state(author).pins.keys()].sort(), ['logs/a@all', 'mine'])
})

test('admins and operators write the same pins: the last writer wins', () => {
  const author = createAuthor()
  grant(author, desk, { role: 'operator' })
  pin(author, admin, 'logs/a')
  pin(author, desk, 'logs/a', { version: 2, removed: true })
  assert.equal(state(author).pins.size, 0)
  pin(author, admin, 'logs/a', { version: 3 })
  assert.equal(state(author).pins.size, 1)
})

test('taking a grant back ends it and leaves what was done by it, unless that is taken back too', () => {
  const author = createAuthor()
  grant(author, desk, { role: 'operator' })
  const before = pin(author, desk, 'logs/a')
  const { counter, id: last } = before
  grant(author, desk, { role: 'operator', version: 2, removed: true, counter, last })
  pin(author, desk, 'logs/b')
  assert.deepEqual([...state(author).pins.keys()], ['logs/a@all'])
  // A branch behind the cut is of no use to a thief.
  pin(author, desk, 'logs/c', {}, { after: null })
  assert.deepEqual([...state(author).pins.keys()], ['logs/a@all'])
  grant(author, desk, { role: 'operator', version: 3, removed: true })
  assert.deepEqual([...state(author).pins.keys()], [])
})

test('a grant that is made narrower does not undo what the wider one allowed', () => {
  const author = createAuthor()
  grant(author, desk, { role: 'operator' })
  const { counter, id: last } = pin(author, desk, 'logs/a')
  grant(author, desk, { role: 'operator', version: 2, trees: ['logs/b'], counter, last })
  pin(author, desk, 'logs/c')
  pin(author, desk, 'logs/b')
  assert.deepEqual([...state(author).pins.keys()].sort(), ['logs/a@all', 'logs/b@all'])
})

test('what is signed after the expiry does not count, nor what is beyond the end of the key', () => {
  const author = createAuthor()
  grant(author, desk, { role: 'operator', expiresMs: NOW_MS })
  const { counter, id: last } = pin(author, desk, 'logs/a')
  pin(author, desk, 'logs/b', {}, { timeMs: NOW_MS + 1 })
  assert.match(assessLast(author).reason, /had expired/)
  author.say(admin, 'revocation', { key: desk.publicKey, counter, last, reason: 'stolen' })
  pin(author, desk, 'logs/c')
  assert.match(assessLast(author).reason, /has been ended/)
  assert.deepEqual([...state(author).pins.keys()], ['logs/a@all'])
  assert.deepEqual(grantsAt(state(author), desk.peer, NOW_MS), [])
})

test('nobody but an admin grants anything', () => {
  const author = createAuthor()
  grant(author, desk, { role: 'operator' })
  author.say(desk, 'grant', {
    grants: [other.publicKey],
    name: 'friend',
    role: 'operator',
    trees: ['logs/**'],
    may: ['pins'],
    expiresMs: null,
    counter: 0,
    last: null,
    version: 1,
    removed: false,
  })
  pin(author, other, 'logs/a')
  const { grants, pins } = state(author)
  assert.deepEqual([...grants.keys()], [desk.peer])
  assert.equal(pins.size, 0)
})

test('a publisher by a grant creates trees of its names, publishes in them, and nobody else does', () => {
  const author = createAuthor()
  grant(author, press, { role: 'publisher' })
  const [tree] = create(author, press, 'logs/brq')
  const head = author.head(press, 'logs/brq', undefined, 'one')
  create(author, press, 'builds')
  author.head(press, 'builds', undefined, 'two')
  create(author, other, 'logs/lon')
  author.say(press, 'tree', {
    name: 'logs/shared',
    readers: 'members',
    publishers: sorted(press, other),
    version: 1,
    removed: false,
  })
  const { trees } = state(author)
  assert.deepEqual([...trees.keys()], ['logs/brq'])
  const found = trees.get('logs/brq')
  assert.ok(
    found?.origin.record.equals(tree.id) && found.newest?.id.equals(head.id) && found.epoch?.isByGrant,
  )
})

test('after the grant is taken back its trees stay, and nothing new is published in them until an admin says so', () => {
  const author = createAuthor()
  grant(author, press, { role: 'publisher' })
  const [, epoch] = create(author, press, 'logs/brq')
  const one = author.head(press, 'logs/brq', undefined, 'one')
  grant(author, press, { role: 'publisher', version: 2, removed: true, counter: one.counter, last: one.id })
  const two = author.head(press, 'logs/brq', one, 'two')
  assert.match(assessLast(author).reason, /no grant makes it publisher of logs\/brq/)
  assert.ok(state(author).trees.get('logs/brq')?.newest?.id.equals(one.id))
  author.tree('logs/brq', [press, other], 2)
  author.epoch('logs/brq', other, epoch, one)
  const three = author.head(other, 'logs/brq', one, 'three', { epoch: 2 })
  const found = state(author).trees.get('logs/brq')
  assert.ok(found?.newest?.id.equals(three.id) && found?.history.length === 2 && !found?.epoch?.isByGrant)
  assert.ok(!found?.history.some(({ id }) => id.equals(two.id)))
})

test('a grant gives no hold on a tree that an admin has created or taken charge of', () => {
  const author = createAuthor()
  author.tree('logs/core', [other])
  const epoch = author.epoch('logs/core', other)
  const head = author.head(other, 'logs/core', undefined, 'real')
  grant(author, press, { role: 'publisher' })
  create(author, press, 'logs/core')
  author.head(press, 'logs/core', undefined, 'forged')
  author.say(press, 'tree', {
    name: 'logs/core',
    readers: 'members',
    publishers: [press.publicKey],
    version: 5,
    removed: true,
  })
  assert.match(assessLast(author).reason, /an admin created the tree/)
  const found = state(author).trees.get('logs/core')
  assert.ok(found?.newest?.id.equals(head.id) && found.epoch?.id.equals(epoch.id))
  assert.deepEqual([found?.fork, found?.body.removed], [undefined, false])
})

test('two publishers who create one tree are in dispute until an admin decides, and a private one stays private', () => {
  const author = createAuthor()
  grant(author, press, { role: 'publisher' })
  grant(author, other, { role: 'publisher' })
  const [, mine] = create(author, press, 'logs/x', 'granted')
  const head = author.head(press, 'logs/x', undefined, 'mine')
  create(author, other, 'logs/x')
  author.head(other, 'logs/x', undefined, 'theirs')
  author.say(other, 'tree', {
    name: 'logs/x',
    readers: 'members',
    publishers: [other.publicKey],
    version: 9,
    removed: true,
  })
  const disputed = state(author)
  assert.equal(disputed.trees.get('logs/x')?.fork?.kind, 'epochs')
  assert.deepEqual(
    [disputed.trees.get('logs/x')?.body.readers, disputed.trees.get('logs/x')?.body.removed],
    ['granted', false],
  )
  assert.equal(disputed.alarms[0]?.kind, 'epoch-conflict')
  author.epoch('logs/x', press, mine, head)
  const found = state(author).trees.get('logs/x')
  assert.ok(found?.fork === undefined && found?.newest?.id.equals(head.id))
})

test('members read a tree; of a private one only its publishers and who has a reader grant in force', () => {
  const author = createAuthor()
  const [reader, late, stranger] = [keyOf('reader'), keyOf('late'), keyOf('stranger')]
  for (const [i, key] of [press, reader, late, other].entries()) member(author, key, `site${i}`)
  author.tree('open', [press])
  author.say(admin, 'tree', {
    name: 'secret/a',
    readers: 'granted',
    publishers: [press.publicKey],
    version: 1,
    removed: false,
  })
  grant(author, reader, { role: 'reader', trees: ['secret/*'] })
  grant(author, late, { role: 'reader', trees: ['secret/*'], expiresMs: NOW_MS })
  grant(author, stranger, { role: 'reader', trees: ['secret/*'] })
  grant(author, other, { role: 'publisher', trees: ['secret/*'] })
  const readers = (tree: string, nowMs: number) => {
    const now = state(author)
    return [press, reader, late, other, stranger].map(({ peer }) => mayRead(now, tree, peer, nowMs))
  }
  assert.deepEqual(readers('open', NOW_MS), [true, true, true, true, false])
  assert.deepEqual(readers('secret/a', NOW_MS), [true, true, true, false, false])
  assert.deepEqual(readers('secret/a', NOW_MS + 1), [true, true, false, false, false])
  assert.deepEqual(readers('secret/b', NOW_MS), [false, false, false, false, false])
  grant(author, reader, { role: 'reader', trees: ['secret/*'], version: 2, removed: true })
  assert.deepEqual(readers('secret/a', NOW_MS), [true, false, true, false, false])
  author.say(admin, 'revocation', { key: press.publicKey, counter: 0, last: null, reason: 'lost' })
  assert.deepEqual(readers('secret/a', NOW_MS), [false, false, true, false, false])
})

test('a body that is not a grant has no effect, and its key is known all the same', () => {
  const author = createAuthor()
  const good = {
    grants: [desk.publicKey],
    name: 'n',
    role: 'operator',
    trees: ['a'],
    may: ['pins'],
    expiresMs: null,
    counter: 0,
    last: null,
    version: 1,
    removed: false,
  }
  for (const [field, value] of [
    ['role', 'king'],
    ['may', []],
    ['may', ['tags', 'pins']],
    ['may', ['pins', 'pins']],
    ['trees', []],
    ['trees', ['A']],
    ['trees', ['b', 'a']],
    ['grants', [desk.publicKey, other.publicKey]],
    ['counter', 1],
    ['more', 1],
  ] as const)
    author.sayOpaque(admin, 'grant', { ...good, [field]: value })
  author.sayOpaque(admin, 'grant', { ...good, role: 'reader' })
  pin(author, desk, 'a')
  const builder = createMeshStateBuilder(author.mesh)
  builder.addAll(author.records)
  assert.deepEqual([builder.state.grants.size, builder.state.pins.size], [0, 0])
  assert.equal(builder.ids().length, author.records.length)
})

test("an operator who may drain does so, and an admin's labels stay", () => {
  const author = createAuthor()
  const site = { site: 'brno', labels: ['fast'], drained: false, note: '', version: 1 }
  grant(author, desk, { role: 'operator', may: ['drains'] })
  grant(author, other, { role: 'operator' })
  author.say(desk, 'site', { ...site, labels: ['mine'], drained: true, note: 'disk', version: 2 })
  const late = author.say(admin, 'site', site)
  author.say(other, 'site', { ...site, version: 3 })
  assert.match(assessLast(author).reason, /operator of drains/)
  const builder = createMeshStateBuilder(author.mesh)
  builder.addAll(author.records.filter((record) => record !== late))
  assert.deepEqual(builder.state.sites.get('brno')?.body.labels, [])
  const { effects } = builder.add(late)
  assert.ok(effects.some((effect) => effect.kind === 'site' && effect.site === 'brno'))
  const { labels, drained } = builder.state.sites.get('brno')!.body
  assert.deepEqual([labels, drained], [['fast'], true])
})
