/**
 * What /metrics shows, in one registry of its own (no globals, so that two nodes in one process stay apart).
 * Rates are metrics, decisions are logs. Labels come from closed sets only: never a path, never a client.
 */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { StatusDocument } from '../../src/replica/status.ts'

export interface GatewayMetrics {
  readonly registry: Registry
  requestDone(method: string, status: number, seconds: number): void
  bytesSent(bytes: number): void
  inFlight(change: 1 | -1): void
}

export function createMetrics(readStatus: () => StatusDocument): GatewayMetrics {
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
  registerMeshMetrics(registry, readStatus)
  return {
    registry,
    requestDone(method, status, took) {
      requests.inc({
        method: method === 'GET' || method === 'HEAD' ? method : 'other',
        status: String(status),
      })
      seconds.inc(took)
    },
    bytesSent: (sent) => bytes.inc(sent),
    inFlight: (change) => open.inc(change),
  }
}

/** Read from the status document when asked, so that nothing is counted twice. */
function registerMeshMetrics(registry: Registry, readStatus: () => StatusDocument): void {
  const registers = [registry]
  new Gauge({
    name: 'mirrormesh_sites',
    help: 'Sites of the mesh by what this node knows of them',
    labelNames: ['state'] as const,
    registers,
    collect() {
      this.reset()
      for (const state of ['self', 'up', 'silent', 'never-seen'] as const) this.set({ state }, 0)
      for (const site of readStatus().sites) this.inc({ state: site.state })
    },
  })
  new Gauge({
    name: 'mirrormesh_replicas',
    help: 'Replicas (tree at a site) by state',
    labelNames: ['state'] as const,
    registers,
    collect() {
      this.reset()
      for (const state of ['complete', 'fetching', 'behind', 'unknown'] as const) this.set({ state }, 0)
      for (const tree of readStatus().trees) for (const site of tree.sites) this.inc({ state: site.state })
    },
  })
  new Gauge({
    name: 'mirrormesh_alarms',
    help: 'Problems that an operator must see',
    registers,
    collect() {
      this.set(readStatus().alarms.length)
    },
  })
  // Totals kept elsewhere since the start of the program: shown as gauges here, they only rise.
  new Gauge({
    name: 'mirrormesh_traffic_bytes',
    help: 'Bytes exchanged with peers since the start, by path class and direction',
    labelNames: ['class', 'direction'] as const,
    registers,
    collect() {
      for (const [name, { bytesSent, bytesReceived }] of Object.entries(readStatus().traffic.classes)) {
        this.set({ class: name, direction: 'sent' }, bytesSent)
        this.set({ class: name, direction: 'received' }, bytesReceived)
      }
    },
  })
  new Gauge({
    name: 'mirrormesh_traffic_plain_bytes',
    help: 'The same bytes, before blocks were compressed for the way',
    labelNames: ['class', 'direction'] as const,
    registers,
    collect() {
      const { classes } = readStatus().traffic
      for (const [name, { plainBytesSent, plainBytesReceived }] of Object.entries(classes)) {
        this.set({ class: name, direction: 'sent' }, plainBytesSent)
        this.set({ class: name, direction: 'received' }, plainBytesReceived)
      }
    },
  })
}
