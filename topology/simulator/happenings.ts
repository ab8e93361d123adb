/** What happens to simulated sites and to the network: starts, kills, restarts, cuts, heals, other rates. */
import type { SchedulerEvent } from '../../src/replica/scheduler/types.ts'
import { holdingOf, holdShare, isPaused, type Node, newScheduler, wants } from './node.ts'
import type { Serving } from './serving.ts'
import type { SimulatedEvent } from './simulation.ts'
import type { Telling } from './telling.ts'
import type { Give, World } from './world.ts'

/** A connection over a cut path is given up after this time, and made again this soon after the path is mended. */
const DISCONNECT_MS = 15_000
const RECONNECT_MS = 1000

export interface Happenings {
  /** Sets everything that the simulation says to happen. */
  plan(): void
}

export function createHappenings(world: World, give: Give, telling: Telling, serving: Serving): Happenings {
  const { queue, layout, cuts, nodes, relays, simulation } = world
  const all = [...nodes.values()]
  /** Pairs whose connection was given up. */
  const broken = new Set<string>()

  function peerEvent(peer: Node, isConnected: boolean): SchedulerEvent {
    return { kind: 'peer', peer: peer.spec.site, place: peer.place, wants: wants(peer), isConnected }
  }

  function start(node: Node): void {
    if (!node.isAlive || node.isStarted) return
    node.isStarted = true
    node.startedMs = queue.nowMs()
    node.isMember = true
    if (node.life === 0) holdShare(node, layout, node.spec.holdsPercent ?? 0)
    telling.tell(node, holdingOf(node, layout))
    const events: SchedulerEvent[] = []
    for (const other of node.peers) {
      if (!other.isAlive || !other.isMember || cuts.isCut(node, other)) continue
      events.push(peerEvent(other, true))
      telling.tellAll(other, node)
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

  function kill(node: Node): void {
    if (!node.isAlive) return
    node.isAlive = false
    if (node.doneMs === undefined && wants(node)) world.openSites--
    serving.close(node)
    for (const other of node.peers)
      if (other.isStarted) give(other, [{ kind: 'peer-left', peer: node.spec.site }])
    for (const [a, b] of relays.pairsOf(node)) loseRelay(a, b)
  }

  /** Both ends see the connection go, and meet at another relay, if there is one. */
  function loseRelay(a: Node, b: Node): void {
    serving.breakFlow(a, b)
    serving.breakFlow(b, a)
    give(a, [peerEvent(b, false)])
    give(b, [peerEvent(a, false)])
    const relay = relays.replace(a, b)
    if (relay === undefined) return
    queue.after(RECONNECT_MS, () => {
      for (const [one, other] of [
        [a, b],
        [b, a],
      ] as const) {
        if (!one.isAlive || !other.isAlive || !other.isMember || relays.between(one, other) !== relay)
          continue
        give(one, [peerEvent(other, true)])
        telling.tellAll(other, one)
      }
    })
  }

  /** It has what it had stored, and nothing else. */
  function restart(node: Node): void {
    if (node.isAlive) return
    const isDone = node.doneMs !== undefined
    if (!isDone) node.duplicateBlocks += node.scheduler.explain(queue.nowMs()).duplicateBlocks
    node.isAlive = true
    node.isStarted = isDone
    node.life++
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
    if (!isDone && wants(node)) world.openSites++
    appear(node)
    if (isDone) telling.tell(node, holdingOf(node, layout))
  }

  /** Its timers ring late, and what came in meanwhile is looked at afterwards. */
  function pause(node: Node, forMs: number): void {
    const { life } = node
    if (!isPaused(node, queue)) node.pausedSinceMs = queue.nowMs()
    node.pausedUntilMs = Math.max(node.pausedUntilMs, queue.nowMs() + forMs)
    queue.at(node.pausedUntilMs, {
      run() {
        if (!node.isAlive || node.life !== life || isPaused(node, queue)) return
        if (simulation.hidesPauses !== true) node.heldUpMs += queue.nowMs() - node.pausedSinceMs
        serving.resume(node)
        const waiting = node.inbox.splice(0)
        give(node, [{ kind: 'tick' }])
        give(node, waiting)
      },
    })
  }

  function eachPair(visit: (a: Node, b: Node) => void): void {
    for (const node of all) for (const other of node.peers) visit(node, other)
  }

  function afterCut(): void {
    serving.refreshCuts()
    queue.after(DISCONNECT_MS, () =>
      eachPair((node, other) => {
        if (!cuts.isCut(node, other) || broken.has(pairKey(node, other)) || !node.isAlive) return
        broken.add(pairKey(node, other))
        serving.breakFlow(other, node)
        give(node, [peerEvent(other, false)])
      }),
    )
  }

  function afterHeal(): void {
    queue.after(RECONNECT_MS, () => {
      serving.refreshCuts()
      eachPair((node, other) => {
        if (cuts.isCut(node, other) || !node.isAlive || !other.isAlive || !other.isMember) return
        if (broken.delete(pairKey(node, other))) give(node, [peerEvent(other, true)])
        telling.tellAll(other, node)
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
    else if (event.kind === 'pause') pause(nodes.get(event.site)!, event.forMs)
    else if (event.kind === 'kill') kill(nodes.get(event.site)!)
    else if (event.kind === 'restart') restart(nodes.get(event.site)!)
    else nodes.get(event.site)!.serves = event.kind === 'lie' ? 'wrong' : 'nothing'
  }

  return {
    plan() {
      for (const node of all) {
        const { joinsMs, startsMs, diesMs } = node.spec
        if (!wants(node)) node.isStarted = true
        else {
          world.openSites++
          if (joinsMs !== undefined) queue.after(joinsMs, () => appear(node))
          else queue.after(startsMs ?? 0, () => start(node))
        }
        if (diesMs !== undefined) queue.after(diesMs, () => kill(node))
      }
      for (const event of simulation.events ?? []) queue.after(event.atMs, () => happen(event))
    },
  }
}

function pairKey(a: Node, b: Node): string {
  return `${a.spec.site} ${b.spec.site}`
}
