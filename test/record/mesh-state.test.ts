import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KeyPair } from '../../src/record/key.ts'
import { newestStanding, takenDown } from '../../src/record/mesh-state.ts'
import { createMeshStateBuilder, foldRecords } from '../../src/record/mesh-state-builder.ts'
import type { Author } from './author.ts'
import { admin, createAuthor, keyOf as key, snapshotOf } from './author.ts'

const pub = key('publisher')
const node = key('node')

function fold(author: Author) {
  return foldRecords(author.records, author.mesh)
}

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

test('a pin that keeps nothing, or what makes no sense, has no effect', () => {
  const author = createAuthor()
  const pin = { tree: 'a', sites: { all: true }, version: 1, removed: false }
  for (const keep of [{}, { last: 0 }, { days: 1.5 }, { last: 10_001 }, { weeks: 1 }, 3, null])
    author.sayOpaque(admin, 'pin', { ...pin, name: JSON.stringify(keep), keep })
  author.say(admin, 'pin', { ...pin, name: 'good', sites: { all: true }, keep: { days: 30 } })
  const builder = createMeshStateBuilder(author.mesh)
  builder.addAll(author.records)
  assert.deepEqual([...builder.state.pins.keys()], ['good'])
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

test('a pin with paths that are none, or too many, has no effect', () => {
  const author = createAuthor()
  const pin = { tree: 'a', sites: { all: true }, version: 1, removed: false }
  const many = Array.from({ length: 65 }, (_, i) => `p${String(i).padStart(2, '0')}`)
  const wrong = [
    {},
    { include: [], exclude: [] },
    { include: ['a'] },
    { include: ['a/'], exclude: [] },
    { include: ['../a'], exclude: [] },
    { include: ['b', 'a'], exclude: [] },
    { include: ['a', 'a'], exclude: [] },
    { include: many, exclude: [] },
    { include: many.slice(0, 40), exclude: many.slice(0, 40) },
  ]
  for (const [i, paths] of wrong.entries()) author.sayOpaque(admin, 'pin', { ...pin, name: `${i}`, paths })
  const paths = { include: many.slice(0, 60), exclude: ['p00/x'] }
  author.say(admin, 'pin', { ...pin, name: 'good', sites: { all: true }, paths })
  assert.deepEqual([...fold(author).pins.keys()], ['good'])
})

test('a takedown names snapshots until it is lifted, and sites stand at the newest head without one', () => {
  const author = createAuthor()
  author.tree('t', [pub])
  author.epoch('t', pub)
  const first = author.head(pub, 't', undefined, 'one')
  author.head(pub, 't', first, 'two')
  const takedown = { name: 'x', tree: 't', snapshots: [snapshotOf('two')], path: null, through: 2 }
  const said = { reason: 'r', version: 1, removed: false }
  for (const wrong of [
    { snapshots: [] },
    { snapshots: [snapshotOf('two'), snapshotOf('two')] },
    { path: '../x' },
    { reason: '' },
    { later: 1 },
  ])
    author.sayOpaque(admin, 'takedown', { ...takedown, ...said, version: 9, ...wrong })
  author.say(pub, 'takedown', { ...takedown, ...said, version: 9 })
  const standing = () => {
    const state = fold(author)
    return newestStanding(state, state.trees.get('t')!)?.sequence
  }
  assert.equal(standing(), 2)
  author.say(admin, 'takedown', { ...takedown, ...said })
  assert.equal(standing(), 1)
  assert.deepEqual([...takenDown(fold(author), 'u')], [])
  author.say(admin, 'takedown', { ...takedown, ...said, version: 2, removed: true })
  assert.equal(standing(), 2)
})

test("of verdicts on a tree an admin's newest counts, and what is malformed has no effect", () => {
  const author = createAuthor()
  author.tree('t', [pub])
  const verdict = {
    tree: 't',
    previous: snapshotOf('h'),
    snapshot: snapshotOf('s'),
    accepted: true,
    version: 1,
  }
  author.say(pub, 'verdict', { ...verdict, version: 9 })
  for (const wrong of [
    { previous: null },
    { snapshot: 'x' },
    { accepted: 1 },
    { version: 0 },
    { tree: '../t' },
    { later: 1 },
  ])
    author.sayOpaque(admin, 'verdict', { ...verdict, version: 9, ...wrong })
  assert.equal(fold(author).verdicts.size, 0)
  author.say(admin, 'verdict', verdict)
  assert.equal(fold(author).verdicts.get('t')?.body.accepted, true)
  author.say(admin, 'verdict', { ...verdict, accepted: false, version: 2 })
  assert.equal(fold(author).verdicts.get('t')?.body.accepted, false)
})

test('of a site the last writer counts, and what is malformed has no effect', () => {
  const author = createAuthor()
  const site = { site: 'brno', labels: ['a', 'b'], drained: false, note: '', version: 1 }
  author.say(admin, 'site', site)
  author.say(admin, 'site', { ...site, labels: ['a'], drained: true, note: 'moves', version: 2 })
  author.say(node, 'site', { ...site, version: 9 })
  const wrong = [
    { labels: ['b', 'a'] },
    { labels: ['a', 'a'] },
    { labels: ['A'] },
    { labels: Array.from({ length: 33 }, (_, i) => `l${String(i).padStart(2, '0')}`) },
    { note: 'x'.repeat(257) },
    { drained: 1 },
    { site: '../x' },
    { later: true },
  ]
  for (const fields of wrong) author.sayOpaque(admin, 'site', { ...site, version: 5, ...fields })
  const { sites } = fold(author)
  assert.deepEqual([...sites.keys()], ['brno'])
  assert.deepEqual(sites.get('brno')?.body, {
    ...{ site: 'brno', labels: ['a'], drained: true, note: 'moves', version: 2 },
  })
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
