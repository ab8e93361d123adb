/** What goes into the scheduler and what comes out of it. Plain data: a test or a simulator can print it. */
import type { HoldingUpdate } from '../../net/ports.ts'
import type { Place } from '../../topology/path-class.ts'
import { createPathShares, type PathShares } from './path-shares.ts'

/** Why a block was not delivered. */
export type FailureReason =
  /** The peer does not hold it. */
  | 'missing'
  /** The peer has too much to do. */
  | 'busy'
  /** Its bytes did not match: the peer is dropped for good. */
  | 'corrupt'
  /** The request ended without an answer for it. */
  | 'broken'

export type SchedulerEvent =
  /**
   * A member appeared or changed. `wants`: it fetches this snapshot too, so it takes its share of the segments. `wantsMore`:
   * this site wants a part of what that one does, and leaves to it what it can.
   */
  | {
      readonly kind: 'peer'
      readonly peer: string
      readonly place: Place
      readonly wants: boolean
      readonly wantsMore?: boolean
      readonly isConnected: boolean
    }
  | { readonly kind: 'peer-left'; readonly peer: string }
  | { readonly kind: 'holding'; readonly peer: string; readonly update: HoldingUpdate }
  /** The next page of the index was read. `key` is its digest; `has` says which of its blocks are stored here. */
  | {
      readonly kind: 'page'
      readonly page: number
      readonly key: Uint8Array
      readonly lengths: readonly number[]
      readonly has: readonly boolean[]
      /** Offsets that are asked of nobody until they are released: they are made here of something else. */
      readonly withheld?: readonly number[]
      /** The same, but for the peers of this region: one of them makes these of something else. */
      readonly withheldFromFar?: readonly number[]
    }
  /** From now on too; what is asked for already is not called back. `from`: of all peers by default. */
  | {
      readonly kind: 'withhold'
      readonly page: number
      readonly offsets: readonly number[]
      readonly from?: 'far'
    }
  /** To be asked for like any others, as far as they were withheld in the same way. */
  | {
      readonly kind: 'release'
      readonly page: number
      readonly offsets: readonly number[]
      readonly from?: 'far'
    }
  /** Blocks that were made here, verified and stored. */
  | { readonly kind: 'made'; readonly page: number; readonly offsets: readonly number[] }
  /** Every page of the index has been given. */
  | { readonly kind: 'pages-end' }
  /** A block of a request arrived, was verified and stored; the last two took `handledMs`, which is not the path's fault. */
  | {
      readonly kind: 'received'
      readonly request: number
      readonly page: number
      readonly offset: number
      readonly handledMs?: number
    }
  | {
      readonly kind: 'failed'
      readonly request: number
      readonly page: number
      readonly offset: number
      readonly reason: FailureReason
    }
  /** The time asked for by `wake` has come. */
  | { readonly kind: 'tick' }

/** Of a block of an active page: to be asked for, asked for (or withheld), here. */
export type BlockState = 'open' | 'asked' | 'stored'

/** Why a request was made. */
export type RequestReason =
  /** A member of this region holds it. */
  | 'near'
  /** It is this site's share. */
  | 'owner'
  /** The owner, or the region that it enters by, is slow, and this site has nothing else to do. */
  | 'steal'
  /** The end of the fetch: asked of a second member of the region as well. */
  | 'end-game'

export type SchedulerCommand =
  | {
      readonly kind: 'request'
      readonly request: number
      readonly peer: string
      readonly page: number
      readonly offsets: readonly number[]
      readonly reason: RequestReason
    }
  /** The answers that are still due are no longer wanted. */
  | { readonly kind: 'cancel'; readonly request: number }
  /** The peer sent wrong bytes: it is no source any more. */
  | { readonly kind: 'blame'; readonly peer: string; readonly page: number; readonly offset: number }
  /** Every block of the page is stored here. */
  | { readonly kind: 'page-complete'; readonly page: number }
  /** Send a `tick` at this time, unless another event comes before. */
  | { readonly kind: 'wake'; readonly atMs: number }
  /** Every block of every page is stored here. */
  | { readonly kind: 'complete' }

/** Only ratios count. All sites compute the same. */
export interface SwarmWeights {
  readonly region: (region: string) => number
  readonly site: (place: Place) => number
  /** Of what the origin sends, the part that a site of its region can take in and pass on: 1 at most. */
  readonly relay: (place: Place, origin: Place) => number
  /**
   * The site's number among those of its region, from 0, the origin left out; undefined when it has none. Sites of one number in
   * several regions take the same segments, and so give them to each other.
   */
  readonly rank: (place: Place) => number | undefined
}

export interface SchedulerOptions {
  readonly self: Place
  /** Where the snapshot was published: its region is the one that each segment leaves once. Unknown: no such rule. */
  readonly origin?: Place | undefined
  /** Shares of the segments: of those that enter by a region, of those that a site of this region takes. All the same by default. */
  readonly weights?: SwarmWeights
  /** Plain bytes of the snapshot's blocks: sizes its segments. */
  readonly snapshotBytes: number
  /** Shortest lease: an owner that makes no progress for this long loses its share. */
  readonly minLeaseMs?: number
  /** How long WAN requests wait for a neighbour to say what it holds. */
  readonly graceMs?: number
  /** What the node's other fetches have in flight counts, too; and how much of a path is this one's, by ratio. */
  readonly paths?: PathShares
  readonly pathWeight?: number
  /** Bounds of one path's pipeline, in bytes. */
  readonly minPipelineBytes?: number
  readonly maxPipelineBytes?: number
  /** Bound of all pipelines together; near peers get three quarters of it at most. */
  readonly maxInFlightBytes?: number
  readonly maxOffsetsPerRequest?: number
  readonly maxActivePages?: number
}

export type SchedulerSettings = Required<Omit<SchedulerOptions, 'origin'>> & Pick<SchedulerOptions, 'origin'>

export function settingsOf(options: SchedulerOptions): SchedulerSettings {
  return {
    weights: { region: () => 1, site: () => 1, relay: () => 1, rank: () => undefined },
    minLeaseMs: 2000,
    graceMs: 1000,
    paths: createPathShares(),
    pathWeight: 1,
    minPipelineBytes: 1024 * 1024,
    maxPipelineBytes: 32 * 1024 * 1024,
    maxInFlightBytes: 64 * 1024 * 1024,
    maxOffsetsPerRequest: 256,
    maxActivePages: 64,
    ...options,
  }
}

/** One segment of an active page, for people. */
export interface SegmentExplanation {
  readonly page: number
  readonly firstBlock: number
  readonly endBlock: number
  readonly missingBlocks: number
  /** The site that takes it over the WAN. */
  readonly owner: string
  /** The region by which it leaves the origin's; absent within that region, and when no origin is known. */
  readonly entry?: string
  /** Sites that owe blocks of it, and why they were asked. */
  readonly askedOf: readonly { readonly site: string; readonly reason: string }[]
  readonly state: string
}

export interface PeerExplanation {
  readonly peer: string
  readonly site: string
  readonly region: string
  readonly path: 'near' | 'far'
  /** Nearer ones are always asked first. */
  readonly tier: number
  readonly holds: 'complete' | 'part' | 'unknown'
  readonly inFlightBytes: number
  /** What may be in flight for this fetch, and for all that use the path now: so many. */
  readonly pipelineBytes: number
  readonly pathPipelineBytes: number
  readonly pathFetches: number
  readonly bytesPerSecond: number
  /** Milliseconds that the queue of other traffic on the path takes; absent when none is seen. */
  readonly othersQueueMs?: number
  readonly state: string
}

export interface Explanation {
  readonly segments: readonly SegmentExplanation[]
  readonly peers: readonly PeerExplanation[]
  /** Blocks asked for, by reason. */
  readonly requestedBlocks: Readonly<Record<RequestReason, number>>
  /** Blocks that arrived although they were here already. */
  readonly duplicateBlocks: number
}
