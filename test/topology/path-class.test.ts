import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pathClass, tierOf } from '../../src/topology/path-class.ts'

const brno = { site: 'brno-1', region: 'emea' }

test('two sites of one region are near, of two regions far, whatever the sites are called', () => {
  assert.equal(pathClass(brno, { site: 'brno-1', region: 'emea' }), 'site')
  assert.equal(pathClass(brno, { site: 'brno-2', region: 'emea' }), 'region')
  assert.equal(pathClass(brno, { site: 'brno-1', region: 'apac' }), 'wan')
})

test('tiers order the classes from near to far', () => {
  assert.deepEqual(
    (['wan', 'site', 'region'] as const).toSorted((a, b) => tierOf(a) - tierOf(b)),
    ['site', 'region', 'wan'],
  )
})
