import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMetrics } from '../../node/gateway/metrics.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'
import { madeStatus } from '../console/made-status.ts'

const STATUS = {
  self: { site: 'hq', region: 'eu', version: '1' },
  sites: [],
  trees: [],
  alarms: [],
  traffic: { classes: {} },
} as unknown as StatusDocument

test('/metrics shows what collections, scrubs and relaying have done, as it is when it is asked', async () => {
  let freedBytes = 5
  const { registry } = createMetrics(() => STATUS, {
    readCare: () => ({
      blocks: 7,
      packBytes: 900,
      collections: 1,
      collectedBytes: 44,
      freedBytes,
      lastCollectionMs: 1_700_000_000_500,
      scrubbedBytes: 33,
      damagedBlocks: 2,
      lastScrubMs: undefined,
    }),
    readRelayed: () => ({ bytes: 12, circuits: 3, reservations: 4, heldBytes: 4 }),
    readPaths: () => [
      {
        ...{
          site: 'lon1',
          peer: 'a',
          rttMs: 100,
          baseMs: 60,
          queueMs: 40,
          connections: 2,
          outOfOrderPackets: 0,
        },
        ...{ bytesPerSecond: 90_000, isYielding: true },
      },
      {
        ...{
          site: 'syd1',
          peer: 'b',
          rttMs: 200,
          baseMs: 200,
          queueMs: 0,
          connections: 1,
          outOfOrderPackets: 0,
        },
        isYielding: false,
      },
    ],
    readProtocols: () => [
      {
        protocol: '/mirrormesh/1/watch',
        bytesSent: 21,
        bytesReceived: 22,
        messagesSent: 2,
        messagesReceived: 3,
      },
    ],
  })
  freedBytes = 50
  const text = await registry.metrics()
  for (const line of [
    'mirrormesh_store_blocks 7',
    'mirrormesh_store_pack_bytes 900',
    'mirrormesh_collections 1',
    'mirrormesh_collected_bytes 44',
    'mirrormesh_freed_bytes 50',
    'mirrormesh_last_collection_timestamp_seconds 1700000000.5',
    'mirrormesh_scrubbed_bytes 33',
    'mirrormesh_scrub_damaged_blocks 2',
    'mirrormesh_last_scrub_timestamp_seconds 0',
    'mirrormesh_relayed_bytes 12',
    'mirrormesh_relayed_connections 3',
    'mirrormesh_relay_reservations 4',
    'mirrormesh_relay_held_bytes 4',
    'mirrormesh_path_round_trip_seconds{site="lon1"} 0.1',
    'mirrormesh_path_queue_seconds{site="lon1"} 0.04',
    'mirrormesh_path_bound_bytes_per_second{site="lon1"} 90000',
    'mirrormesh_path_giving_way{site="lon1"} 1',
    'mirrormesh_path_giving_way{site="syd1"} 0',
    'mirrormesh_protocol_bytes{protocol="/mirrormesh/1/watch",direction="sent"} 21',
    'mirrormesh_protocol_bytes{protocol="/mirrormesh/1/watch",direction="received"} 22',
    'mirrormesh_protocol_messages{protocol="/mirrormesh/1/watch",direction="sent"} 2',
    'mirrormesh_protocol_messages{protocol="/mirrormesh/1/watch",direction="received"} 3',
  ]) {
    assert.ok(text.includes(`\n${line}\n`), line)
  }
  assert.doesNotMatch(text, /path_bound_bytes_per_second\{site="syd1"\}/)
})

test('many who ask at once for the metrics of a large mesh have them made once, and a small one is shown as it is', async () => {
  const clock = new VirtualClock(0)
  let read = 0
  const countReads = async (status: StatusDocument): Promise<number> => {
    read = 0
    const metrics = createMetrics(
      () => {
        read++
        return status
      },
      { clock },
    )
    await Promise.all(Array.from({ length: 20 }, () => metrics.text()))
    for (let i = 0; i < 20; i++) {
      assert.match(await metrics.text(), /^mirrormesh_alarms /m)
      await new Promise((resolve) => setImmediate(resolve))
    }
    return read
  }
  const large = { sites: 40, trees: 100 }
  assert.equal(await countReads(madeStatus(large, 0)), 1)
  assert.ok((await countReads(STATUS)) >= 20)
  const metrics = createMetrics(() => madeStatus({ ...large, turn: read++ }, 0), { clock })
  await metrics.text()
  const before = read
  clock.advanceTo(clock.monotonicMs() + 1000)
  await new Promise((resolve) => setImmediate(resolve))
  await metrics.text()
  assert.ok(read > before)
})
