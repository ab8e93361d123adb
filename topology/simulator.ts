/**
 * The swarm under a virtual clock: the scheduler that the daemon runs, one for each site, over modelled links. A link
 * is a first-in first-out pipe with a rate; a region has one to the WAN and one from it, a site one each on its LAN.
 * Nothing here decides what is fetched from whom: that is the scheduler's, and is what gets tested and measured.
 */
import { VirtualClock } from '../src/base/virtual-clock.ts'
import { blake3 } from '../src/block/hash.ts'
import type { HoldingUpdate } from '../src/net/ports.ts'
import type { Scheduler } from '../src/replica/scheduler.ts'
import { createScheduler } from '../src/replica/scheduler.ts'
import type { SchedulerCommand, SchedulerEvent } from '../src/replica/scheduler-types.ts'

export interface SimulatedSite {
  readonly site: string
  readonly region: string
  /** When it learns of the snapshot; 0 by default. */
  readonly startsMs?: number
  readonly diesMs?: number
  /** It holds everything from the start. */
  readonly isOrigin?: boolean
  /** What it serves: `honest`, bytes that do not match, or nothing at all. */
  readonly serves?: 'honest' | 'wrong' | 'nothing'
  /** Own bound on what it takes over the WAN. */
  readonly wanBytesPerSecond?: number
  /** Share of the blocks that it holds from the start, by block number modulo 100. */
  readonly holdsPercent?: number
}

export interface Simulation {
  readonly sites: readonly SimulatedSite[]
  /** Block lengths by page. */
  readonly pages: readonly (readonly number[])[]
  /** Of each region's pipe, in each direction. */
  readonly wanBytesPerSecond: number
  readonly lanBytesPerSecond: number
  readonly wanRttMs: number
  readonly limitMs: number
}

export interface SiteResult {
  readonly doneMs: number | undefined
  readonly bytesFrom: ReadonlyMap<string, number>
  readonly wanBytes: number
  readonly duplicateBlocks: number
  /** Bytes that it gave to others before it was complete. */
  readonly bytesSentBeforeComplete: number
  readonly bytesSent: number
  readonly blamed: readonly string[]
}

export interface SimulationResult {
  readonly snapshotBytes: number
  readonly blocks: number
  readonly sites: ReadonlyMap<string, SiteResult>
  readonly wanBytesInto: ReadonlyMap<string, number>
  readonly originBlocksSent: number
  readonly originBlocksSentMoreThanOnce: number
  readonly requests: number
}

const ANNOUNCE_MS = 25
const LAN_RTT_MS = 1

interface Node {
  readonly spec: SimulatedSite
  readonly scheduler: Scheduler
  readonly held: Set<string>
  readonly full: Set<number>
  /** Blocks to announce with the next update. */
  readonly news: Map<number, number[]>
  readonly cancelled: Set<number>
  readonly bytesFrom: Map<string, number>
  readonly sentOf: Map<string, number>
  readonly blamed: string[]
  isAlive: boolean
  isStarted: boolean
  isAnnouncing: boolean
  nextPage: number
  wakeMs: number
  doneMs: number | undefined
  duplicateBlocks: number
  wanBytes: number
  bytesSent: number
  bytesSentBeforeComplete: number
}

export function simulate(simulation: Simulation): SimulationResult {
  const clock = new VirtualClock(0)
  const { pages, wanRttMs } = simulation
  const snapshotBytes = pages.flat().reduce((sum, length) => sum + length, 0)
  const keys = pages.map((_, page) => blake3.digest(new TextEncoder().encode(`page ${page}`)))
  const freeMs = new Map<string, number>()
  const nodes = new Map(simulation.sites.map((spec) => [spec.site, createNode(spec)]))
  let requests = 0

  function createNode(spec: SimulatedSite): Node {
    return {
      spec,
      scheduler: createScheduler({ self: { site: spec.site, region: spec.region }, snapshotBytes }),
      held: new Set(),
      full: new Set(),
      news: new Map(),
      cancelled: new Set(),
      bytesFrom: new Map(),
      sentOf: new Map(),
      blamed: [],
      isAlive: true,
      isStarted: false,
      isAnnouncing: false,
      nextPage: 0,
      wakeMs: Number.POSITIVE_INFINITY,
      doneMs: spec.isOrigin === true ? 0 : undefined,
      duplicateBlocks: 0,
      wanBytes: 0,
      bytesSent: 0,
      bytesSentBeforeComplete: 0,
    }
  }

  const isFar = (a: Node, b: Node): boolean => a.spec.region !== b.spec.region
  const oneWayMs = (a: Node, b: Node): number => (isFar(a, b) ? wanRttMs : LAN_RTT_MS) / 2
  const wants = (node: Node): boolean => node.spec.isOrigin !== true

  /** When the last byte has passed all pipes between two sites. */
  function transfer(from: Node, to: Node, bytes: number): number {
    const rates: [pipe: string, rate: number][] = isFar(from, to)
      ? [
          [`up ${from.spec.region}`, simulation.wanBytesPerSecond],
          [`down ${to.spec.region}`, simulation.wanBytesPerSecond],
          ...(to.spec.wanBytesPerSecond === undefined
            ? []
            : [[`site ${to.spec.site}`, to.spec.wanBytesPerSecond] as [string, number]]),
        ]
      : [
          [`lan up ${from.spec.site}`, simulation.lanBytesPerSecond],
          [`lan down ${to.spec.site}`, simulation.lanBytesPerSecond],
        ]
    let atMs = clock.monotonicMs()
    for (const [pipe, rate] of rates) {
      const startMs = Math.max(atMs - (1000 * bytes) / rate, freeMs.get(pipe) ?? 0)
      const endMs = Math.max(atMs, startMs + (1000 * bytes) / rate)
      freeMs.set(pipe, endMs)
      atMs = endMs
    }
    return atMs + oneWayMs(from, to)
  }

  function holdingOf(node: Node): HoldingUpdate[] {
    if (node.spec.isOrigin === true || node.doneMs !== undefined) return [{ kind: 'complete' }]
    if (!node.isStarted) return [{ kind: 'unknown' }]
    const blocks = new Map<number, number[]>()
    for (const key of node.held) {
      const [page, offset] = key.split(' ').map(Number) as [number, number]
      blocks.set(page, [...(blocks.get(page) ?? []), offset])
    }
    return [...blocks].map(([page, offsets]) => ({ kind: 'blocks', page, offsets }))
  }

  function tell(from: Node, update: HoldingUpdate): void {
    for (const to of nodes.values()) if (to !== from) tellOne(from, to, update)
  }

  function tellOne(from: Node, to: Node, update: HoldingUpdate): void {
    clock.after(oneWayMs(from, to), () => {
      if (from.isAlive && to.isStarted) give(to, [{ kind: 'holding', peer: from.spec.site, update }])
    })
  }

  function start(node: Node): void {
    node.isStarted = true
    const percent = node.spec.holdsPercent ?? 0
    let number = 0
    for (const [page, lengths] of pages.entries())
      for (const offset of lengths.keys()) if (number++ % 100 < percent) node.held.add(`${page} ${offset}`)
    for (const update of holdingOf(node)) tell(node, update)
    const events: SchedulerEvent[] = []
    for (const other of nodes.values()) {
      if (other === node || !other.isAlive) continue
      const { site, region } = other.spec
      events.push({
        kind: 'peer',
        peer: site,
        place: { site, region },
        wants: wants(other),
        isConnected: true,
      })
      for (const update of holdingOf(other)) tellOne(other, node, update)
    }
    give(node, events)
  }

  function give(node: Node, events: readonly SchedulerEvent[]): void {
    if (!node.isAlive || node.doneMs !== undefined) return
    run(node, node.scheduler.handle(events, clock.monotonicMs()))
    while (node.doneMs === undefined && node.scheduler.wantsPages()) {
      const page = node.nextPage++
      const lengths = pages[page]
      const event: SchedulerEvent =
        lengths === undefined
          ? { kind: 'pages-end' }
          : {
              kind: 'page',
              page,
              key: keys[page]!,
              lengths,
              has: lengths.map((_, offset) => node.held.has(`${page} ${offset}`)),
            }
      run(node, node.scheduler.handle([event], clock.monotonicMs()))
    }
  }

  function run(node: Node, commands: readonly SchedulerCommand[]): void {
    for (const command of commands) {
      if (command.kind === 'request') ask(node, command)
      else if (command.kind === 'cancel') node.cancelled.add(command.request)
      else if (command.kind === 'blame') node.blamed.push(command.peer)
      else if (command.kind === 'page-complete') node.full.add(command.page)
      else if (command.kind === 'complete') {
        node.doneMs = clock.monotonicMs()
        node.duplicateBlocks = node.scheduler.explain(clock.monotonicMs()).duplicateBlocks
        tell(node, { kind: 'complete' })
      } else if (command.kind === 'wake' && command.atMs < node.wakeMs) {
        node.wakeMs = command.atMs
        clock.after(command.atMs - clock.monotonicMs(), () => {
          node.wakeMs = Number.POSITIVE_INFINITY
          give(node, [{ kind: 'tick' }])
        })
      }
    }
  }

  function ask(node: Node, command: Extract<SchedulerCommand, { kind: 'request' }>): void {
    requests++
    const source = nodes.get(command.peer)!
    clock.after(oneWayMs(source, node), () => {
      for (const offset of command.offsets) serve(node, source, command.request, command.page, offset)
    })
  }

  function serve(node: Node, source: Node, request: number, page: number, offset: number): void {
    if (!source.isAlive || source.spec.serves === 'nothing' || node.cancelled.has(request)) return
    const key = `${page} ${offset}`
    const bytes = pages[page]![offset]!
    const has = source.doneMs !== undefined || source.held.has(key)
    const atMs = has ? transfer(source, node, bytes) : clock.monotonicMs() + oneWayMs(source, node)
    if (has) {
      source.sentOf.set(key, (source.sentOf.get(key) ?? 0) + 1)
      source.bytesSent += bytes
      if (source.doneMs === undefined) source.bytesSentBeforeComplete += bytes
    }
    clock.after(atMs - clock.monotonicMs(), () => {
      if (!node.isAlive || !source.isAlive || node.cancelled.has(request)) return
      if (!has || source.spec.serves === 'wrong') {
        const reason = has ? 'corrupt' : 'missing'
        give(node, [{ kind: 'failed', request, page, offset, reason }])
        return
      }
      node.bytesFrom.set(source.spec.site, (node.bytesFrom.get(source.spec.site) ?? 0) + bytes)
      if (isFar(source, node)) node.wanBytes += bytes
      node.held.add(key)
      node.news.set(page, [...(node.news.get(page) ?? []), offset])
      announceSoon(node)
      give(node, [{ kind: 'received', request, page, offset }])
    })
  }

  function announceSoon(node: Node): void {
    if (node.isAnnouncing) return
    node.isAnnouncing = true
    clock.after(ANNOUNCE_MS, () => {
      node.isAnnouncing = false
      if (!node.isAlive) return
      for (const [page, offsets] of node.news) tell(node, { kind: 'blocks', page, offsets })
      node.news.clear()
    })
  }

  for (const node of nodes.values()) {
    if (wants(node)) clock.after(node.spec.startsMs ?? 0, () => start(node))
    if (node.spec.diesMs === undefined) continue
    clock.after(node.spec.diesMs, () => {
      node.isAlive = false
      for (const other of nodes.values())
        if (other !== node && other.isStarted) give(other, [{ kind: 'peer-left', peer: node.spec.site }])
    })
  }
  for (let nextMs = clock.nextMs(); nextMs !== undefined; nextMs = clock.nextMs()) {
    const isOver = [...nodes.values()].every((node) => !node.isAlive || node.doneMs !== undefined)
    if (isOver || nextMs > simulation.limitMs) break
    clock.advanceTo(nextMs)
  }

  const origin = [...nodes.values()].find(({ spec }) => spec.isOrigin === true)
  const sent = [...(origin?.sentOf.values() ?? [])]
  const wanBytesInto = new Map<string, number>()
  for (const { spec, wanBytes } of nodes.values())
    wanBytesInto.set(spec.region, (wanBytesInto.get(spec.region) ?? 0) + wanBytes)
  return {
    snapshotBytes,
    blocks: pages.flat().length,
    sites: new Map([...nodes].map(([site, node]) => [site, node])),
    wanBytesInto,
    originBlocksSent: sent.length,
    originBlocksSentMoreThanOnce: sent.filter((times) => times > 1).length,
    requests,
  }
}
