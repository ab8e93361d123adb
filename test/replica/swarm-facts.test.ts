/** The regions' shares as the topology declares their pipes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ranks, swarmWeights } from '../../src/replica/fetch/swarm-facts.ts'

test('regions of which nothing is declared count alike', () => {
  const weightOf = swarmWeights(undefined).region
  assert.equal(weightOf('eu'), weightOf('apac'))
})

test('a region counts by the narrower direction of its pipe, squared', () => {
  const { region: weightOf } = swarmWeights({
    regions: [
      { region: 'apac', upKbit: 100_000, downKbit: 20_000 },
      { region: 'eu', upKbit: 100_000, downKbit: 100_000 },
      { region: 'sa' },
    ],
    sites: [],
    paths: [],
  })
  assert.equal(Math.round(weightOf('eu') / weightOf('apac')), 25)
  assert.ok(weightOf('sa') > weightOf('apac') && weightOf('sa') < weightOf('eu'))
})

test('a site counts by its own pipe beside the region’s', () => {
  const { site: weightOf } = swarmWeights({
    regions: [{ region: 'eu', upKbit: 50_000, downKbit: 100_000 }],
    sites: [
      { site: 'branch', upKbit: 5000, downKbit: 20_000 },
      { site: 'fast', upKbit: 1_000_000, downKbit: 1_000_000 },
    ],
    paths: [],
  })
  assert.equal(weightOf({ site: 'fast', region: 'eu' }), 1)
  assert.equal(weightOf({ site: 'unknown', region: 'eu' }), 1)
  assert.equal(Math.round(1 / weightOf({ site: 'branch', region: 'eu' })), 100)
})

test('a relay counts by what its own pipe carries of what the origin sends', () => {
  const origin = { site: 'hq', region: 'us' }
  const sites = [
    { site: 'hq', upKbit: 100_000, downKbit: 100_000 },
    { site: 'branch', upKbit: 20_000, downKbit: 5000 },
    { site: 'fast', upKbit: 1_000_000, downKbit: 1_000_000 },
  ]
  const { relay } = swarmWeights({ regions: [{ region: 'us', upKbit: 50_000 }], sites, paths: [] })
  assert.equal(relay({ site: 'branch', region: 'us' }, origin), 0.1)
  assert.equal(relay({ site: 'fast', region: 'us' }, origin), 1)
  assert.equal(relay({ site: 'unknown', region: 'us' }, origin), 1)
  assert.equal(swarmWeights(undefined).relay({ site: 'branch', region: 'us' }, origin), 1)
})

test('sites are ranked in each region in the order in which they came, the origin left out', () => {
  const places = [
    { site: 'hq', region: 'us' },
    { site: 'us-2', region: 'us' },
    { site: 'eu-1', region: 'eu' },
    { site: 'us-1', region: 'us' },
    // A second node of a site, in the place of one that was revoked.
    { site: 'us-2', region: 'us' },
    { site: 'us-3', region: 'us' },
  ]
  const rank = ranks(() => places, { site: 'hq', region: 'us' })
  const rankOf = (site: string, region = 'us'): number | undefined => rank({ site, region })
  assert.deepEqual([rankOf('us-2'), rankOf('us-1'), rankOf('us-3'), rankOf('eu-1', 'eu')], [0, 1, 2, 0])
  assert.deepEqual([rankOf('hq'), rankOf('late')], [undefined, undefined])
})
