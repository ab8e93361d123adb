/** No site drops the last copy of what some pin wants, whatever each of them has heard. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { utf8 } from '../../src/base/bytes.ts'
import { type Cid, cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import type { MeshState } from '../../src/record/mesh-state.ts'
import { judgeCopy, type LastCopyInput, lastCopies } from '../../src/replica/copies/last-copies.ts'
import { type CopyView, markOf, VERIFIED_MS } from '../../src/replica/copies/verified-copies.ts'
import type { AnnouncedTree } from '../../src/replica/status/announced-tree.ts'
import type { HeardSite } from '../../src/replica/status/status.ts'

const NOW_MS = 1_700_000_000_000

interface ModelSite {
  readonly peer: string
  readonly isPinned: boolean
  readonly wants: boolean
  readonly half: boolean
}

const model = fc.record({
  snapshot: fc.string({ minLength: 1 }),
  sites: fc
    .uniqueArray(
      fc.record({
        peer: fc.string({ minLength: 1, maxLength: 8 }),
        isPinned: fc.boolean(),
        wants: fc.boolean(),
        holds: fc.boolean(),
        half: fc.boolean(),
      }),
      { minLength: 1, maxLength: 9, selector: ({ peer }) => peer },
    )
    .map((sites) => sites.map((site) => ({ ...site, wants: site.wants && site.isPinned }))),
  // Who has heard of whom, by round and numbers of the sites.
  heard: fc.array(fc.boolean(), { minLength: 243, maxLength: 243 }),
})

test('all plan at once, again and again, each from what it happens to have heard: each half keeps a copy', () => {
  fc.assert(
    fc.property(model, ({ snapshot, sites, heard }) => {
      if (!sites.some(({ wants }) => wants)) return
      const pinned = sites.filter(({ isPinned }) => isPinned)
      const start = new Set(sites.filter(({ holds }) => holds).map(({ peer }) => peer))
      const holding = new Set(start)
      for (let round = 0; round < 3; round++) {
        const dropped = sites.filter((site, i) => {
          // What was heard may be of before: who held it at the start may have dropped it since.
          const says = (peer: string): boolean => {
            const other = sites.findIndex((each) => each.peer === peer)
            return sites[other]!.half === site.half && start.has(peer) && heard[round * 81 + i * 9 + other]!
          }
          return holding.has(site.peer) && judgeCopy(site.peer, snapshot, pinned, says) === 'may-go'
        })
        for (const { peer } of dropped) holding.delete(peer)
      }
      for (const half of [true, false]) {
        const inHalf = (peers: ReadonlySet<string>): ModelSite[] =>
          sites.filter((site) => site.half === half && peers.has(site.peer))
        if (inHalf(start).length > 0) assert.ok(inHalf(holding).length > 0)
      }
    }),
    { numRuns: 2000 },
  )
})

test('when all have heard all, two keepers stay, and those whose own pins keep it', () => {
  fc.assert(
    fc.property(model, ({ snapshot, sites }) => {
      const all = sites.map((site) => ({ ...site, wants: site.isPinned }))
      const pinned = all.filter(({ isPinned }) => isPinned)
      if (pinned.length === 0) return
      const stays = all.filter(({ peer }) => judgeCopy(peer, snapshot, pinned, () => true) !== 'may-go')
      assert.equal(stays.length, Math.min(2, pinned.length))
      assert.ok(stays.every(({ isPinned }) => isPinned))
    }),
  )
})

test('what no pin keeps any more goes', () => {
  assert.equal(
    judgeCopy('a', 's', [{ peer: 'a', wants: false }], () => false),
    'may-go',
  )
  assert.equal(
    judgeCopy('a', 's', [], () => false),
    'may-go',
  )
})

function snapshotOf(sequence: number): Cid {
  return cidOf(DAG_CBOR, utf8(`t ${sequence}`))
}

/** Two archives keep a hundred, an office three; a fourth site has none of it by its pins. */
function mesh(heads = 30): MeshState {
  const history = Array.from({ length: heads }, (_, i) => ({
    sequence: i + 1,
    snapshot: snapshotOf(i + 1),
    timeMs: NOW_MS,
  }))
  const names = ['archive1', 'archive2', 'office', 'spare']
  const pin = (site: string, last: number) =>
    [`t@${site}`, { body: { tree: 't', sites: { site }, keep: { last }, removed: false } }] as const
  return {
    trees: new Map([
      ['t', { name: 't', body: { readers: 'members', removed: false }, history, tags: new Map() }],
    ]),
    pins: new Map([pin('archive1', 20), pin('archive2', 20), pin('office', 3)]),
    sites: new Map(),
    members: new Map(
      names.map((site) => [site, { peer: site, site, region: 'x', isActive: true, expiresMs: null }]),
    ),
    grants: new Map(),
    revoked: new Set(),
    takedowns: new Map(),
  } as unknown as MeshState
}

function saying(tree: Partial<AnnouncedTree>, more: Partial<HeardSite> = {}, timeMs = NOW_MS): HeardSite {
  const said: AnnouncedTree = {
    tree: 't',
    completeSequence: null,
    completeSnapshot: null,
    isFetching: false,
    fetchingSnapshot: null,
    missingBytes: null,
    reason: '',
    checkouts: [],
    alsoComplete: [],
    ...tree,
  }
  const announcement = {
    timeMs,
    version: '1',
    addresses: [],
    trees: [said],
    bytesSent: 0,
    bytesReceived: 0,
  }
  return { announcement, ageMs: 0, isConnected: true, ...more }
}

/** Everybody has shown this site that snapshot, or nobody it. */
function shownBy(sequence: number, isShown = true): CopyView['own'] {
  return () => [{ sequence, timeMs: NOW_MS - 1000, isShown }]
}

function staysAt(
  self: string,
  sequence: number,
  heard: Readonly<Record<string, HeardSite>>,
  more: {
    isNewest?: boolean
    state?: MeshState
    isGone?: () => boolean
    own?: CopyView['own']
    onUnshown?: LastCopyInput['onUnshown']
  } = {},
): string | undefined {
  const { isNewest = false, state = mesh(), isGone, own = shownBy(sequence), onUnshown } = more
  const judge = lastCopies({
    state,
    self,
    heard: new Map(Object.entries(heard)),
    own,
    nowMs: NOW_MS,
    ...(onUnshown === undefined ? {} : { onUnshown }),
    ...(isGone === undefined ? {} : { isGone }),
  })
  return judge({ tree: 't', snapshot: snapshotOf(sequence), isNewest })
}

const NOT_SAID = /others have not said that they hold it/

test('an office drops what the archives want only when both say that they hold it', () => {
  const has = saying({ completeRuns: [[12, 30]] })
  assert.match(staysAt('office', 20, {}) ?? '', NOT_SAID)
  assert.match(staysAt('office', 20, { archive1: has }) ?? '', NOT_SAID)
  assert.equal(staysAt('office', 20, { archive1: has, archive2: has }), undefined)
  const also = saying({ alsoComplete: [21, 20] })
  assert.equal(staysAt('office', 20, { archive1: has, archive2: also }), undefined)
  assert.match(staysAt('office', 11, { archive1: has, archive2: has }) ?? '', NOT_SAID)
  // Not among the last twenty: nobody wants it.
  assert.equal(staysAt('office', 10, {}), undefined)
  assert.match(staysAt('archive1', 20, {}) ?? '', /^keeper: /)
})

test('what is said in part, too old, of another clock or before a change does not count', () => {
  const has = saying({ completeSequence: 20, completeSnapshot: snapshotOf(20).toString() })
  assert.equal(staysAt('office', 20, { archive1: has, archive2: has }), undefined)
  const others = [
    { ...has, ageMs: 3_600_000 },
    { ...has, isOutdated: true },
    saying(has.announcement.trees[0]!, {}, NOW_MS - 3_600_000),
    saying(has.announcement.trees[0]!, {}, NOW_MS + 3_600_000),
    saying({ ...has.announcement.trees[0]!, isFiltered: true }),
    saying({ completeSequence: 20, completeSnapshot: snapshotOf(19).toString() }),
  ]
  for (const archive2 of others)
    assert.match(staysAt('office', 20, { archive1: has, archive2 }) ?? '', NOT_SAID)
})

test('the newest that is complete at a site without a pin stays until two others have it, or a later one', () => {
  const at = (sequence: number) =>
    saying({ completeSequence: sequence, completeSnapshot: snapshotOf(sequence).toString() })
  const newest = { isNewest: true, own: () => [5, 6].flatMap((sequence) => shownBy(sequence)('', '')) }
  assert.match(staysAt('spare', 5, { archive1: at(4), archive2: at(5) }, newest) ?? '', NOT_SAID)
  assert.equal(staysAt('spare', 5, { archive1: at(6), archive2: at(5) }, newest), undefined)
  assert.equal(staysAt('spare', 5, { office: at(6), archive2: at(5) }, newest), undefined)
  // One that is not the newest, and that no pin keeps, goes at once.
  assert.equal(staysAt('spare', 5, {}), undefined)
})

test('a tree without pins, one that is deleted and one that was taken down are not kept for others', () => {
  const newest = { isNewest: true }
  assert.equal(staysAt('spare', 30, {}, { ...newest, isGone: () => true }), undefined)
  assert.equal(staysAt('spare', 30, {}, { ...newest, state: { ...mesh(), pins: new Map() } }), undefined)
  const tree = mesh().trees.get('t')!
  const deleted = new Map([['t', { ...tree, body: { ...tree.body, removed: true } }]])
  assert.equal(staysAt('spare', 30, {}, { ...newest, state: { ...mesh(), trees: deleted } }), undefined)
})

const UNSHOWN = /others that say they hold it have not shown it yet/

test('what is said and was not shown does not count, and whoever is to show it is named', () => {
  const has = saying({ completeRuns: [[12, 30]] })
  const heard = { archive1: has, archive2: has }
  const named: string[][] = []
  const onUnshown = (_: object, peers: readonly string[]) => void named.push([...peers].sort())
  const none = { own: () => [], onUnshown }
  assert.match(staysAt('office', 20, heard, none) ?? '', UNSHOWN)
  assert.deepEqual(named, [['archive1', 'archive2']])
  const one = {
    own: (_: string, peer: string) => (peer === 'archive1' ? shownBy(20)('', '') : []),
    onUnshown,
  }
  assert.match(staysAt('office', 20, heard, one) ?? '', UNSHOWN)
  assert.deepEqual(named[1], ['archive2'])
  // Another snapshot's was shown; one too long ago.
  assert.match(staysAt('office', 20, heard, { own: shownBy(21) }) ?? '', UNSHOWN)
  const old = () => [{ sequence: 20, timeMs: NOW_MS - VERIFIED_MS - 1, isShown: true }]
  assert.match(staysAt('office', 20, heard, { own: old }) ?? '', UNSHOWN)
})

test('the word of others counts as a challenge, but not about themselves, and not against an own one that failed', () => {
  const vouch = (...peers: string[]) =>
    saying({
      completeRuns: [[12, 30]],
      verified: peers.map((peer) => ({ sequence: 20, mark: markOf(peer), timeMs: NOW_MS })),
    })
  const none = { own: () => [] }
  const crossed = { archive1: vouch('archive2'), archive2: vouch('archive1') }
  assert.equal(staysAt('office', 20, crossed, none), undefined)
  const boasting = { archive1: vouch('archive1'), archive2: vouch('archive2') }
  assert.match(staysAt('office', 20, boasting, none) ?? '', UNSHOWN)
  const told = { archive1: vouch(), archive2: vouch(), spare: vouch('archive1', 'archive2') }
  assert.equal(staysAt('office', 20, told, none), undefined)
  assert.match(staysAt('office', 20, told, { own: shownBy(20, false) }) ?? '', UNSHOWN)
  const later = { ...told, spare: { ...told.spare, ageMs: 3_600_000 } }
  assert.match(staysAt('office', 20, later, none) ?? '', UNSHOWN)
})

test('where a pin names a minimum no site goes below it, whoever wants the snapshot by its own pins', () => {
  const has = saying({ completeRuns: [[12, 30]] })
  const state = mesh()
  const [name, pin] = [...state.pins][0]!
  const wants = (copies: number): MeshState => ({
    ...state,
    pins: new Map([...state.pins, [name, { ...pin, body: { ...pin.body, copies } }]]),
  })
  const both = { archive1: has, archive2: has }
  const office = (copies: number, heard: Record<string, HeardSite>) =>
    staysAt('office', 20, heard, { state: wants(copies) })
  assert.equal(office(2, both), undefined)
  assert.match(office(3, both) ?? '', /^keeper: a pin wants 3 copies/)
  assert.match(staysAt('spare', 20, both, { state: wants(3) }) ?? '', NOT_SAID)
  assert.equal(staysAt('spare', 20, { ...both, office: has }, { state: wants(3) }), undefined)
  assert.match(staysAt('spare', 20, { ...both, office: has }, { state: wants(4) }) ?? '', /^keeper: /)
  // Not what that pin keeps.
  assert.equal(staysAt('office', 10, {}, { state: wants(3) }), undefined)
})
