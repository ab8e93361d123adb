/**
 * The status document: what `status --json`, the API and the console show of the whole mesh. Plain JSON; fields are
 * only ever added. And what it is made of (build-status.ts).
 */
import type { FetchPause } from '../fetch-pauses.ts'
import type { HeldBack } from '../publish/held-back.ts'
import type { PendingRequest } from '../records/join-requests.ts'
import type { SiteAnnouncement } from './status-announcement.ts'

export type SiteState = 'self' | 'up' | 'silent' | 'never-seen'
export type ReplicaState = 'complete' | 'fetching' | 'behind' | 'unknown'

export interface CheckoutStatus {
  readonly path: string
  /** The sequence that lies there, or to which `latest` leads; null before the first. */
  readonly sequence: number | null
  /** Of a folder of versions: how many of the newest stay. */
  readonly versions?: number
}

export interface ReplicaStatus {
  readonly site: string
  /** The newest complete sequence there; null when none is. */
  readonly sequence: number | null
  /** The other complete ones, newest first, 8 at most; absent when there is none, and from older nodes. */
  readonly alsoComplete?: readonly number[]
  readonly state: ReplicaState
  /** Bytes of blocks still to come of the newest head; null when not known. */
  readonly missingBytes: number | null
  /** How far it is behind; absent when it is complete, and when nothing is known of it. */
  readonly lag?: ReplicaLag
  readonly checkouts: readonly CheckoutStatus[]
  /** What is complete there is a part of the tree, under the path filter of its pins. */
  readonly isFiltered?: boolean
  /** Why it is not complete, or, where it is, why a check-out cannot be made; in words. */
  readonly reason?: string
  /** The tree is private and the site may not read it, by the records of this node: it fetches nothing of it. */
  readonly hasNoRight?: boolean
  /** An operator of that site holds it back: what is there stays, and no newer head is fetched. */
  readonly pause?: FetchPause
  /** Its last try failed, and it tries again. Known of this node's own site alone. */
  readonly hasFailed?: boolean
}

export interface ReplicaLag {
  /** Heads that it has not completed. */
  readonly snapshots: number
  /** When the first of them was published, by its publisher's clock. */
  readonly sinceMs: number
}

export interface TreeStatus {
  readonly tree: string
  readonly epoch: number | null
  readonly sequence: number | null
  readonly snapshot: string | null
  /** PeerId of the active publisher. */
  readonly publisher: string | null
  readonly files: number | null
  readonly bytes: number | null
  /** When the head was published, by its publisher's clock. Absent from nodes of a version before. */
  readonly timeMs?: number | null
  readonly sites: readonly ReplicaStatus[]
  /** Of the head, where a pin names a minimum. */
  readonly copies?: CopiesStatus
  /** Published here in place: its blocks lie in files that others may change. */
  readonly inPlace?: InPlaceStatus
  /** What its publisher did not publish, for what it drops: it waits for an admin. */
  readonly heldBack?: HeldBackStatus
}

/** Printed CIDs and plain numbers: see HeldBack. */
export interface HeldBackStatus extends Omit<HeldBack, 'previous' | 'snapshot' | 'tree'> {
  /** Where it waits. */
  readonly site: string
  readonly snapshot: string
  readonly previous: string
}

export interface CopiesStatus {
  readonly wanted: number
  /** Sites that hold it, or a later one, and have shown it to another. */
  readonly verified: number
  /** Of the head that was looked at. */
  readonly sequence: number
  readonly sites: readonly {
    readonly site: string
    readonly sequence: number
    /** When it was shown, by the clock of who saw it. */
    readonly timeMs: number
    /** The site that saw it. */
    readonly by: string
  }[]
}

export interface InPlaceStatus {
  /** Printable. */
  readonly path: string
  /** Other sites that hold the newest head in full. */
  readonly completeElsewhere: number
  /** No other site does: a change of those files would lose it. */
  readonly isAtRisk: boolean
}

export interface SiteStatus {
  readonly site: string
  readonly region: string
  readonly peer: string
  readonly state: SiteState
  /** Seconds since it was last heard of; null for never. */
  readonly ageSeconds: number | null
  readonly addresses: readonly string[]
  readonly version: string | null
  /** Its gateway, as clients know it; null when it has none that is known. */
  readonly url?: string | null
  /** Left on the disk of its store, as it last said; null when it has not. */
  readonly freeBytes?: number | null
  /** Takedowns that it says are carried out there; absent when it has said nothing of them. */
  readonly takedownsDone?: readonly string[]
  /** By which pins name groups of sites. */
  readonly labels: readonly string[]
  /** On its way out of service: it serves what it has, takes nothing new, and nobody is sent there. */
  readonly drained: boolean
  /** Why, in an admin's words; empty when none are said. */
  readonly note: string
  /** Blocks' bytes since its program started, as it last said. Null while nothing was heard; absent from older nodes. */
  readonly traffic?: { readonly bytesSent: number; readonly bytesReceived: number } | null
}

export type PathClassName = 'site' | 'region' | 'wan'

export interface PeerTraffic {
  readonly site: string | null
  readonly peer: string
  readonly pathClass: PathClassName
  /** As they travelled: compressed blocks count as such. */
  readonly bytesSent: number
  readonly bytesReceived: number
  /** The same, before they were compressed. */
  readonly plainBytesSent: number
  readonly plainBytesReceived: number
  readonly blocksSent: number
  readonly blocksReceived: number
  /** Of bytesSent: what left while this site was not complete itself. */
  readonly bytesSentBeforeComplete: number
  /** What is sent to it makes room for other traffic on the path. */
  readonly givesWay?: boolean
}

export interface TrafficStatus {
  readonly peers: readonly PeerTraffic[]
  readonly classes: Readonly<
    Record<
      PathClassName,
      Pick<PeerTraffic, 'bytesSent' | 'bytesReceived' | 'plainBytesSent' | 'plainBytesReceived'>
    >
  >
  readonly blocksSent: number
  readonly blocksSentMoreThanOnce: number
  /** Deltas that were fetched, and the plain bytes of the blocks made of them. Absent from nodes of a version before. */
  readonly deltas?: { readonly bytesReceived: number; readonly bytesMade: number }
  readonly bytesSentBeforeComplete: number
}

export interface Alarm {
  readonly kind: string
  readonly subject: string
  readonly detail: string
}

export interface TakedownStatus {
  readonly name: string
  readonly tree: string
  readonly path: string | null
  /** Of the heads whose snapshots it names. */
  readonly sequences: readonly number[]
  readonly reason: string
  readonly record: string
  readonly issuer: string
  readonly timeMs: number
  /** Unknown: the site has not been heard of, or its program knows no takedowns. */
  readonly sites: readonly { readonly site: string; readonly state: 'done' | 'pending' | 'unknown' }[]
}

export interface StatusDocument {
  readonly mesh: { readonly name: string; readonly id: string }
  readonly self: {
    readonly peer: string
    readonly site: string
    readonly region: string
    readonly version: string
  }
  readonly sites: readonly SiteStatus[]
  readonly trees: readonly TreeStatus[]
  readonly traffic: TrafficStatus
  readonly alarms: readonly Alarm[]
  /** Those in force, newest first; absent when there are none. */
  readonly takedowns?: readonly TakedownStatus[]
  /** Newcomers without an invite, oldest first: what any site said of them. Absent from nodes of a version before. */
  readonly requests?: readonly RequestStatus[]
}

/** A newcomer that waits for an admin. */
export interface RequestStatus extends PendingRequest {
  /** The member that it asked. */
  readonly via: string
  readonly viaSite: string
}

/** What the records say of a tree, as far as the document needs it. */
export interface TreeFacts {
  readonly tree: string
  readonly publisher?: string
  readonly head?: {
    readonly epoch: number
    readonly sequence: number
    readonly snapshot: string
    readonly files?: number
    readonly bytes?: number
  }
  /** Of each sequence from 1 on. */
  readonly history?: readonly { readonly timeMs: number }[]
  /** Sites that the records say should hold it. */
  readonly pinnedSites: readonly string[]
  /** Of a private tree: sites that may not read it. */
  readonly sitesWithoutRight?: ReadonlySet<string>
}

export interface HeardSite {
  readonly announcement: SiteAnnouncement
  readonly ageMs: number
  readonly isConnected: boolean
  /** Others lost it too, and it did not contradict that: see site-agent/suspicions.ts. */
  readonly isGone?: boolean
  /** Its trees are as it said earlier: what changed since was heard, and not what it builds on. */
  readonly isOutdated?: boolean
}

export interface StatusSources {
  readonly mesh: { readonly name: string; readonly id: string }
  readonly self: StatusDocument['self'] & {
    readonly addresses: readonly string[]
    readonly url?: string | undefined
  }
  /** Of this site. */
  readonly freeBytes?: number | null
  readonly takedownsDone?: readonly string[]
  readonly members: readonly Pick<SiteStatus, 'peer' | 'site' | 'region' | 'labels' | 'drained' | 'note'>[]
  readonly trees: readonly TreeFacts[]
  /** This site's own replicas, by tree. */
  readonly own: ReadonlyMap<string, Omit<ReplicaStatus, 'site'>>
  /** What this node holds back. */
  readonly heldBackOf?: ((tree: string) => HeldBack | undefined) | undefined
  /** By PeerId. */
  readonly heard: ReadonlyMap<string, HeardSite>
  readonly connected: ReadonlySet<string>
  readonly traffic: TrafficStatus
  readonly alarms: readonly Alarm[]
  /** Made here. */
  readonly requests?: readonly PendingRequest[]
}
