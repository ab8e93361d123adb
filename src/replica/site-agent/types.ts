/** What the site agent is made of, and what it offers. */
import type { Clock } from '../../base/clock.ts'
import type { MirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import type { Scratch } from '../../dag/scratch.ts'
import type { Host } from '../../net/ports.ts'
import type { BlockStore } from '../../store/block-store.ts'
import type { FetchDemand } from '../fetch/fetch-demand.ts'
import type { FetchMembers, FetchNetwork, ReplicaLog } from '../fetch-network.ts'
import type { FetchPauses } from '../fetch-pauses.ts'
import type { CompleteSnapshots } from '../holdings/complete-snapshots.ts'
import type { Holdings } from '../holdings/holdings.ts'
import type { HeldBack } from '../publish/held-back.ts'
import type { AddressBook } from '../records/address-book.ts'
import type { JoinRequestKeeper } from '../records/join-requests.ts'
import type { Ledger } from '../records/ledger.ts'
import type { VerifiedCopy } from '../status/announced-tree.ts'
import type { HeardSite, StatusDocument } from '../status/status.ts'
import type { Traffic } from '../traffic.ts'
import type { CheckoutKeeperOptions } from './checkouts.ts'
import type { FetchView } from './tree.ts'

export interface SiteAgentComponents {
  readonly ledger: Ledger
  readonly store: { readonly blocks: BlockStore }
  /** For what the check of a large snapshot does not hold in memory. */
  readonly scratch?: Scratch | undefined
  readonly host: Host
  /** What fetches use of the host; the host itself by default. */
  readonly network?: FetchNetwork
  readonly holdings: Holdings
  readonly complete: CompleteSnapshots
  readonly traffic: Traffic
  readonly addressBook: AddressBook
  readonly clock: Clock
  /** Takedowns that are carried out here. */
  readonly readTakedowns?: () => readonly string[]
  /** Copies of the tree that others have shown this site. */
  readonly readVerified?: (tree: string) => readonly VerifiedCopy[]
  /** What this node holds back of a tree. */
  readonly heldBackOf?: (tree: string) => HeldBack | undefined
  /** A takedown means it. */
  readonly isGone?: (tree: string, snapshot: Cid) => boolean
  /** Fetches that an operator holds back here; none by default. */
  readonly pauses?: FetchPauses
  /** Left on the disk of the store; undefined when that cannot be told. */
  readonly readFreeBytes?: () => number | undefined
  /** Newcomers that asked here. */
  readonly joinRequests?: Pick<JoinRequestKeeper, 'list' | 'onChange'> | undefined
  /** Uniform in [0, 1); for pauses only. */
  readonly random?: () => number
  readonly logger: ReplicaLog
  readonly self: {
    readonly peer: string
    readonly site: string
    readonly region: string
    readonly version: string
    /** Of this site's gateway, as clients know it. */
    readonly url?: string | undefined
  }
}

export interface SiteAgentOptions extends CheckoutKeeperOptions {
  readonly maxFetches?: number
  readonly maxCheckouts?: number
  /** A publisher of which nothing is heard for so long raises an alarm; 0 for never. */
  readonly freezeAlarmMs?: number
}

export interface SiteAgent {
  start(): Promise<void>
  /** Resolves when nothing of the agent is left running. */
  stop(): Promise<void>
  status(): StatusDocument
  /** Connects to a member now: see PeerKeeper.reach. @throws MirrorError `unreachable` | `refused` */
  reach(peer: string, signal: AbortSignal): Promise<void>
  /** What this site said last of all of itself (status-announcement.ts); undefined before the first. */
  announced(): Uint8Array | undefined
  /** What the other sites said last, by PeerId. */
  heard(): ReadonlyMap<string, HeardSite>
  /** The fetches that are going on, by tree. */
  fetches(): ReadonlyMap<string, FetchView>
  /** The members as fetches see them. */
  readonly members: FetchMembers
  /** Of the fetch of this very snapshot, if it is going on. */
  demandOf(tree: string, snapshot: Cid): FetchDemand | undefined
  /** A peer sent wrong bytes: an alarm, and it is not asked for anything any more. */
  blame(peer: string, error: MirrorError): void
  /** What counts as complete here has changed from outside: goals that are no longer reached are pursued again. */
  refresh(): void
  /** Called, at most a few times a second, when the status document may read differently. */
  onChange(listener: () => void): () => void
}
