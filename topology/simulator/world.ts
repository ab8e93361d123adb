/** What the parts of a simulation share. */
import type { SchedulerEvent } from '../../src/replica/scheduler-types.ts'
import type { Cuts } from './cuts.ts'
import type { EventQueue } from './event-queue.ts'
import type { SnapshotLayout } from './layout.ts'
import type { Node } from './node.ts'
import type { Pipes } from './pipes.ts'
import type { Simulation } from './simulation.ts'

export interface World {
  readonly simulation: Simulation
  readonly queue: EventQueue
  readonly layout: SnapshotLayout
  readonly pipes: Pipes
  readonly cuts: Cuts
  readonly nodes: ReadonlyMap<string, Node>
  /** Sites that are alive and not complete. */
  openSites: number
  readonly counts: { requests: number; cancels: number; announcements: number; schedulerMs: number }
}

export function oneWayMs({ pipes }: World, a: Node, b: Node): number {
  return pipes.rttMs(a.place, b.place) / 2
}

/** The events of a site, on their way to its scheduler. */
export type Give = (node: Node, events: readonly SchedulerEvent[]) => void
