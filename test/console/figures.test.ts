/** What the console makes of a status document, without a browser. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { layOutMap } from '../../node/console/map/layout.ts'
import { cellOf } from '../../node/console/overview/cell.ts'
import { columnsOf, replicaOf, rowsOf } from '../../node/console/overview/rows.ts'
import { addUp } from '../../node/console/overview/totals.ts'
import { findTroubles } from '../../node/console/problems.ts'
import { quoted, shown } from '../../node/console/text.ts'
import type { ReplicaStatus, StatusDocument, TreeStatus } from '../../src/replica/status/status.ts'
import { madeStatus } from './made-status.ts'

const NOW = Date.UTC(2026, 0, 2)
const base = madeStatus({ sites: 3, trees: 0 }, NOW)
const complete = (site: string): ReplicaStatus => ({
  site,
  sequence: 4,
  state: 'complete',
  missingBytes: 0,
  checkouts: [],
})
const tree = (name: string, sites: ReplicaStatus[], more: Partial<TreeStatus> = {}): TreeStatus => ({
  tree: name,
  epoch: 1,
  sequence: 4,
  snapshot: 'b',
  publisher: base.self.peer,
  files: 1,
  bytes: 1000,
  timeMs: NOW - 3_600_000,
  sites,
  ...more,
})
const withTrees = (...trees: TreeStatus[]): StatusDocument => ({ ...base, trees })
const titles = (status: StatusDocument) => findTroubles(status, NOW).map(({ title }) => title)

test('a mesh in which all is complete has no trouble', () => {
  assert.deepEqual(titles(withTrees(tree('a', ['hq', 'lab-001', 'lab-002'].map(complete)))), [])
})

test('the worst comes first: an alarm, then a silent site, then what waits', () => {
  const waiting: ReplicaStatus = {
    ...complete('lab-001'),
    state: 'behind',
    lag: { snapshots: 2, sinceMs: NOW - 3_600_000 },
    reason: 'not started yet',
  }
  const status: StatusDocument = {
    ...withTrees(tree('a', [complete('hq'), waiting])),
    sites: base.sites.map((site) =>
      site.site === 'lab-002' ? { ...site, state: 'silent', ageSeconds: 720 } : site,
    ),
    alarms: [{ kind: 'forked', subject: 'b', detail: 'two heads' }],
  }
  assert.deepEqual(titles(status), ['forked: b', 'lab-002 has been silent for 12 min', 'a waits at lab-001'])
})

test('a fetch under way and a head of a moment ago are no trouble; a failure is, once for all its sites', () => {
  const fresh: ReplicaStatus = {
    ...complete('lab-001'),
    state: 'behind',
    lag: { snapshots: 1, sinceMs: NOW - 1000 },
  }
  const fetching: ReplicaStatus = { ...complete('lab-002'), state: 'fetching', missingBytes: 500 }
  assert.deepEqual(titles(withTrees(tree('a', [complete('hq'), fresh, fetching]))), [])
  const failing = (site: string): ReplicaStatus => ({
    ...complete(site),
    state: 'behind',
    hasFailed: true,
    reason: 'the disk is full',
  })
  assert.deepEqual(titles(withTrees(tree('a', [complete('hq'), failing('lab-001'), failing('lab-002')]))), [
    'a fails at lab-001 and lab-002',
  ])
})

test('what a silent site has not done is told once, by its silence', () => {
  const status = withTrees(
    tree('a', [complete('hq'), { ...complete('lab-002'), state: 'behind', hasFailed: true }]),
  )
  const silent = {
    ...status,
    sites: status.sites.map((site) =>
      site.site === 'lab-002' ? { ...site, state: 'silent' as const, ageSeconds: 90 } : site,
    ),
  }
  assert.equal(titles(silent).length, 1)
})

test('a cell tells the share that is there, the lag, and in words all of it', () => {
  const [site] = base.sites
  const replica: ReplicaStatus = {
    ...complete('hq'),
    sequence: 2,
    state: 'fetching',
    missingBytes: 250,
    lag: { snapshots: 2, sinceMs: NOW - 7_200_000 },
  }
  const cell = cellOf(tree('a/b', [replica]), site!, replica, NOW)
  assert.deepEqual([cell.kind, cell.text, cell.share], ['fetching', '75 %', 0.75])
  assert.equal(cell.label, 'a/b at hq: fetching, 75 %, has snapshot 2, 2 behind, 2 h, 250 B to come')
  assert.equal(cellOf(tree('a', []), site!, undefined, NOW).kind, 'none')
})

test('the figures add up, and the saving is what the publishers did not send', () => {
  const totals = addUp(
    withTrees(tree('a', [complete('hq'), complete('lab-001')]), tree('b', [], { sequence: null })),
  )
  assert.deepEqual(
    [totals.trees, totals.treesComplete, totals.treesEmpty, totals.replicas, totals.oldest?.tree],
    [2, 1, 1, 2, 'a'],
  )
  const received = base.sites.reduce((sum, { traffic }) => sum + traffic!.bytesReceived, 0)
  assert.deepEqual(totals.saved, {
    received,
    sentByPublishers: base.sites[0]!.traffic!.bytesSent,
    bytes: received - base.sites[0]!.traffic!.bytesSent,
    share: (received - base.sites[0]!.traffic!.bytesSent) / received,
  })
})

test('rows: filtered by name and by state, the worst first; columns by region', () => {
  const status = madeStatus({ sites: 40, trees: 60 }, NOW)
  const all = rowsOf(status, { text: '', onlyOpen: false, order: 'worst' }, NOW)
  assert.equal(all.length, 60)
  const rank = (row: TreeStatus) => (row.sites.some(({ hasFailed }) => hasFailed === true) ? 0 : 1)
  assert.deepEqual(all.map(rank), all.map(rank).toSorted())
  assert.ok(
    rowsOf(status, { text: 'Component-01', onlyOpen: false, order: 'name' }, NOW).every(({ tree }) =>
      tree.includes('component-01'),
    ),
  )
  assert.deepEqual(
    rowsOf(withTrees(tree('a', [complete('hq')])), { text: '', onlyOpen: true, order: 'name' }, NOW),
    [],
  )
  const regions = columnsOf(status).map(({ region }) => region)
  assert.deepEqual(regions, regions.toSorted())
  assert.equal(replicaOf(status.trees[0]!, 'nowhere'), undefined)
})

test('nothing that turns or hides text gets to the page as it is', () => {
  assert.equal(shown('a\u202eb\u0007c\u200bd\u2066'), 'a\\u{202e}b\\x07c\\u{200b}d\\u{2066}')
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.doesNotMatch(shown(text), /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/)
    }),
  )
})

test('an argument of a command line survives a shell', () => {
  assert.equal(quoted('builds/nightly@41'), 'builds/nightly@41')
  assert.equal(quoted("it's $HOME"), `'it'\\''s $HOME'`)
})

test('on the map no two sites share a place, and all are within it', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(7), { minLength: 1, maxLength: 120 }), (regions) => {
      const { width, height, sites } = layOutMap(
        regions.map((region, i) => ({ site: `s${i}`, region: `r${region}` })),
      )
      const spots = [...sites.values()]
      assert.equal(spots.length, regions.length)
      for (const [i, { x, y }] of spots.entries()) {
        assert.ok(x > 0 && x < width && y > 0 && y < height)
        for (const other of spots.slice(0, i)) assert.ok(Math.hypot(x - other.x, y - other.y) > 18)
      }
    }),
    { numRuns: 60 },
  )
})
