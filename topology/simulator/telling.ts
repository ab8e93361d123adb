/** How simulated sites tell each other what they hold: changes to all who watch, and all of it to one who begins to. */

import type { HoldingUpdate } from '../../src/net/ports.ts'
import { gatherMs } from '../../src/replica/holdings/holding-watcher.ts'
import type { SchedulerEvent } from '../../src/replica/scheduler/types.ts'
import { holdingOf, isPaused, type Node, store } from './node.ts'
import { type Give, oneWayMs, type World } from './world.ts'

export interface Telling {
  tell(from: Node, updates: readonly HoldingUpdate[]): void
  /** All that it holds, to one that watches it. */
  tellAll(from: Node, to: Node): void
  blockStored(node: Node, page: number, offset: number): void
  pageFull(node: Node, page: number): void
}

export function createTelling(world: World, give: Give): Telling {
  const { queue, layout, cuts, counts } = world
  const watchers = new Map<Node, readonly { readonly delayMs: number; readonly nodes: readonly Node[] }[]>()

  /** By distance: one event for all that hear of it at once. */
  function watchersOf(node: Node) {
    let groups = watchers.get(node)
    if (groups === undefined) {
      const hearing = node.peers.filter((other) => other.watches.has(node))
      groups = [...Map.groupBy(hearing, (other) => oneWayMs(world, node, other))].map(([delayMs, nodes]) => ({
        delayMs,
        nodes,
      }))
      watchers.set(node, groups)
    }
    return groups
  }

  function eventsOf(from: Node, updates: readonly HoldingUpdate[]): SchedulerEvent[] {
    return updates.map((update) => ({ kind: 'holding', peer: from.spec.site, update }))
  }

  function deliver(from: Node, to: Node, events: readonly SchedulerEvent[]): void {
    if (!to.isStarted || !to.isAlive || to.doneMs !== undefined || cuts.isCut(from, to)) return
    counts.announcements += events.length
    give(to, events)
  }

  function tell(from: Node, updates: readonly HoldingUpdate[]): void {
    const events = eventsOf(from, updates)
    for (const { delayMs, nodes } of watchersOf(from)) {
      queue.after(delayMs, () => {
        if (from.isAlive) for (const to of nodes) deliver(from, to, events)
      })
    }
  }

  /** The first news after a pause go out at once, what follows is gathered. */
  function announceSoon(node: Node): void {
    if (node.isAnnouncing) return
    node.isAnnouncing = true
    const { life } = node
    queue.at(node.announcedMs + gatherMs(queue.nowMs() - node.startedMs), {
      run() {
        if (life !== node.life) return
        if (isPaused(node, queue)) {
          queue.at(node.pausedUntilMs, this)
          return
        }
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

  return {
    tell,
    tellAll(from, to) {
      if (!to.watches.has(from)) return
      const events = eventsOf(from, holdingOf(from, layout))
      queue.after(oneWayMs(world, from, to), () => {
        if (from.isAlive) deliver(from, to, events)
      })
    },
    blockStored(node, page, offset) {
      store(node, layout, page, offset)
      const known = node.news.get(page)
      if (known === undefined) node.news.set(page, [offset])
      else known.push(offset)
      announceSoon(node)
    },
    pageFull(node, page) {
      node.news.delete(page)
      node.fullNews.push(page)
      announceSoon(node)
    },
  }
}
