/** What the parts of a simulation share. */
import type { SchedulerEvent } from '../../src/replica/scheduler/types.ts'
import type { Cuts } from './cuts.ts'
import type { EventQueue } from './event-queue.ts'
import type { SnapshotLayout } from './layout.ts'
import type { Node } from './node.ts'
import type { Pipe, Pipes } from './pipes.ts'
import type { Processors } from './processors.ts'
import type { Relays } from './relays.ts'
import type { Simulation } from './simulation.ts'

export interface World {
  readonly simulation: Simulation
  readonly queue: EventQueue
  readonly layout: SnapshotLayout
  readonly pipes: Pipes
  readonly cuts: Cuts
  readonly relays: Relays
  readonly processors: Processors | undefined
  readonly nodes: ReadonlyMap<string, Node>
  /** Sites that are alive and not complete. */
  openSites: number
  readonly counts: { requests: number; cancels: number; announcements: number; schedulerMs: number }
}

export function oneWayMs({ pipes, relays }: World, a: Node, b: Node): number {
  const relay = relays.between(a, b)
  if (relay === undefined) return pipes.rttMs(a.place, b.place) / 2
  return (pipes.rttMs(a.place, relay.place) + pipes.rttMs(relay.place, b.place)) / 2
}

/** In the order in which bytes pass them. */
export function routeOf({ pipes, relays }: World, from: Node, to: Node): readonly Pipe[] {
  const relay = relays.between(from, to)
  if (relay === undefined) return pipes.route(from.place, to.place)
  return [...pipes.route(from.place, relay.place), ...pipes.route(relay.place, to.place)]
}

/** The events of a site, on their way to its scheduler. */
export type Give = (node: Node, events: readonly SchedulerEvent[]) => void
