/** The regions' shares as the topology declares their pipes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { regionWeights } from '../../src/replica/swarm-facts.ts'

test('regions of which nothing is declared count alike', () => {
  const weightOf = regionWeights(undefined)
  assert.equal(weightOf('eu'), weightOf('apac'))
})

test('a region counts by the narrower direction of its pipe, squared', () => {
  const weightOf = regionWeights({
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
