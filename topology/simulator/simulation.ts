/** What goes into a simulation and what comes out of it. */
import type { SchedulerOptions } from '../../src/replica/scheduler/types.ts'
import type { Topology } from '../../src/topology/topology.ts'
import type { ProcessorOptions } from './processors.ts'

export interface SimulatedSite {
  readonly site: string
  readonly region: string
  /** When it learns of the snapshot; 0 by default. */
  readonly startsMs?: number
  /** When it becomes a member; nobody knows of it before. From the start by default. */
  readonly joinsMs?: number
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

/** Something that happens to the network or to a site. Names are those of sites or, as `region:NAME`, of regions. */
export type SimulatedEvent =
  | { readonly atMs: number; readonly kind: 'kill' | 'restart'; readonly site: string }
  /** From now on it answers no request, or with bytes that do not match. */
  | { readonly atMs: number; readonly kind: 'stall' | 'lie'; readonly site: string }
  /** Its process does not run for so long: it sends, hears and decides nothing. */
  | { readonly atMs: number; readonly kind: 'pause'; readonly site: string; readonly forMs: number }
  /** Nothing passes between the two, or between the one and everybody else. */
  | { readonly atMs: number; readonly kind: 'cut'; readonly between: readonly [string, string | undefined] }
  /** Undoes that cut; without names all of them. */
  | { readonly atMs: number; readonly kind: 'heal'; readonly between?: readonly [string, string | undefined] }
  /** From now on the site's own pipe has these rates. */
  | {
      readonly atMs: number
      readonly kind: 'rate'
      readonly site: string
      readonly upBytesPerSecond?: number
      readonly downBytesPerSecond?: number
    }

export interface Simulation {
  readonly sites: readonly SimulatedSite[]
  /** Block lengths by page. */
  readonly pages: readonly (readonly number[])[]
  /** Rates and round trips; what it leaves open is as the next four say. */
  readonly topology?: Topology
  /** The sites do not know the topology's rates: all regions and sites count alike. */
  readonly isUndeclared?: boolean
  /** Of each region's pipe, in each direction; no limit when left out. */
  readonly wanBytesPerSecond?: number
  /** Of each site's own pipe, in each direction. */
  readonly lanBytesPerSecond: number
  readonly wanRttMs: number
  /** 1 by default. */
  readonly lanRttMs?: number
  readonly limitMs: number
  readonly events?: readonly SimulatedEvent[]
  /** Bytes on the wire for each byte of a block: headers of IP, TCP, TLS and the protocol. 1 by default. */
  readonly overhead?: number
  /** Sites are not told how long they were paused. For tests: what leases do without it. */
  readonly hidesPauses?: boolean
  /** Shared by all sites; without them a block costs no processor time. */
  readonly processors?: ProcessorOptions
  /** A site handles what came within this time at once: many sites are simulated faster. 0 by default. */
  readonly gatherMs?: number
  /** Sites of other regions that a site is connected to, and those of them that tell it what they hold. */
  readonly maxFarPeers?: number
  readonly maxFarWatches?: number
  readonly scheduling?: Partial<Omit<SchedulerOptions, 'self' | 'snapshotBytes' | 'origin' | 'weights'>>
  /** Called at every full second of the virtual clock, for progress. */
  readonly onSecond?: (nowMs: number, doneSites: number) => void
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
  readonly isAlive: boolean
}

export interface SimulationResult {
  readonly snapshotBytes: number
  readonly blocks: number
  readonly sites: ReadonlyMap<string, SiteResult>
  /** Bytes of blocks, without headers; repeats and what was cancelled on its way included. */
  readonly wanBytesInto: ReadonlyMap<string, number>
  readonly wanBytesOutOf: ReadonlyMap<string, number>
  readonly originBytesSent: number
  /** Of blocks, that passed a third site: counted in its region's bytes, too. */
  readonly relayedBytes: number
  /** Different blocks. */
  readonly originBlocksSent: number
  readonly originBlocksSentMoreThanOnce: number
  /** By all sites; and of those the ones that no site had to be sent: dropped on arrival, or there already. */
  readonly blocksSent: number
  readonly blocksSentInVain: number
  readonly requests: number
  readonly cancels: number
  /** Updates of what is held, one for each receiver. */
  readonly announcements: number
  /** Of the virtual clock, when the last site was complete or the limit was reached. */
  readonly endedMs: number
  /** Processor time that all schedulers took together, in this one thread. */
  readonly schedulerSeconds: number
}
