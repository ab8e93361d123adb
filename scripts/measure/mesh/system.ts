/** A system that brings a tree from one site to all others, and one run of it. */
import type { Lab, LinkTraffic } from './lab.ts'
import { trafficBetween } from './lab.ts'
import { machineTicks } from './processes.ts'

export interface SourceTree {
  readonly path: string
  readonly files: number
  readonly bytes: number
}

export interface Contest {
  readonly lab: Lab
  readonly tree: SourceTree
  /** What every site holds, the origin included, when the clock starts; nothing when absent. */
  readonly before?: SourceTree | undefined
  /** Another tree, that daemons are to have moved when the clock starts. */
  readonly warm?: SourceTree | undefined
  /** For this run alone. */
  readonly folder: string
  readonly limitMs: number
  readonly stopwatch: Stopwatch
}

export interface System {
  readonly name: string
  /** What its copies are held to: bytes of files alone, or every name, type, mode, time and link, too. */
  readonly keeps: 'everything' | 'bytes'
  /** Whether it can be given what every site holds before. */
  readonly canUpdate: boolean
  /** Programs that have to be installed. */
  readonly needs: readonly string[]
  /**
   * Sets all up, starts the stopwatch, waits until every site has the tree, stops it, and ends what it started.
   * @returns where each site has its copy
   */
  run(contest: Contest): Promise<Ran>
}

export interface Ran {
  readonly copies: ReadonlyMap<string, string>
  /** From the start to the stop of the stopwatch, of all programs of the system. */
  readonly cpuSeconds: number
  readonly mesh?: MeshFacts
}

/** What only mirrormesh tells of itself. */
export interface MeshFacts {
  /** S: the snapshot's blocks as they travel. */
  readonly travelBytes: number
  readonly blocks: number
  readonly blocksLeftOriginTwicePercent: number
  /** Of the blocks that arrived at all sites: those that the site had before. */
  readonly duplicatePercent: number
  /** Bytes of blocks and of the index that one site gave another, as `FROM TO`; all else between them is talk. */
  readonly given: Readonly<Record<string, number>>
  /** In this order; a site may be ahead of the others. */
  readonly phases: readonly PhaseFacts[]
}

export interface PhaseFacts {
  readonly name: string
  /** Since the clock's start, when the last site was through. */
  readonly seconds: number
  /** Of all daemons until then. */
  readonly cpuSeconds: number
}

export interface Reading {
  readonly seconds: number
  readonly arrivals: readonly { readonly site: string; readonly seconds: number }[]
  readonly traffic: LinkTraffic
  readonly busyPercent: number
}

export interface Stopwatch {
  start(): Promise<void>
  /** @param epochMs now, unless it was noted elsewhere */
  arrived(site: string, epochMs?: number): void
  hasArrived(site: string): boolean
  elapsedMs(): number
  secondsAt(epochMs: number): number
  stop(): Promise<void>
  reading(): Reading
}

export function createStopwatch(lab: Lab, say: (site: string, seconds: number) => void): Stopwatch {
  let startMs = 0
  let before: { traffic: LinkTraffic; ticks: ReturnType<typeof machineTicks> } | undefined
  let result: Reading | undefined
  const arrivals = new Map<string, number>()
  return {
    async start() {
      before = { traffic: await lab.traffic(), ticks: machineTicks() }
      startMs = Date.now()
    },
    arrived(site, epochMs = Date.now()) {
      if (arrivals.has(site)) return
      const seconds = (epochMs - startMs) / 1000
      arrivals.set(site, seconds)
      say(site, seconds)
    },
    hasArrived: (site) => arrivals.has(site),
    elapsedMs: () => Date.now() - startMs,
    secondsAt: (epochMs) => (epochMs - startMs) / 1000,
    async stop() {
      const seconds = (Date.now() - startMs) / 1000
      const [traffic, ticks] = [await lab.traffic(), machineTicks()]
      const passed = ticks.all - before!.ticks.all
      result = {
        seconds,
        arrivals: [...arrivals]
          .map(([site, at]) => ({ site, seconds: at }))
          .sort((a, b) => a.seconds - b.seconds),
        traffic: trafficBetween(before!.traffic, traffic),
        busyPercent: passed === 0 ? 0 : (100 * (ticks.busy - before!.ticks.busy)) / passed,
      }
    },
    reading() {
      if (result === undefined) throw new Error('the stopwatch was never stopped')
      return result
    },
  }
}

export function otherSites({ scenario }: Lab): string[] {
  return scenario.places.map(({ site }) => site).filter((site) => site !== scenario.origin)
}
