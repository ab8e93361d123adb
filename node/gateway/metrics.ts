/**
 * What /metrics shows, in one registry of its own (no globals, so that two nodes in one process stay apart).
 * Rates are metrics, decisions are logs. Labels come from closed sets only: never a path, never a client.
 */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import { type Clock, systemClock } from '../../src/base/clock.ts'
import type { ProtocolTraffic, RelayCounts } from '../../src/net/ports.ts'
import type { PullUsage } from '../../src/replica/pull/pull-through.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'
import { createKeptScrape } from './kept-scrape.ts'
import { registerMeshMetrics } from './mesh-metrics.ts'
import { registerPathMetrics, type SitePath } from './path-metrics.ts'

export interface GatewayMetrics {
  readonly registry: Registry
  /** What /metrics shows; in a large mesh, of up to a few seconds ago. */
  text(): Promise<string>
  requestDone(method: string, status: number, seconds: number): void
  bytesSent(bytes: number): void
  inFlight(change: 1 | -1): void
  refused(reason: string): void
  watchConnections(read: () => number): void
}

/** What is done to keep the store small and sound, since the start of the program. */
export interface StoreCare {
  readonly blocks: number
  readonly packBytes: number
  readonly collections: number
  readonly collectedBytes: number
  readonly freedBytes: number
  /** Wall clock; undefined before the first. */
  readonly lastCollectionMs: number | undefined
  readonly scrubbedBytes: number
  readonly damagedBlocks: number
  readonly lastScrubMs: number | undefined
}

export function createMetrics(
  readStatus: () => StatusDocument,
  {
    readCare,
    readRelayed,
    readProtocols,
    readPaths,
    readPulled,
    clock = systemClock,
  }: {
    readonly clock?: Clock
    readonly readCare?: (() => StoreCare) | undefined
    readonly readRelayed?: (() => RelayCounts) | undefined
    readonly readProtocols?: (() => readonly ProtocolTraffic[]) | undefined
    readonly readPaths?: (() => readonly SitePath[]) | undefined
    readonly readPulled?: (() => PullUsage | undefined) | undefined
  } = {},
): GatewayMetrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const requests = new Counter({
    name: 'mirrormesh_gateway_requests_total',
    help: 'HTTP requests answered by the gateway',
    labelNames: ['method', 'status'] as const,
    registers,
  })
  const seconds = new Counter({
    name: 'mirrormesh_gateway_request_seconds_total',
    help: 'Seconds spent on the requests answered',
    registers,
  })
  const bytes = new Counter({
    name: 'mirrormesh_gateway_sent_bytes_total',
    help: 'Bytes of bodies sent by the gateway',
    registers,
  })
  const open = new Gauge({
    name: 'mirrormesh_gateway_requests_in_flight',
    help: 'Requests being answered now',
    registers,
  })
  const refusals = new Counter({
    name: 'mirrormesh_gateway_refused_total',
    help: 'Requests answered 503 because of a limit',
    labelNames: ['reason'] as const,
    registers,
  })
  const scrape = createKeptScrape(readStatus, { render: () => registry.metrics(), clock })
  registerMeshMetrics(registry, scrape.readStatus, clock)
  if (readCare !== undefined) registerCareMetrics(registry, readCare)
  if (readRelayed !== undefined) registerRelayMetrics(registry, readRelayed)
  if (readProtocols !== undefined) registerProtocolMetrics(registry, readProtocols)
  if (readPaths !== undefined) registerPathMetrics(registry, readPaths)
  if (readPulled?.() !== undefined) registerPullMetrics(registry, readPulled)
  return {
    registry,
    text: scrape.text,
    requestDone(method, status, took) {
      requests.inc({
        method: method === 'GET' || method === 'HEAD' ? method : 'other',
        status: String(status),
      })
      seconds.inc(took)
    },
    bytesSent: (sent) => bytes.inc(sent),
    inFlight: (change) => open.inc(change),
    refused: (reason) => refusals.inc({ reason }),
    watchConnections(read) {
      new Gauge({
        name: 'mirrormesh_gateway_connections',
        help: 'Connections of clients that are open now',
        registers,
        collect() {
          this.set(read())
        },
      })
    },
  }
}

/** Counted elsewhere, and read when asked. */
function gaugesOf<T>(
  registry: Registry,
  readAll: () => T,
): (name: string, help: string, read: (all: T) => number) => void {
  return (name, help, read) => {
    new Gauge({
      name: `mirrormesh_${name}`,
      help,
      registers: [registry],
      collect() {
        this.set(read(readAll()))
      },
    })
  }
}

/** What is payload, and what is talk: blocks and index against who holds what, records and invites. */
function registerProtocolMetrics(registry: Registry, readProtocols: () => readonly ProtocolTraffic[]): void {
  const registers = [registry]
  const labelNames = ['protocol', 'direction'] as const
  new Gauge({
    name: 'mirrormesh_protocol_bytes',
    help: 'Bytes exchanged with peers since the start, by protocol and direction, before encryption',
    labelNames,
    registers,
    collect() {
      for (const { protocol, bytesSent, bytesReceived } of readProtocols()) {
        this.set({ protocol, direction: 'sent' }, bytesSent)
        this.set({ protocol, direction: 'received' }, bytesReceived)
      }
    },
  })
  new Gauge({
    name: 'mirrormesh_protocol_messages',
    help: 'The messages in which those bytes travelled',
    labelNames,
    registers,
    collect() {
      for (const { protocol, messagesSent, messagesReceived } of readProtocols()) {
        this.set({ protocol, direction: 'sent' }, messagesSent)
        this.set({ protocol, direction: 'received' }, messagesReceived)
      }
    },
  })
}

function registerRelayMetrics(registry: Registry, readRelayed: () => RelayCounts): void {
  const gauge = gaugesOf(registry, readRelayed)
  gauge('relayed_bytes', 'Bytes passed on between other members since the start', ({ bytes }) => bytes)
  gauge(
    'relayed_connections',
    'Connections of other members that lead through here',
    ({ circuits }) => circuits,
  )
  gauge(
    'relay_reservations',
    'Members that others may reach through here',
    ({ reservations }) => reservations,
  )
  gauge(
    'relay_held_bytes',
    'Bytes received for other members and not passed on yet',
    ({ heldBytes }) => heldBytes,
  )
}

function registerCareMetrics(registry: Registry, readCare: () => StoreCare): void {
  const gauge = gaugesOf(registry, readCare)
  gauge('store_blocks', 'Blocks in the store', (care) => care.blocks)
  gauge('store_pack_bytes', 'Bytes of pack files', (care) => care.packBytes)
  gauge('collections', 'Collections since the start', (care) => care.collections)
  gauge('collected_bytes', 'Bytes of blocks collected since the start', (care) => care.collectedBytes)
  gauge('freed_bytes', 'Bytes given back to the disk since the start', (care) => care.freedBytes)
  gauge('last_collection_timestamp_seconds', 'When a collection last ended; 0 for never', (care) =>
    seconds(care.lastCollectionMs),
  )
  gauge('scrubbed_bytes', 'Bytes read by scrubs since the start', (care) => care.scrubbedBytes)
  gauge(
    'scrub_damaged_blocks',
    'Damaged blocks found by scrubs since the start',
    (care) => care.damagedBlocks,
  )
  gauge('last_scrub_timestamp_seconds', 'When a scrub last went through; 0 for never', (care) =>
    seconds(care.lastScrubMs),
  )
}

function seconds(ms: number | undefined): number {
  return ms === undefined ? 0 : ms / 1000
}

/** What the gateway fetched from the mesh for its readers. */
function registerPullMetrics(registry: Registry, readPulled: () => PullUsage | undefined): void {
  const gauge = (name: string, help: string, read: (usage: PullUsage) => number): void => {
    new Gauge({
      name: `mirrormesh_gateway_pull_${name}`,
      help,
      registers: [registry],
      collect() {
        const usage = readPulled()
        if (usage !== undefined) this.set(read(usage))
      },
    })
  }
  gauge('cache_bytes', 'Blocks kept for readers, as they lie on the disk', ({ bytes }) => bytes)
  gauge('cache_quota_bytes', 'The most that is kept for readers', ({ quotaBytes }) => quotaBytes)
  gauge(
    'evicted_blocks',
    'Blocks that made room for others, since the start',
    ({ evictedBlocks }) => evictedBlocks,
  )
  gauge('fetched_blocks', 'Blocks fetched for readers, since the start', ({ fetchedBlocks }) => fetchedBlocks)
  gauge('fetched_bytes', 'Bytes of those', ({ fetchedBytes }) => fetchedBytes)
  gauge(
    'cached_blocks',
    'Blocks answered out of the cache, since the start',
    ({ cachedBlocks }) => cachedBlocks,
  )
  gauge(
    'failures',
    'Blocks that could not be fetched for readers, since the start',
    ({ failures }) => failures,
  )
}
