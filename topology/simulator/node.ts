/** One site of a simulation: its scheduler, what it holds, and what it counts. */
import type { HoldingUpdate } from '../../src/net/ports.ts'
import { ranks, swarmWeights } from '../../src/replica/fetch/swarm-facts.ts'
import { createScheduler, type Scheduler } from '../../src/replica/scheduler/scheduler.ts'
import type { SchedulerEvent } from '../../src/replica/scheduler/types.ts'
import type { EventQueue } from './event-queue.ts'
import type { SnapshotLayout } from './layout.ts'
import type { SimulatedSite, Simulation } from './simulation.ts'

export interface Node {
  readonly spec: SimulatedSite
  serves: 'honest' | 'wrong' | 'nothing'
  readonly place: { readonly site: string; readonly region: string }
  scheduler: Scheduler
  /** By number of the block. */
  readonly held: Uint8Array
  /** Blocks held, by page. */
  readonly heldOf: Uint32Array
  /** Those it is connected to and, of them, those who tell it what they hold. */
  peers: readonly Node[]
  watches: ReadonlySet<Node>
  /** Blocks to announce with the next update, by page; pages that became full. */
  readonly news: Map<number, number[]>
  readonly fullNews: number[]
  announcedMs: number
  isAnnouncing: boolean
  readonly inbox: SchedulerEvent[]
  isGathering: boolean
  /** When each request was cancelled. */
  readonly cancelledMs: Map<number, number>
  isMember: boolean
  isAlive: boolean
  isStarted: boolean
  startedMs: number
  /** Of its life: what an earlier one asked for does not reach the next. */
  life: number
  nextPage: number
  wakeMs: number
  /** Its process does not run from then until then. */
  pausedSinceMs: number
  pausedUntilMs: number
  /** In all its life. */
  heldUpMs: number
  timerMs: number
  doneMs: number | undefined
  readonly bytesFrom: Map<string, number>
  readonly blamed: string[]
  duplicateBlocks: number
  wanBytes: number
  bytesSent: number
  bytesSentBeforeComplete: number
}

export function createSimulatedNode(
  spec: SimulatedSite,
  layout: SnapshotLayout,
  simulation: Simulation,
): Node {
  return {
    spec,
    serves: spec.serves ?? 'honest',
    place: { site: spec.site, region: spec.region },
    scheduler: newScheduler(spec, layout, simulation),
    held: new Uint8Array(layout.blocks),
    heldOf: new Uint32Array(layout.pages.length),
    peers: [],
    watches: new Set(),
    news: new Map(),
    fullNews: [],
    announcedMs: Number.NEGATIVE_INFINITY,
    isAnnouncing: false,
    inbox: [],
    isGathering: false,
    cancelledMs: new Map(),
    isMember: spec.joinsMs === undefined,
    isAlive: true,
    isStarted: false,
    startedMs: 0,
    life: 0,
    nextPage: 0,
    wakeMs: Number.POSITIVE_INFINITY,
    pausedSinceMs: 0,
    pausedUntilMs: 0,
    heldUpMs: 0,
    timerMs: Number.POSITIVE_INFINITY,
    doneMs: spec.isOrigin === true ? 0 : undefined,
    bytesFrom: new Map(),
    blamed: [],
    duplicateBlocks: 0,
    wanBytes: 0,
    bytesSent: 0,
    bytesSentBeforeComplete: 0,
  }
}

export function newScheduler(
  { site, region }: SimulatedSite,
  layout: SnapshotLayout,
  { scheduling, sites, topology, isUndeclared = false }: Simulation,
): Scheduler {
  const origin = sites.find(({ isOrigin }) => isOrigin === true)
  return createScheduler({
    ...scheduling,
    self: { site, region },
    origin,
    weights: swarmWeights(
      isUndeclared ? undefined : topology,
      ranks(() => sites, origin),
    ),
    snapshotBytes: layout.bytes,
  })
}

/** Its process does not run now. */
export function isPaused(node: Node, { nowMs }: EventQueue): boolean {
  return nowMs() < node.pausedUntilMs
}

/** It wants the snapshot, so it takes its share. */
export function wants(node: Node): boolean {
  return node.spec.isOrigin !== true
}

export function isFar(a: Node, b: Node): boolean {
  return a.place.region !== b.place.region
}

export function holdsBlock(node: Node, block: number): boolean {
  return node.doneMs !== undefined || node.held[block] === 1
}

export function store(node: Node, layout: SnapshotLayout, page: number, offset: number): void {
  const block = layout.blockOf(page, offset)
  if (node.held[block] === 1) return
  node.held[block] = 1
  node.heldOf[page]!++
}

/** All that it holds, as it tells one who begins to watch it. */
export function holdingOf(node: Node, layout: SnapshotLayout): HoldingUpdate[] {
  if (node.doneMs !== undefined) return [{ kind: 'complete' }]
  if (!node.isStarted) return [{ kind: 'unknown' }]
  const full: number[] = []
  const updates: HoldingUpdate[] = []
  for (const [page, lengths] of layout.pages.entries()) {
    if (node.heldOf[page] === lengths.length) full.push(page)
    else if (node.heldOf[page]! > 0) {
      const offsets = [...lengths.keys()].filter((offset) => node.held[layout.blockOf(page, offset)] === 1)
      updates.push({ kind: 'blocks', page, offsets })
    }
  }
  return [{ kind: 'pages', full }, ...updates]
}

/** Takes blocks that it had before the simulation begins. */
export function holdShare(node: Node, layout: SnapshotLayout, percent: number): void {
  let number = 0
  for (const [page, lengths] of layout.pages.entries())
    for (const offset of lengths.keys()) if (number++ % 100 < percent) store(node, layout, page, offset)
}
