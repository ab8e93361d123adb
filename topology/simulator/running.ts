/** Runs the schedulers: gives them events and pages, carries out what they command, wakes them. */
import type { SchedulerCommand, SchedulerEvent } from '../../src/replica/scheduler/types.ts'
import { isPaused, type Node, wants } from './node.ts'
import type { Serving } from './serving.ts'
import type { Telling } from './telling.ts'
import type { Give, World } from './world.ts'

export interface RunningParts {
  readonly telling: Pick<Telling, 'tell' | 'pageFull'>
  readonly serving: Pick<Serving, 'ask'>
}

/** @param parts asked for when they are needed: they give events themselves */
export function createRunning(world: World, parts: () => RunningParts): Give {
  const { queue, layout, counts, nodes } = world
  const { gatherMs = 0 } = world.simulation

  const isFetching = (node: Node): boolean => node.isAlive && node.isStarted && node.doneMs === undefined

  function give(node: Node, events: readonly SchedulerEvent[]): void {
    if (!isFetching(node)) return
    if (isPaused(node, queue)) {
      node.inbox.push(...events)
      return
    }
    if (gatherMs === 0) {
      take(node, events)
      return
    }
    for (const event of events) node.inbox.push(event)
    if (node.isGathering) return
    node.isGathering = true
    const { life } = node
    queue.after(gatherMs, () => {
      if (life !== node.life) return
      node.isGathering = false
      if (isPaused(node, queue)) return
      take(node, node.inbox.splice(0))
    })
  }

  function take(node: Node, events: readonly SchedulerEvent[]): void {
    if (!isFetching(node)) return
    carryOut(node, handle(node, events))
    while (node.doneMs === undefined && node.scheduler.wantsPages())
      carryOut(node, handle(node, [nextPage(node)]))
  }

  function handle(node: Node, events: readonly SchedulerEvent[]): SchedulerCommand[] {
    // Processor time: on a busy machine the clock would count what others do.
    const start = process.threadCpuUsage()
    const commands = node.scheduler.handle(events, queue.nowMs(), node.heldUpMs)
    const { user, system } = process.threadCpuUsage(start)
    counts.schedulerMs += (user + system) / 1000
    return commands
  }

  function nextPage(node: Node): SchedulerEvent {
    const page = node.nextPage++
    const lengths = layout.pages[page]
    if (lengths === undefined) return { kind: 'pages-end' }
    const has = lengths.map((_, offset) => node.held[layout.blockOf(page, offset)] === 1)
    return { kind: 'page', page, key: layout.keys[page]!, lengths, has }
  }

  function carryOut(node: Node, commands: readonly SchedulerCommand[]): void {
    const { telling, serving } = parts()
    for (const command of commands) {
      if (command.kind === 'request') {
        counts.requests++
        serving.ask(node, nodes.get(command.peer)!, command)
      } else if (command.kind === 'cancel') {
        counts.cancels++
        node.cancelledMs.set(command.request, queue.nowMs())
      } else if (command.kind === 'blame') node.blamed.push(command.peer)
      else if (command.kind === 'page-complete') telling.pageFull(node, command.page)
      else if (command.kind === 'complete') complete(node)
      else wakeAt(node, command.atMs)
    }
  }

  function complete(node: Node): void {
    node.doneMs = queue.nowMs()
    if (wants(node)) world.openSites--
    node.duplicateBlocks += node.scheduler.explain(node.doneMs).duplicateBlocks
    parts().telling.tell(node, [{ kind: 'complete' }])
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
        if (!isFetching(node)) return
        if (node.wakeMs > queue.nowMs()) wakeAt(node, node.wakeMs)
        else give(node, [{ kind: 'tick' }])
      },
    })
  }

  return give
}
