/** What is compressed for whom, worked out of the records. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import type { MeshState } from '../../src/record/mesh-state.ts'
import { createWanReach } from '../../src/replica/serve/wan-reach.ts'

type Pins = { tree: string; sites: object; removed: boolean }[]

function stateOf(pins: Pins): MeshState {
  const member = (peer: string, region: string) =>
    [peer, { peer, site: peer, region, isActive: true }] as const
  return {
    members: new Map([member('hq', 'us'), member('us-1', 'us'), member('eu-1', 'eu')]),
    trees: new Map([['build', { newest: { publisher: 'hq' }, body: { readers: 'members' } }]]),
    sites: new Map(),
    pins: new Map(pins.map((body, number) => [String(number), { body }])),
  } as unknown as MeshState
}

function reachOf(
  self: { peer: string; site: string; region: string },
  pins: Pins,
  clock = new VirtualClock(0),
) {
  return createWanReach({ ledger: { state: () => stateOf(pins) }, clock, self })
}

const hq = { peer: 'hq', site: 'hq', region: 'us' }
const everywhere: Pins = [{ tree: 'build', sites: { all: true }, removed: false }]

test('what goes to another region crosses a WAN link', () => {
  assert.equal(reachOf(hq, [])('eu-1', 'build'), true)
  assert.equal(reachOf(hq, [])('nobody', 'build'), false)
})

test('a publisher’s neighbours pass on what other regions want', () => {
  assert.equal(reachOf(hq, everywhere)('us-1', 'build'), true)
  assert.equal(
    reachOf(hq, [{ tree: 'build', sites: { region: 'us' }, removed: false }])('us-1', 'build'),
    false,
  )
})

test('who only passes a tree on gives it to neighbours as it has it', () => {
  assert.equal(reachOf({ peer: 'us-1', site: 'us-1', region: 'us' }, everywhere)('hq', 'build'), false)
})

test('a pin that is made later counts within a second', () => {
  const pins: Pins = []
  const clock = new VirtualClock(0)
  const reaches = reachOf(hq, pins, clock)
  assert.equal(reaches('us-1', 'build'), false)
  pins.push(everywhere[0]!)
  clock.advanceTo(1000)
  assert.equal(reaches('us-1', 'build'), true)
})
