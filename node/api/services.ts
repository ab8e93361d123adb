/** What the API is made of: the parts of a running node, as its routes and jobs see them. */
import type { Clock } from '../../src/base/clock.ts'
import type { Cid } from '../../src/block/cid.ts'
import type { Scratch } from '../../src/dag/scratch.ts'
import type { Host } from '../../src/net/ports.ts'
import type { Bodies, Kind } from '../../src/record/content.ts'
import type { CopyWatch } from '../../src/replica/copies/copy-watch.ts'
import type { DeltaMode } from '../../src/replica/deltas/delta-mode.ts'
import type { CompleteSnapshots } from '../../src/replica/holdings/complete-snapshots.ts'
import type { HeldBack } from '../../src/replica/publish/held-back.ts'
import type { Publisher } from '../../src/replica/publish/publish.ts'
import type { Uploads } from '../../src/replica/publish/upload-types.ts'
import type { JoinRequestKeeper } from '../../src/replica/records/join-requests.ts'
import type { Ledger } from '../../src/replica/records/ledger.ts'
import type { Collector } from '../../src/replica/retain/collector.ts'
import type { Scrubber } from '../../src/replica/retain/scrubber.ts'
import type { FetchView } from '../../src/replica/site-agent/tree.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'
import type { BlockStore } from '../../src/store/block-store.ts'
import type { ConfigEditor } from '../config-editor.ts'
import type { KeptPauses } from '../fetch-pauses.ts'
import type { GatewayLog } from '../gateway/gateway-log.ts'
import type { History } from '../history/history.ts'
import type { Limits } from '../limits.ts'
import type { RateMeter } from '../rate-meter.ts'
import type { Tokens } from '../tokens.ts'
import type { SelfDocument } from './answers.ts'
import type { Jobs } from './jobs/jobs.ts'

export interface Services {
  readonly ledger: Ledger
  readonly blocks: BlockStore
  readonly scratch: Scratch
  readonly complete: CompleteSnapshots
  readonly publisher: Publisher
  readonly collector: Pick<Collector, 'run'>
  readonly scrubber: Pick<Scrubber, 'run'>
  readonly host: Pick<Host, 'addresses' | 'peers' | 'ask' | 'paths'>
  /** Connects to a member that this node is not connected to. @throws MirrorError `unreachable` | `refused` */
  readonly reach: (peer: string, signal: AbortSignal) => Promise<void>
  readonly rates: Pick<RateMeter, 'of'>
  readonly jobs: Jobs
  readonly clock: Clock
  readonly uploads: Uploads
  /** What this node held back of a tree for what it drops. */
  readonly heldBackOf: (tree: string) => HeldBack | undefined
  readonly joinRequests: Pick<JoinRequestKeeper, 'deny'>
  /** Signs with this node's key what a grant lets it say. @throws MirrorError `refused` when it would not count */
  readonly issueAsNode: <K extends Kind>(kind: K, body: Bodies[K]) => Promise<Cid>
  readonly log: GatewayLog
  readonly tokens: Tokens
  readonly limits: Limits
  readonly pauses: KeptPauses
  /** Secrets are in files that settings only name. */
  readonly configEditor: ConfigEditor
  readonly history: Pick<History, 'read' | 'names'>
  readonly readSelf: () => SelfDocument
  readonly readStatus: () => StatusDocument
  /** Verified copies under a pin that names a minimum: see CopyWatch.ofPin. */
  readonly copiesOfPin: CopyWatch['ofPin']
  readonly readFetches: () => ReadonlyMap<string, FetchView>
  /** Called after anything that the status document shows may have changed. Returns the function that ends it. */
  readonly onStatusChange: (listener: () => void) => () => void
  /** Blocks were let go that a complete snapshot may need: what is missing is looked for, and fetched. */
  readonly onBlocksLost: () => void
  readonly workers: number | undefined
  /** When deltas are made, unless a publish says otherwise. */
  readonly deltas: DeltaMode
  /** For temporary files, on the store's file system. */
  readonly tempDir: string
  /** How long a replaced check-out stays beside the new one. */
  readonly keepOldSeconds?: number
}
