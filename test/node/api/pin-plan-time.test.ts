import assert from 'node:assert/strict'
import { test } from 'node:test'
import { secondsToFetch } from '../../../node/api/pin-plan-time.ts'
import { NO_TOPOLOGY, type Topology } from '../../../src/topology/topology.ts'

const hq = { site: 'hq', region: 'eu' }
const near = { site: 'near', region: 'eu' }
const labs = [
  { site: 'lab-a', region: 'us' },
  { site: 'lab-b', region: 'us' },
]
const fetch = (place: { site: string; region: string }, tree: string, bytes: number, source = hq) => ({
  place,
  trees: [{ tree, bytes, source }],
})

test('a tree enters a region once: two sites there take no longer than one', () => {
  const topology: Topology = { ...NO_TOPOLOGY, regions: [{ region: 'us', downKbit: 8000 }] }
  const both = labs.map((lab) => fetch(lab, 't', 10_000_000))
  assert.deepEqual(secondsToFetch(topology, both), [10, 10])
  const others = labs.map((lab, i) => fetch(lab, `t${i}`, 10_000_000))
  assert.deepEqual(secondsToFetch(topology, others), [20, 20])
})

test('the narrowest of the declared links counts', () => {
  const topology: Topology = {
    regions: [
      { region: 'eu', upKbit: 80_000 },
      { region: 'us', downKbit: 80_000 },
    ],
    sites: [{ site: 'lab-b', downKbit: 800 }],
    paths: [{ between: ['region:eu', 'region:us'], kbit: 4000 }],
  }
  const both = labs.map((lab) => fetch(lab, 't', 1_000_000))
  assert.deepEqual(secondsToFetch(topology, both), [2, 10])
})

test('what leaves a region for two others leaves it once', () => {
  const topology: Topology = { ...NO_TOPOLOGY, regions: [{ region: 'eu', upKbit: 8000 }] }
  const far = { site: 'x', region: 'asia' }
  assert.deepEqual(
    secondsToFetch(topology, [fetch(labs[0]!, 't', 1_000_000), fetch(far, 't', 1_000_000)]),
    [1, 1],
  )
})

test('nothing declared is told as such, nothing to fetch takes no time, and neighbours take no pipe', () => {
  assert.deepEqual(secondsToFetch(NO_TOPOLOGY, [fetch(labs[0]!, 't', 5), fetch(labs[1]!, 't', 0)]), [null, 0])
  const topology: Topology = { ...NO_TOPOLOGY, regions: [{ region: 'eu', downKbit: 1, upKbit: 1 }] }
  assert.deepEqual(secondsToFetch(topology, [fetch(near, 't', 1_000_000)]), [0])
})
