/** What every fetch of a node works with. */
import type { Clock } from '../../base/clock.ts'
import type { Scratch } from '../../dag/scratch.ts'
import type { BlockStore } from '../../store/block-store.ts'
import type { FetchMembers, FetchNetwork, ReplicaLog } from '../fetch-network.ts'
import type { Holdings } from '../holdings/holdings.ts'
import type { PathShares } from '../scheduler/path-shares.ts'
import type { Traffic } from '../traffic.ts'

export interface FetchComponents {
  readonly network: FetchNetwork
  readonly members: FetchMembers
  readonly blocks: BlockStore
  readonly holdings: Holdings
  readonly traffic: Traffic
  readonly clock: Clock
  readonly log?: ReplicaLog
  /** Shared by all fetches of this node. */
  readonly paths?: PathShares
  /** For what the walk of a large closure does not hold in memory. */
  readonly scratch?: Scratch | undefined
}
