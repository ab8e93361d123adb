import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PathState } from '../../src/net/path-pacer.ts'
import { withGivingWay } from '../../src/replica/status/giving-way.ts'
import type { PeerTraffic, StatusDocument } from '../../src/replica/status/status.ts'

const NONE = { bytesSent: 0, bytesReceived: 0, plainBytesSent: 0, plainBytesReceived: 0 }
const traffic = (peer: string): PeerTraffic => ({
  ...{ site: peer, peer, pathClass: 'wan', ...NONE },
  ...{ blocksSent: 0, blocksReceived: 0, bytesSentBeforeComplete: 0 },
})
const STATUS: StatusDocument = {
  mesh: { name: 'm', id: 'm' },
  self: { peer: 'p', site: 'hq', region: 'us', version: '0' },
  ...{ sites: [], trees: [], alarms: [] },
  traffic: {
    peers: [traffic('lon1'), traffic('syd1')],
    classes: { site: NONE, region: NONE, wan: NONE },
    ...{ blocksSent: 0, blocksSentMoreThanOnce: 0, bytesSentBeforeComplete: 0 },
  },
}
const path = (peer: string, isYielding: boolean): PathState => ({
  ...{ peer, rttMs: 100, baseMs: 60, queueMs: 40, connections: 1, outOfOrderPackets: 0 },
  isYielding,
})

test('a status says to whom less is sent for the sake of others, and nothing when it is nobody', () => {
  const { peers } = withGivingWay(STATUS, [path('lon1', true), path('syd1', false)]).traffic
  assert.deepEqual(
    peers.map(({ peer, givesWay }) => [peer, givesWay]),
    [
      ['lon1', true],
      ['syd1', undefined],
    ],
  )
  assert.equal(withGivingWay(STATUS, [path('lon1', false)]), STATUS)
})
