import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { utf8 } from '../../src/base/bytes.ts'
import { MirrorError } from '../../src/base/errors.ts'
import { cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import { encodeCbor } from '../../src/block/codec.ts'
import type { PinBody } from '../../src/record/kinds/pin.ts'
import type { TreeState } from '../../src/record/mesh-state.ts'
import { foldRecords } from '../../src/record/mesh-state-builder.ts'
import { silentAfterMs } from '../../src/replica/announce-period.ts'
import { buildStatus, NO_RIGHT } from '../../src/replica/build-status.ts'
import { goalsOf } from '../../src/replica/goals.ts'
import type { HeldBack } from '../../src/replica/publish/held-back.ts'
import { announcedTree } from '../../src/replica/site-agent/status.ts'
import type { AnnouncedTree } from '../../src/replica/status/announced-tree.ts'
import { deltaBetween } from '../../src/replica/status/announcement-delta.ts'
import type { HeardSite, StatusSources } from '../../src/replica/status/status.ts'
import {
  decodeAnnouncement,
  encodeAnnouncement,
  MAX_ANNOUNCEMENT_BYTES,
  type SiteAnnouncement,
} from '../../src/replica/status/status-announcement.ts'
import { createTestMesh, testKey } from './test-mesh.ts'

const cid = (text: string): string => cidOf(DAG_CBOR, utf8(text)).toString()
const tree = (name: string, more: Partial<AnnouncedTree> = {}): AnnouncedTree => ({
  tree: name,
  completeSequence: 3,
  completeSnapshot: cid('3'),
  isFetching: false,
  fetchingSnapshot: null,
  missingBytes: 0,
  reason: '',
  checkouts: [{ path: '/srv/x', sequence: 3 }],
  alsoComplete: [],
  ...more,
})
const heldBack = (name: string): HeldBack => ({
  ...{
    tree: name,
    snapshot: cidOf(DAG_CBOR, utf8('4')),
    previous: cidOf(DAG_CBOR, utf8('head 3')),
    sequence: 3,
  },
  ...{ files: 10, bytes: 100, filesBefore: 20, bytesBefore: 150, sinceMs: 5, expiresMs: 6 },
})
const announcement = (trees: AnnouncedTree[]): SiteAnnouncement => ({
  timeMs: 1,
  version: '1.2.3',
  addresses: ['/ip4/10.0.0.1/tcp/4001'],
  trees,
  bytesSent: 5,
  bytesReceived: 6,
})

test('an announcement says the same after encoding and decoding', () => {
  const given = announcement([
    tree('a', {
      completeSequence: null,
      completeSnapshot: null,
      isFetching: true,
      missingBytes: null,
      reason: 'waits',
    }),
    tree('b/c'),
    tree('d', { checkouts: [{ path: '/srv/d', sequence: null, versions: 5 }], alsoComplete: [2, 1] }),
    tree('e', {
      completeRuns: [
        [20, 30],
        [3, 3],
      ],
    }),
    // Runs of none are told as none.
    tree('f', { isFiltered: true }),
    tree('g', { completeRuns: [[3, 3]], heldBack: heldBack('g') }),
    tree('h', { completeRuns: [], heldBack: { ...heldBack('h'), filesBefore: null, problem: 'no space' } }),
  ])
  assert.deepEqual(decodeAnnouncement(encodeAnnouncement(given)), given)
})

test('a pause is told, bounded, and shown beside how the replica stands', () => {
  const pauses = [{ tree: 't', by: 'ada', sinceMs: 7 }]
  const given = { ...announcement([tree('t')]), pauses }
  assert.deepEqual(decodeAnnouncement(encodeAnnouncement(given)), given)
  assert.equal(deltaBetween(announcement([tree('t')]), given), undefined)
  const many = Array.from({ length: 100 }, (_, i) => ({ tree: `t${i}`, by: 'ada', sinceMs: 7 }))
  const cut = decodeAnnouncement(encodeAnnouncement({ ...given, pauses: many }))
  assert.equal(cut.pauses?.length, 64)
  const withPause = (p: unknown) => encodeCbor({ v: 1, t: 1, n: '', a: [], r: [], s: [0, 0], p })
  assert.throws(() => decodeAnnouncement(withPause([['T', 'ada', 7]])), { code: 'corrupt' })
  assert.throws(() => decodeAnnouncement(withPause([['t', 'a'.repeat(129), 7]])), { code: 'limit' })
  assert.throws(() => decodeAnnouncement(withPause([['t', 'ada', -1]])), { code: 'corrupt' })
  const lab = labOf(sources([['p1', { ageMs: 0, isConnected: true, announcement: given }]]))
  assert.deepEqual(lab?.pause, { by: 'ada', sinceMs: 7 })
})

test('runs of sequences are bounded, and have both ends', () => {
  const withRuns = (runs: unknown): Uint8Array => {
    const whole = ['a', 3, null, false, null, 0, '', [], [], false, runs]
    return encodeCbor({ v: 1, t: 1, n: '', a: [], r: [whole], s: [0, 0] })
  }
  assert.deepEqual(decodeAnnouncement(withRuns([2, 3])).trees[0]?.completeRuns, [[2, 3]])
  assert.throws(() => decodeAnnouncement(withRuns([1, 2, 3])), { code: 'corrupt' })
  assert.throws(() => decodeAnnouncement(withRuns([1, -2])), { code: 'corrupt' })
  assert.throws(() => decodeAnnouncement(withRuns(Array(34).fill(1))), { code: 'limit' })
  const many = Array.from({ length: 20 }, (_, i) => [2 * i, 2 * i] as const)
  const cut = decodeAnnouncement(encodeAnnouncement(announcement([tree('a', { completeRuns: many })])))
  assert.equal(cut.trees[0]?.completeRuns?.length, 16)
})

test('a site that holds more than the short list names tells all of it as runs', () => {
  const head = (sequence: number) => ({ sequence, snapshot: cidOf(DAG_CBOR, utf8(`s${sequence}`)) })
  const state = { name: 'a', history: Array.from({ length: 40 }, (_, i) => head(i + 1)) }
  const held = new Set([2, 3, 5, ...Array.from({ length: 20 }, (_, i) => 20 + i)].map((at) => cid(`s${at}`)))
  const own = { state: 'behind', missingBytes: null, checkouts: [], sequence: 39 } as const
  const told = (alsoComplete: number[]) =>
    announcedTree(
      state as unknown as TreeState,
      { ...own, alsoComplete },
      {
        has: (_, snapshot) => held.has(snapshot.toString()),
      },
    ).completeRuns
  assert.deepEqual(told([38, 37, 36, 35, 34, 33, 32, 31]), [
    [20, 39],
    [5, 5],
    [2, 3],
  ])
  assert.equal(told([38]), undefined)
})

test('an announcement names its gateway, and one that names what is no gateway is none', () => {
  const given = { ...announcement([]), url: 'https://lab.example/' }
  assert.deepEqual(decodeAnnouncement(encodeAnnouncement(given)), given)
  for (const url of ['http://lab.example/\n', 'javascript:x', 'http://a:b@lab.example/', 'x'.repeat(300)]) {
    const bytes = encodeAnnouncement({ ...announcement([]), url })
    if (url.endsWith('\n')) assert.equal(decodeAnnouncement(bytes).url, 'http://lab.example/')
    else assert.throws(() => decodeAnnouncement(bytes), MirrorError, url)
  }
})

test('an announcement of thousands of trees fits, and those with trouble come first', () => {
  const many = Array.from({ length: 3000 }, (_, i) => tree(`tree-${i}`))
  many.push(tree('broken', { reason: 'the disk is full' }))
  const bytes = encodeAnnouncement(announcement(many))
  assert.ok(bytes.length <= MAX_ANNOUNCEMENT_BYTES)
  assert.equal(decodeAnnouncement(bytes).trees[0]?.tree, 'broken')
})

test('whatever a member sends, reading it ends in an announcement or in a clear error', () => {
  const good = encodeAnnouncement(
    announcement([tree('a'), tree('b', { completeRuns: [], heldBack: heldBack('b') })]),
  )
  const mutated = fc
    .array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 })
    .map((changes) => {
      const bytes = good.slice()
      for (const [at, byte] of changes) bytes[at] = byte
      return bytes
    })
  fc.assert(
    fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 200 })), (bytes) => {
      try {
        decodeAnnouncement(bytes)
      } catch (error) {
        assert.ok(error instanceof MirrorError, String(error))
      }
    }),
    { numRuns: 1000 },
  )
})

test('limits hold, a later version is named as such, unknown fields are passed over', () => {
  const base = { v: 1, t: 1, n: '1', a: [], r: [], s: [0, 0] }
  assert.throws(() => decodeAnnouncement(new Uint8Array(MAX_ANNOUNCEMENT_BYTES + 1)), { code: 'limit' })
  assert.throws(() => decodeAnnouncement(encodeCbor({ ...base, a: Array(33).fill('x') })), { code: 'limit' })
  assert.throws(() => decodeAnnouncement(encodeCbor({ ...base, a: ['x'.repeat(257)] })), { code: 'limit' })
  assert.throws(() => decodeAnnouncement(encodeCbor({ ...base, s: [-1, 0] })), { code: 'corrupt' })
  assert.throws(() => decodeAnnouncement(encodeCbor({ ...base, v: 2 })), { code: 'unsupported' })
  assert.equal(decodeAnnouncement(encodeCbor({ ...base, later: 1 })).version, '1')
})

const none = { bytesSent: 0, bytesReceived: 0, plainBytesSent: 0, plainBytesReceived: 0 }
function sources(heard: [string, HeardSite][], more: Partial<StatusSources> = {}): StatusSources {
  return {
    mesh: { name: 'm', id: 'id' },
    self: { peer: 'p0', site: 'hq', region: 'eu', version: '1', addresses: ['x'] },
    members: [
      { peer: 'p1', site: 'lab', region: 'us', labels: ['office'], drained: true, note: 'moves' },
      { peer: 'p0', site: 'hq', region: 'eu', labels: [], drained: false, note: '' },
    ],
    trees: [
      { tree: 't', head: { epoch: 1, sequence: 4, snapshot: cid('4') }, pinnedSites: ['lab', 'nowhere'] },
    ],
    own: new Map([['t', { sequence: 4, state: 'complete', missingBytes: 0, checkouts: [] }]]),
    heard: new Map(heard),
    connected: new Set(),
    traffic: {
      peers: [],
      classes: { site: none, region: none, wan: none },
      blocksSent: 0,
      blocksSentMoreThanOnce: 0,
      bytesSentBeforeComplete: 0,
    },
    alarms: [],
    ...more,
  }
}
const heardAt = (ageMs: number, said: AnnouncedTree): [string, HeardSite] => [
  'p1',
  { announcement: announcement([said]), ageMs, isConnected: false },
]
const labOf = (given: StatusSources) => buildStatus(given).trees[0]?.sites.find(({ site }) => site === 'lab')

test('a site is complete only at the head that is known here', () => {
  assert.equal(labOf(sources([heardAt(0, tree('t', { completeSnapshot: cid('4') }))]))?.state, 'complete')
  const behind = labOf(sources([heardAt(0, tree('t', { reason: 'the disk is full' }))]))
  assert.deepEqual([behind?.state, behind?.sequence, behind?.reason], ['behind', 3, 'the disk is full'])
  const fetching = tree('t', { isFetching: true, fetchingSnapshot: cid('4'), missingBytes: 77 })
  assert.deepEqual(
    [labOf(sources([heardAt(0, fetching)]))?.state, labOf(sources([heardAt(0, fetching)]))?.missingBytes],
    ['fetching', 77],
  )
  // A check-out that cannot be made is told of a complete one too; not what keeps it from a head that is not known here.
  const failing = tree('t', { completeSnapshot: cid('4'), reason: 'there is no directory /srv' })
  assert.equal(labOf(sources([heardAt(0, failing)]))?.reason, 'there is no directory /srv')
  assert.equal(labOf(sources([heardAt(0, { ...failing, fetchingSnapshot: cid('9') })]))?.reason, undefined)
  // Missing bytes of another snapshot say nothing of this one.
  assert.equal(labOf(sources([heardAt(0, { ...fetching, fetchingSnapshot: cid('9') })]))?.missingBytes, null)
  assert.equal(labOf(sources([]))?.state, 'unknown')
})

test('a site is up while connected or heard of, silent after, never-seen before', () => {
  const state = (given: StatusSources) => buildStatus(given).sites.find(({ site }) => site === 'lab')?.state
  assert.equal(state(sources([])), 'never-seen')
  assert.equal(state(sources([heardAt(silentAfterMs(2), tree('t'))])), 'up')
  assert.equal(state(sources([heardAt(silentAfterMs(2) + 1, tree('t'))])), 'silent')
  assert.equal(
    state(sources([heardAt(silentAfterMs(2) + 1, tree('t'))], { connected: new Set(['p1']) })),
    'up',
  )
  assert.deepEqual(
    buildStatus(sources([])).sites.map(({ site }) => site),
    ['hq', 'lab'],
  )
})

test('what is behind says by how many heads, and since when; what is complete or unknown says neither', () => {
  const trees = [
    {
      tree: 't',
      head: { epoch: 1, sequence: 4, snapshot: cid('4') },
      history: [10, 20, 30, 40].map((timeMs) => ({ timeMs })),
      pinnedSites: ['lab'],
    },
  ]
  const lagOf = (said: Partial<AnnouncedTree>) =>
    labOf(sources([heardAt(0, tree('t', said))], { trees }))?.lag
  assert.deepEqual(lagOf({ completeSequence: 2 }), { snapshots: 2, sinceMs: 30 })
  assert.deepEqual(lagOf({ completeSequence: null, completeSnapshot: null }), { snapshots: 4, sinceMs: 10 })
  assert.equal(lagOf({ completeSequence: 4, completeSnapshot: cid('4') }), undefined)
  // It knows of a head that this node has not heard of.
  assert.equal(lagOf({ completeSequence: 5, completeSnapshot: cid('5') }), undefined)
  assert.equal(labOf(sources([], { trees }))?.lag, undefined)
  assert.equal(buildStatus(sources([], { trees })).trees[0]?.timeMs, 40)
})

test('a site that may not read a tree is not behind, whatever it says', () => {
  const trees = [
    {
      tree: 't',
      head: { epoch: 1, sequence: 4, snapshot: cid('4') },
      history: [10, 20, 30, 40].map((timeMs) => ({ timeMs })),
      pinnedSites: ['lab'],
      sitesWithoutRight: new Set(['lab']),
    },
  ]
  const said = [[], [heardAt(0, tree('t', { completeSequence: 2, missingBytes: 7 }))]]
  for (const heard of said) {
    const lab = labOf(sources(heard, { trees }))
    assert.deepEqual(
      [lab?.state, lab?.missingBytes, lab?.lag, lab?.hasNoRight],
      ['unknown', null, undefined, true],
    )
    assert.equal(lab?.reason, NO_RIGHT)
  }
  const complete = labOf(
    sources([heardAt(0, tree('t', { completeSequence: 4, completeSnapshot: cid('4') }))], { trees }),
  )
  assert.deepEqual([complete?.state, complete?.hasNoRight], ['complete', true])
})

test('of what is held back the word of its publisher counts, until its head has moved', () => {
  const said = (peer: string, sequence = 3): [string, HeardSite] => {
    const trees = [tree('a', { completeRuns: [], heldBack: { ...heldBack('a'), sequence } })]
    return [peer, { announcement: announcement(trees), ageMs: 0, isConnected: true }]
  }
  const at = (publisher: string) => ({
    trees: [{ tree: 'a', publisher, head: { epoch: 1, sequence: 3, snapshot: cid('3') }, pinnedSites: [] }],
  })
  const found = buildStatus(sources([said('p1')], at('p1')))
  assert.equal(found.trees[0]?.heldBack?.site, 'lab')
  assert.deepEqual(
    found.alarms.map(({ kind, subject, detail }) => [kind, subject, detail]),
    [
      [
        'held-back',
        'a',
        '10 of 20 files and 50 of 150 bytes are gone since @3, at lab: it waits for an admin',
      ],
    ],
  )
  for (const [heard, publisher] of [
    [said('p1'), 'p0'],
    [said('p1', 2), 'p1'],
  ] as const) {
    const { trees, alarms } = buildStatus(sources([heard], at(publisher)))
    assert.deepEqual([trees[0]?.heldBack, alarms], [undefined, []])
  }
  const own = buildStatus(sources([], { ...at('p0'), heldBackOf: heldBack }))
  assert.equal(own.trees[0]?.heldBack?.site, 'hq')
})

test('each site tells what it has sent and received', () => {
  const heard = buildStatus(sources([heardAt(0, tree('t'))])).sites
  assert.deepEqual(
    heard.map(({ traffic }) => traffic),
    [
      { bytesSent: 0, bytesReceived: 0 },
      { bytesSent: 5, bytesReceived: 6 },
    ],
  )
  assert.equal(buildStatus(sources([])).sites[1]?.traffic, null)
})

test('a site keeps what is pinned to it, and no two trees are checked out at one place', () => {
  const mesh = createTestMesh()
  const pin = (body: Partial<PinBody> & { name: string; tree: string }) =>
    mesh.sign(mesh.admin, 'pin', { sites: { all: true }, version: 1, removed: false, ...body })
  const publisher = testKey(9)
  const state = foldRecords(
    [
      mesh.genesis,
      ...['a', 'b', 'c/d', 'e'].flatMap((name) => mesh.tree(name, publisher)),
      pin({ name: '1', tree: 'a', checkout: '/srv/x', keep: { last: 2, days: 7 } }),
      pin({ name: '1 too', tree: '*', sites: { site: 'lab' }, keep: { last: 5 } }),
      pin({ name: '2', tree: 'b', checkout: '/srv/x/inside' }),
      pin({ name: '3', tree: 'c/*', checkout: '/srv/all/', sites: { region: 'us' }, versions: 4 }),
      pin({ name: '4', tree: 'e', sites: { site: 'elsewhere' } }),
      pin({ name: '5', tree: 'e', removed: true }),
    ],
    mesh.mesh,
  )
  const goals = goalsOf(state, { peer: 'p', site: 'lab', region: 'us' }, 0)
  assert.deepEqual([...goals.keys()].sort(), ['a', 'b', 'c/d', 'e'])
  assert.deepEqual(goals.get('a')?.keep, { last: 5, days: 7 })
  assert.deepEqual(goals.get('b')?.keep, { last: 5 })
  assert.equal(goals.get('c/d')?.keep, undefined)
  assert.deepEqual(goals.get('a')?.checkouts, ['/srv/x'])
  assert.deepEqual(goals.get('b')?.checkouts, [])
  assert.match(goals.get('b')?.refusedCheckouts[0]?.reason ?? '', /taken by the check-out of a/)
  assert.deepEqual(goals.get('c/d')?.checkouts, ['/srv/all/c/d'])
  assert.deepEqual([...goals.get('c/d')!.versions], [['/srv/all/c/d', 4]])
  assert.equal(goals.get('a')?.versions.size, 0)
})
