/**
 * The swarm under a virtual clock: the scheduler that the daemon runs, one for each site, over modelled links. Nothing
 * here decides what is fetched from whom: that is the scheduler's, and is what gets tested and measured.
 *
 * Not modelled: packets, losses, jitter, slow starts, disks, processors. Blocks are taken to be stored at once.
 */
import type { HoldingUpdate } from '../../src/net/ports.ts'
import type { SchedulerCommand, SchedulerEvent } from '../../src/replica/scheduler-types.ts'
import { NO_TOPOLOGY } from '../../src/topology/topology.ts'
import { createCuts } from './cuts.ts'
import { createEventQueue } from './event-queue.ts'
import { layOut } from './layout.ts'
import {
  createSimulatedNode,
  handle,
  holdingOf,
  holdShare,
  type Node,
  newScheduler,
  type SchedulerTime,
  store,
  wants,
} from './node.ts'
import { connectAll } from './peers.ts'
import { createPipes } from './pipes.ts'
import { createServing } from './serving.ts'
import type { SimulatedEvent, Simulation, SimulationResult } from './simulation.ts'

/** As the daemon gathers what it holds. */
const ANNOUNCE_MS = 20
/** A connection over a cut path is given up after this time, and made again this soon after the path is mended. */
const DISCONNECT_MS = 15_000
const RECONNECT_MS = 1000

export function simulate(simulation: Simulation): SimulationResult {
  const queue = createEventQueue()
  const layout = layOut(simulation.pages)
  const topology = simulation.topology ?? NO_TOPOLOGY
  const pipes = createPipes(topology, {
    wanBytesPerSecond: simulation.wanBytesPerSecond ?? Number.POSITIVE_INFINITY,
    lanBytesPerSecond: simulation.lanBytesPerSecond,
    wanRttMs: simulation.wanRttMs,
    lanRttMs: simulation.lanRttMs ?? 1,
  })
  const cuts = createCuts()
  const nodes = new Map(
    simulation.sites.map((spec) => [spec.site, createSimulatedNode(spec, layout, simulation)]),
  )
  const all = [...nodes.values()]
  const { maxFarPeers = 78, maxFarWatches = 24, gatherMs = 0 } = simulation
  connectAll(all, topology, { maxFarPeers, maxFarWatches })
  const watchers = new Map<Node, { delayMs: number; nodes: Node[] }[]>()
  const counts = { requests: 0, cancels: 0, announcements: 0 }
  const time: SchedulerTime = { ms: 0 }
  const serving = createServing({ queue, pipes, layout, cuts }, simulation, { give, onBlock })
  let openSites = 0

  function watchersOf(node: Node): { delayMs: number; nodes: Node[] }[] {
    let groups = watchers.get(node)
    if (groups === undefined) {
      const byDelay = new Map<number, Node[]>()
      for (const other of node.peers) {
        if (!other.watches.has(node)) continue
        const delayMs = serving.oneWayMs(node, other)
        const known = byDelay.get(delayMs)
        if (known === undefined) byDelay.set(delayMs, [other])
        else known.push(other)
      }
      groups = [...byDelay].map(([delayMs, group]) => ({ delayMs, nodes: group }))
      watchers.set(node, groups)
    }
    return groups
  }

  function tell(from: Node, updates: readonly HoldingUpdate[]): void {
    const events = updates.map(
      (update): SchedulerEvent => ({ kind: 'holding', peer: from.spec.site, update }),
    )
    for (const { delayMs, nodes: group } of watchersOf(from)) {
      queue.after(delayMs, () => {
        if (!from.isAlive) return
        for (const to of group) {
          if (!to.isStarted || !to.isAlive || to.doneMs !== undefined || cuts.isCut(from, to)) continue
          counts.announcements += events.length
          give(to, events)
        }
      })
    }
  }

  function tellAll(from: Node, to: Node): void {
    if (!to.watches.has(from)) return
    const events = holdingOf(from, layout).map(
      (update): SchedulerEvent => ({ kind: 'holding', peer: from.spec.site, update }),
    )
    queue.after(serving.oneWayMs(from, to), () => {
      if (!from.isAlive || !to.isStarted || cuts.isCut(from, to)) return
      counts.announcements += events.length
      give(to, events)
    })
  }

  function peerEvent(peer: Node, isConnected: boolean): SchedulerEvent {
    return { kind: 'peer', peer: peer.spec.site, place: peer.place, wants: wants(peer), isConnected }
  }

  function start(node: Node): void {
    if (!node.isAlive || node.isStarted) return
    node.isStarted = true
    node.isMember = true
    if (node.life === 0) holdShare(node, layout, node.spec.holdsPercent ?? 0)
    tell(node, holdingOf(node, layout))
    const events: SchedulerEvent[] = []
    for (const other of node.peers) {
      if (!other.isAlive || !other.isMember || cuts.isCut(node, other)) continue
      events.push(peerEvent(other, true))
      tellAll(other, node)
    }
    give(node, events)
  }

  /** A site that nobody knew, or that was gone, is there. */
  function appear(node: Node): void {
    node.isMember = true
    for (const other of node.peers)
      if (other.isAlive && other.isStarted && !cuts.isCut(node, other)) give(other, [peerEvent(node, true)])
    start(node)
  }

  function give(node: Node, events: readonly SchedulerEvent[]): void {
    if (!node.isAlive || !node.isStarted || node.doneMs !== undefined) return
    if (gatherMs === 0) {
      process(node, events)
      return
    }
    for (const event of events) node.inbox.push(event)
    if (node.isGathering) return
    node.isGathering = true
    const { life } = node
    queue.after(gatherMs, () => {
      if (life !== node.life) return
      node.isGathering = false
      process(node, node.inbox.splice(0))
    })
  }

  function process(node: Node, events: readonly SchedulerEvent[]): void {
    if (!node.isAlive || node.doneMs !== undefined) return
    run(node, handle(node, events, queue.nowMs(), time))
    while (node.doneMs === undefined && node.scheduler.wantsPages()) {
      const page = node.nextPage++
      const lengths = layout.pages[page]
      const event: SchedulerEvent =
        lengths === undefined
          ? { kind: 'pages-end' }
          : {
              kind: 'page',
              page,
              key: layout.keys[page]!,
              lengths,
              has: lengths.map((_, offset) => node.held[layout.blockOf(page, offset)] === 1),
            }
      run(node, handle(node, [event], queue.nowMs(), time))
    }
  }

  function run(node: Node, commands: readonly SchedulerCommand[]): void {
    for (const command of commands) {
      if (command.kind === 'request') {
        counts.requests++
        serving.ask(node, nodes.get(command.peer)!, command)
      } else if (command.kind === 'cancel') {
        counts.cancels++
        node.cancelledMs.set(command.request, queue.nowMs())
      } else if (command.kind === 'blame') node.blamed.push(command.peer)
      else if (command.kind === 'page-complete') {
        node.news.delete(command.page)
        node.fullNews.push(command.page)
        announceSoon(node)
      } else if (command.kind === 'complete') {
        node.doneMs = queue.nowMs()
        openSites--
        node.duplicateBlocks += node.scheduler.explain(node.doneMs).duplicateBlocks
        tell(node, [{ kind: 'complete' }])
      } else if (command.kind === 'wake') wakeAt(node, command.atMs)
    }
  }

  /** One timer a site: one that rings too early is set again. */
  function wakeAt(node: Node, atMs: number): void {
    node.wakeMs = atMs
    if (node.timerMs <= atMs) return
    node.timerMs = atMs
    const { life } = node
    queue.at(atMs, {
      run() {
        if (life !== node.life || node.timerMs !== atMs) return
        node.timerMs = Number.POSITIVE_INFINITY
        if (!node.isAlive || node.doneMs !== undefined) return
        if (node.wakeMs > queue.nowMs()) wakeAt(node, node.wakeMs)
        else give(node, [{ kind: 'tick' }])
      },
    })
  }

  function onBlock(node: Node, page: number, offset: number): void {
    store(node, layout, page, offset)
    const known = node.news.get(page)
    if (known === undefined) node.news.set(page, [offset])
    else known.push(offset)
    announceSoon(node)
  }

  /** The first news after a pause go out at once, what follows is gathered. */
  function announceSoon(node: Node): void {
    if (node.isAnnouncing) return
    node.isAnnouncing = true
    const { life } = node
    queue.at(node.announcedMs + ANNOUNCE_MS, {
      run() {
        if (life !== node.life) return
        node.isAnnouncing = false
        node.announcedMs = queue.nowMs()
        if (!node.isAlive || node.doneMs !== undefined) return
        const updates: HoldingUpdate[] = []
        if (node.fullNews.length > 0) updates.push({ kind: 'pages', full: node.fullNews.splice(0) })
        for (const [page, offsets] of node.news) updates.push({ kind: 'blocks', page, offsets })
        node.news.clear()
        if (updates.length > 0) tell(node, updates)
      },
    })
  }

  function kill(node: Node): void {
    if (!node.isAlive) return
    node.isAlive = false
    if (node.doneMs === undefined && wants(node)) openSites--
    serving.close(node)
    for (const other of node.peers)
      if (other.isStarted) give(other, [{ kind: 'peer-left', peer: node.spec.site }])
  }

  /** It has what it had stored, and nothing else. */
  function restart(node: Node): void {
    if (node.isAlive) return
    node.isAlive = true
    node.isStarted = false
    node.life++
    node.duplicateBlocks +=
      node.doneMs === undefined ? node.scheduler.explain(queue.nowMs()).duplicateBlocks : 0
    node.scheduler = newScheduler(node.spec, layout, simulation)
    node.nextPage = 0
    node.wakeMs = Number.POSITIVE_INFINITY
    node.timerMs = Number.POSITIVE_INFINITY
    node.isAnnouncing = false
    node.isGathering = false
    node.inbox.length = 0
    node.fullNews.length = 0
    node.news.clear()
    node.cancelledMs.clear()
    if (node.doneMs === undefined && wants(node)) openSites++
    appear(node)
  }

  /** Pairs whose paths are cut, with what was done about it. */
  function eachPair(visit: (a: Node, b: Node) => void): void {
    for (const node of all) for (const other of node.peers) visit(node, other)
  }

  const broken = new Set<string>()
  const pairKey = (a: Node, b: Node): string => `${a.spec.site} ${b.spec.site}`

  function afterCut(): void {
    serving.refreshCuts()
    queue.after(DISCONNECT_MS, () =>
      eachPair((node, other) => {
        if (!cuts.isCut(node, other) || broken.has(pairKey(node, other)) || !node.isAlive) return
        broken.add(pairKey(node, other))
        serving.breakFlow(other, node)
        if (node.isStarted) give(node, [peerEvent(other, false)])
      }),
    )
  }

  function afterHeal(): void {
    queue.after(RECONNECT_MS, () => {
      serving.refreshCuts()
      eachPair((node, other) => {
        if (cuts.isCut(node, other) || !node.isAlive || !other.isAlive || !node.isStarted || !other.isMember)
          return
        if (broken.delete(pairKey(node, other))) give(node, [peerEvent(other, true)])
        tellAll(other, node)
      })
    })
  }

  function happen(event: SimulatedEvent): void {
    if (event.kind === 'cut') {
      cuts.cut(event.between)
      afterCut()
    } else if (event.kind === 'heal') {
      cuts.heal(event.between)
      afterHeal()
    } else if (event.kind === 'rate') serving.setRates(nodes.get(event.site)!, event)
    else if (event.kind === 'kill') kill(nodes.get(event.site)!)
    else restart(nodes.get(event.site)!)
  }

  for (const node of all) {
    const { joinsMs, startsMs, diesMs } = node.spec
    if (!wants(node)) node.isStarted = true
    else {
      openSites++
      if (joinsMs !== undefined) queue.after(joinsMs, () => appear(node))
      else queue.after(startsMs ?? 0, () => start(node))
    }
    if (diesMs !== undefined) queue.after(diesMs, () => kill(node))
  }
  for (const event of simulation.events ?? []) queue.after(event.atMs, () => happen(event))

  let second = 1
  while (openSites > 0 && queue.runNext(simulation.limitMs)) {
    if (simulation.onSecond === undefined || queue.nowMs() < second * 1000) continue
    simulation.onSecond(queue.nowMs(), all.filter((node) => wants(node) && node.doneMs !== undefined).length)
    second = Math.floor(queue.nowMs() / 1000) + 1
  }

  const [wanBytesInto, wanBytesOutOf] = [new Map<string, number>(), new Map<string, number>()]
  for (const { place } of all) {
    wanBytesInto.set(place.region, serving.wanBytes.into.get(place.region) ?? 0)
    wanBytesOutOf.set(place.region, serving.wanBytes.outOf.get(place.region) ?? 0)
  }
  const origins = all.filter((node) => !wants(node))
  return {
    snapshotBytes: layout.bytes,
    blocks: layout.blocks,
    sites: nodes,
    wanBytesInto,
    wanBytesOutOf,
    originBytesSent: origins.reduce((sum, node) => sum + node.bytesSent, 0),
    ...serving.originBlocks(),
    ...counts,
    endedMs: queue.nowMs(),
    schedulerSeconds: time.ms / 1000,
  }
}
