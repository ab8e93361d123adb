/**
 * Golden records: bytes that every version must read, and write, for ever. They are only added to; a changed file is a
 * broken format. Hex, one file a record; regenerate nothing.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { hex } from '../../src/base/bytes.ts'
import { encodeInviteToken, inviteSecretHash, parseInviteToken } from '../../src/record/invite-token.ts'
import { createMeshStateBuilder } from '../../src/record/mesh-state-builder.ts'
import { createReconciler } from '../../src/record/reconcile.ts'
import { decodeSigned } from '../../src/record/record.ts'
import { admin, createAuthor, keyOf, NOW_MS, recovery, snapshotOf, sorted } from './author.ts'

const folder = new URL('./golden/', import.meta.url)

function read(name: string): string {
  return readFileSync(new URL(name, folder), 'utf8').trim()
}

/** One record of each kind, by keys and times that never change. */
function golden() {
  const author = createAuthor()
  const node = keyOf('golden node')
  const publisher = keyOf('golden publisher')
  const secret = new Uint8Array(32).fill(7)
  const place = { site: 'brno', region: 'emea', roles: ['site'] }
  author.say(admin, 'member', { ...place, peer: node.publicKey, invite: null, expiresMs: null, version: 1 })
  const invite = author.say(admin, 'invite', {
    ...place,
    site: 'london',
    admitter: node.publicKey,
    secretHash: inviteSecretHash(secret),
    expiresMs: NOW_MS + 86_400_000,
  })
  author.say(node, 'member', {
    ...place,
    site: 'london',
    peer: keyOf('golden guest').publicKey,
    invite: invite.id,
    expiresMs: null,
    version: 1,
  })
  author.tree('builds/rhel-9/nightly', [publisher, node])
  const epoch = author.epoch('builds/rhel-9/nightly', publisher)
  const head = author.say(publisher, 'head', {
    tree: 'builds/rhel-9/nightly',
    epoch: 1,
    sequence: 1,
    previous: null,
    snapshot: snapshotOf('golden'),
    counts: {
      files: 78_579,
      directories: 12,
      symlinks: 3,
      bytes: 290_455_552,
      blocks: 2_300,
      blockBytes: 289_000_000,
    },
  })
  author.epoch('builds/rhel-9/nightly', node, epoch, head)
  author.say(admin, 'tag', {
    tree: 'builds/rhel-9/nightly',
    tag: 'ga',
    snapshot: snapshotOf('golden'),
    sequence: 1,
    version: 1,
    removed: false,
  })
  author.say(admin, 'pin', {
    name: 'builds/**@region:emea',
    tree: 'builds/**',
    sites: { region: 'emea' },
    checkout: '/srv/builds',
    version: 1,
    removed: false,
  })
  author.say(admin, 'revocation', {
    key: publisher.publicKey,
    counter: 1,
    last: head.id,
    reason: 'laptop stolen',
  })
  author.sayOpaque(admin, 'hold', { grants: [node.publicKey], later: [1, 'two', snapshotOf('three')] })
  const second = keyOf('golden second admin')
  author.say(
    admin,
    'admin-set',
    {
      previous: author.mesh,
      admins: { keys: sorted(admin, second), threshold: 2 },
      recovery: recovery.publicKey,
      cuts: [],
    },
    { cosigners: [second, recovery] },
  )
  author.say(admin, 'topology', {
    regions: [
      { region: 'apac', upKbit: 50_000, downKbit: 100_000 },
      { region: 'emea', upKbit: 100_000, downKbit: 100_000 },
    ],
    sites: [
      { site: 'brno', upKbit: 25_000, subnets: ['10.2.0.0/16', '2001:db8::/32'] },
      { site: 'lab-7', isReachable: false },
    ],
    paths: [
      { between: ['brno', 'lab-7'], kbit: 5000, cost: 3 },
      { between: ['region:apac', 'region:emea'], rttMs: 160 },
    ],
    version: 1,
  })
  const token = {
    mesh: author.mesh,
    peer: node.publicKey,
    addrs: ['192.0.2.7:4001', '/dns4/brno.example/tcp/4001'],
    secret,
    invite: invite.id,
    site: 'london',
    region: 'emea',
    expiresMs: NOW_MS + 86_400_000,
  }
  return { author, token }
}

/** Fields that came later, in a chain of their own: the one above stays as it is. */
function later() {
  const author = createAuthor()
  const pin = author.say(admin, 'pin', {
    name: 'builds/rhel-9/nightly@site:brno',
    tree: 'builds/rhel-9/nightly',
    sites: { site: 'brno' },
    checkout: '/srv/nightly',
    versions: 5,
    version: 1,
    removed: false,
  })
  const keeping = createAuthor().say(admin, 'pin', {
    name: 'builds/**@all',
    tree: 'builds/**',
    sites: { all: true },
    keep: { last: 14, days: 30 },
    version: 1,
    removed: false,
  })
  const withdrawal = createAuthor().say(admin, 'withdrawal', { invite: snapshotOf('golden invite') })
  const labelled = createAuthor().say(admin, 'pin', {
    name: 'builds/**@label:office',
    tree: 'builds/**',
    sites: { label: 'office' },
    version: 1,
    removed: false,
  })
  const safe = createAuthor().say(admin, 'pin', {
    name: 'builds/**@region:eu',
    tree: 'builds/**',
    sites: { region: 'eu' },
    copies: 3,
    version: 1,
    removed: false,
  })
  const hurried = createAuthor().say(admin, 'pin', {
    name: 'builds/**@all',
    tree: 'builds/**',
    sites: { all: true },
    priority: 8,
    class: 'urgent',
    version: 1,
    removed: false,
  })
  const part = createAuthor().say(admin, 'pin', {
    name: 'mirror/**@label:office',
    tree: 'mirror/**',
    sites: { label: 'office' },
    paths: { include: ['noarch', 'x86_64'], exclude: ['x86_64/debug'] },
    version: 1,
    removed: false,
  })
  const takedown = createAuthor().say(admin, 'takedown', {
    name: 'builds/x:secret.key',
    tree: 'builds/x',
    snapshots: [snapshotOf('golden')],
    path: 'secret.key',
    through: 7,
    reason: 'a key leaked',
    version: 1,
    removed: false,
  })
  const verdict = createAuthor().say(admin, 'verdict', {
    tree: 'builds/x',
    previous: snapshotOf('before'),
    snapshot: snapshotOf('golden'),
    accepted: true,
    version: 3,
  })
  const site = createAuthor().say(admin, 'site', {
    site: 'brno',
    labels: ['czech', 'office'],
    drained: true,
    note: 'the rack is moved',
    version: 2,
  })
  const encodings = author.say(keyOf('golden publisher'), 'encodings', {
    tree: 'builds/rhel-9/nightly',
    snapshot: snapshotOf('golden two'),
    base: snapshotOf('golden'),
    sequence: 2,
    set: snapshotOf('golden deltas'),
    version: 3,
    isComplete: true,
    bytes: 20_900_000,
    targetBytes: 210_800_000,
  })
  const grants = createAuthor()
  const node = keyOf('golden node')
  const operator = grants.say(admin, 'grant', {
    grants: [node.publicKey],
    name: 'release desk',
    role: 'operator',
    trees: ['builds/**', 'images/*'],
    may: ['drains', 'pins', 'tags'],
    expiresMs: NOW_MS + 86_400_000,
    counter: 0,
    last: null,
    version: 1,
    removed: false,
  })
  const takenBack = grants.say(admin, 'grant', {
    grants: [node.publicKey],
    name: 'logs of brno',
    role: 'publisher',
    trees: ['logs/brq-*'],
    may: [],
    expiresMs: null,
    counter: 7,
    last: snapshotOf('golden last record'),
    version: 2,
    removed: true,
  })
  const privateTree = grants.say(admin, 'tree', {
    name: 'keys',
    readers: 'granted',
    publishers: [node.publicKey],
    version: 1,
    removed: false,
  })
  const gated = createAuthor().say(admin, 'tree', {
    name: 'images/os',
    readers: 'members',
    publishers: [keyOf('golden publisher').publicKey],
    kind: 'versioned',
    gate: { path: 'meta/STATUS', text: 'FINISHED' },
    keep: { last: 3 },
    version: 2,
    removed: false,
  })
  const repository = createAuthor().say(admin, 'tree', {
    name: 'mirrors/debian',
    readers: 'members',
    publishers: [keyOf('golden publisher').publicKey],
    kind: 'snapshot',
    gate: { repository: 'deb' },
    version: 1,
    removed: false,
  })
  return new Map([
    ['later-tree-gate.hex', hex(gated.bytes)],
    ['later-tree-repository.hex', hex(repository.bytes)],
    ['later-grant-operator.hex', hex(operator.bytes)],
    ['later-grant-removed.hex', hex(takenBack.bytes)],
    ['later-tree-private.hex', hex(privateTree.bytes)],
    ['later-pin-versions.hex', hex(pin.bytes)],
    ['later-encodings.hex', hex(encodings.bytes)],
    ['later-pin-keep.hex', hex(keeping.bytes)],
    ['later-withdrawal.hex', hex(withdrawal.bytes)],
    ['later-pin-label.hex', hex(labelled.bytes)],
    ['later-pin-priority.hex', hex(hurried.bytes)],
    ['later-pin-copies.hex', hex(safe.bytes)],
    ['later-pin-paths.hex', hex(part.bytes)],
    ['later-takedown.hex', hex(takedown.bytes)],
    ['later-site.hex', hex(site.bytes)],
    ['later-verdict.hex', hex(verdict.bytes)],
  ])
}

const files = (() => {
  const { author, token } = golden()
  const entries = author.records.map(
    (record, i) => [`record-${String(i).padStart(2, '0')}-${record.kind}.hex`, hex(record.bytes)] as const,
  )
  const question = createReconciler(
    // Of the records that were there when it was made.
    author.records
      .slice(0, 13)
      .map(({ id }) => id.multihash.digest)
      .sort(Buffer.compare),
    {
      isInitiator: true,
    },
  ).start()
  return new Map<string, string>([
    ...entries,
    ...later(),
    ['record-ids.txt', author.records.map(({ id }) => id.toString()).join('\n')],
    ['invite-token.txt', encodeInviteToken(token)],
    ['reconcile-question.hex', hex(question)],
  ])
})()

test('records, tokens and messages are written as the golden files have them', () => {
  for (const [name, content] of files) assert.equal(content, read(name), name)
  assert.deepEqual(readdirSync(folder).sort(), [...files.keys()].sort())
})

test('golden records are read, and make the state that they always made', () => {
  const records = readdirSync(folder)
    .filter((name) => name.startsWith('record-') && name.endsWith('.hex'))
    .sort()
    .map((name) => decodeSigned(new Uint8Array(Buffer.from(read(name), 'hex'))))
  assert.equal(records.map(({ id }) => id.toString()).join('\n'), read('record-ids.txt'))
  const builder = createMeshStateBuilder(records[0]!.id)
  builder.addAll(records)
  const { state } = builder
  assert.equal(builder.ids().length, records.length)
  assert.equal(state.name, 'test')
  assert.equal(state.admins?.threshold, 2)
  assert.deepEqual([...state.members.values()].map(({ site }) => site).sort(), ['brno', 'london'])
  const tree = state.trees.get('builds/rhel-9/nightly')
  assert.equal(tree?.epoch?.epoch, 2)
  assert.equal(tree?.newest?.counts.files, 78_579)
  assert.ok(tree?.tags.get('ga')?.body.snapshot.equals(snapshotOf('golden')))
  assert.equal(state.pins.get('builds/**@region:emea')?.body.checkout, '/srv/builds')
  assert.equal(state.topology?.body.sites[0]?.upKbit, 25_000)
  assert.equal(state.topology?.body.paths[1]?.rttMs, 160)
  assert.deepEqual(state.alarms, [])
  const pin = decodeSigned(new Uint8Array(Buffer.from(read('later-pin-versions.hex'), 'hex'))).content
  assert.ok(pin?.kind === 'pin')
  assert.deepEqual([pin.body.checkout, pin.body.versions], ['/srv/nightly', 5])
  const keeping = decodeSigned(new Uint8Array(Buffer.from(read('later-pin-keep.hex'), 'hex'))).content
  assert.ok(keeping?.kind === 'pin')
  assert.deepEqual(keeping.body.keep, { last: 14, days: 30 })
  const labelled = decodeSigned(new Uint8Array(Buffer.from(read('later-pin-label.hex'), 'hex'))).content
  assert.ok(labelled?.kind === 'pin')
  assert.deepEqual(labelled.body.sites, { label: 'office' })
  const hurried = decodeSigned(new Uint8Array(Buffer.from(read('later-pin-priority.hex'), 'hex'))).content
  assert.ok(hurried?.kind === 'pin')
  assert.deepEqual([hurried.body.priority, hurried.body.class], [8, 'urgent'])
  const safe = decodeSigned(new Uint8Array(Buffer.from(read('later-pin-copies.hex'), 'hex'))).content
  assert.ok(safe?.kind === 'pin')
  assert.equal(safe.body.copies, 3)
  const part = decodeSigned(new Uint8Array(Buffer.from(read('later-pin-paths.hex'), 'hex'))).content
  assert.ok(part?.kind === 'pin')
  assert.deepEqual(part.body.paths, { include: ['noarch', 'x86_64'], exclude: ['x86_64/debug'] })
  const takedown = decodeSigned(new Uint8Array(Buffer.from(read('later-takedown.hex'), 'hex'))).content
  assert.ok(takedown?.kind === 'takedown')
  assert.deepEqual([takedown.body.path, takedown.body.through], ['secret.key', 7])
  assert.ok(takedown.body.snapshots[0]?.equals(snapshotOf('golden')))
  const verdict = decodeSigned(new Uint8Array(Buffer.from(read('later-verdict.hex'), 'hex'))).content
  assert.ok(verdict?.kind === 'verdict')
  assert.deepEqual([verdict.body.tree, verdict.body.accepted, verdict.body.version], ['builds/x', true, 3])
  assert.ok(verdict.body.previous.equals(snapshotOf('before')))
  const site = decodeSigned(new Uint8Array(Buffer.from(read('later-site.hex'), 'hex'))).content
  assert.ok(site?.kind === 'site')
  assert.deepEqual(site.body.labels, ['czech', 'office'])
  assert.deepEqual([site.body.drained, site.body.note, site.body.version], [true, 'the rack is moved', 2])
  const gated = decodeSigned(new Uint8Array(Buffer.from(read('later-tree-gate.hex'), 'hex'))).content
  assert.ok(gated?.kind === 'tree')
  assert.deepEqual(
    [gated.body.kind, gated.body.gate, gated.body.keep],
    ['versioned', { path: 'meta/STATUS', text: 'FINISHED' }, { last: 3 }],
  )
  const repository = decodeSigned(
    new Uint8Array(Buffer.from(read('later-tree-repository.hex'), 'hex')),
  ).content
  assert.ok(repository?.kind === 'tree')
  assert.deepEqual([repository.body.kind, repository.body.gate], ['snapshot', { repository: 'deb' }])
  const withdrawal = decodeSigned(new Uint8Array(Buffer.from(read('later-withdrawal.hex'), 'hex'))).content
  assert.ok(withdrawal?.kind === 'withdrawal')
  assert.ok(withdrawal.body.invite.equals(snapshotOf('golden invite')))
  const later = decodeSigned(new Uint8Array(Buffer.from(read('later-encodings.hex'), 'hex'))).content
  assert.ok(later?.kind === 'encodings')
  assert.deepEqual([later.body.version, later.body.bytes, later.body.isComplete], [3, 20_900_000, true])
  const operator = decodeSigned(new Uint8Array(Buffer.from(read('later-grant-operator.hex'), 'hex'))).content
  assert.ok(operator?.kind === 'grant')
  assert.deepEqual(
    [operator.body.role, operator.body.may.length, operator.body.trees.length],
    ['operator', 3, 2],
  )
  const takenBack = decodeSigned(new Uint8Array(Buffer.from(read('later-grant-removed.hex'), 'hex'))).content
  assert.ok(takenBack?.kind === 'grant')
  assert.deepEqual([takenBack.body.removed, takenBack.body.counter], [true, 7])
  const privateTree = decodeSigned(new Uint8Array(Buffer.from(read('later-tree-private.hex'), 'hex'))).content
  assert.ok(privateTree?.kind === 'tree' && privateTree.body.readers === 'granted')
  assert.equal(parseInviteToken(read('invite-token.txt')).site, 'london')
})
