/** What /metrics shows of the mesh: read from the status document when asked, so that nothing is counted twice. */
import { Gauge, type Registry } from 'prom-client'
import type { Clock } from '../../src/base/clock.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'

export function registerMeshMetrics(
  registry: Registry,
  readStatus: () => StatusDocument,
  clock: Clock,
): void {
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
    name: 'mirrormesh_delta_bytes',
    help: 'Deltas fetched since the start, and plain bytes of the blocks made of them',
    labelNames: ['what'] as const,
    registers,
    collect() {
      const { bytesReceived = 0, bytesMade = 0 } = readStatus().traffic.deltas ?? {}
      this.set({ what: 'fetched' }, bytesReceived)
      this.set({ what: 'made' }, bytesMade)
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
  new Gauge({
    name: 'mirrormesh_info',
    help: 'This node: always 1',
    labelNames: ['site', 'region', 'version'] as const,
    registers,
    collect() {
      const { self } = readStatus()
      this.reset()
      this.set({ site: self.site, region: self.region, version: self.version }, 1)
    },
  })
  new Gauge({
    name: 'mirrormesh_own_replicas',
    help: 'Replicas of this site by state; failing: its last try failed; paused: an operator holds its fetch back',
    labelNames: ['state'] as const,
    registers,
    collect() {
      this.reset()
      const states = ['complete', 'fetching', 'behind', 'unknown', 'failing', 'paused'] as const
      for (const state of states) this.set({ state }, 0)
      const { trees, self } = readStatus()
      for (const { sites } of trees) {
        const own = sites.find(({ site }) => site === self.site)
        if (own === undefined) continue
        this.inc({ state: own.state })
        if (own.hasFailed === true) this.inc({ state: 'failing' })
        if (own.pause !== undefined) this.inc({ state: 'paused' })
      }
    },
  })
  new Gauge({
    name: 'mirrormesh_lag_seconds',
    help: 'Since the oldest head was published that is not complete and not paused: at this site, and at the worst of all',
    labelNames: ['where'] as const,
    registers,
    collect() {
      const { trees, self } = readStatus()
      const lags = trees.flatMap(({ sites }) =>
        sites.flatMap(({ site, lag, pause }) =>
          lag === undefined || pause !== undefined
            ? []
            : [{ site, seconds: Math.max(0, (clock.nowMs() - lag.sinceMs) / 1000) }],
        ),
      )
      const worst = (found: typeof lags): number =>
        found.reduce((most, { seconds }) => Math.max(most, seconds), 0)
      this.set({ where: 'here' }, worst(lags.filter(({ site }) => site === self.site)))
      this.set({ where: 'anywhere' }, worst(lags))
    },
  })
  new Gauge({
    name: 'mirrormesh_store_free_bytes',
    help: 'Bytes left on the disk of the store; absent where it cannot be told',
    registers,
    collect() {
      const free = readStatus().sites.find(({ state }) => state === 'self')?.freeBytes
      if (typeof free === 'number') this.set(free)
      else this.remove()
    },
  })
}
