/** What a gateway is made of, and what it is told. */
import type { Clock } from '../../src/base/clock.ts'
import type { Cid } from '../../src/block/cid.ts'
import type { NodeSource } from '../../src/dag/reader.ts'
import type { Scratch } from '../../src/dag/scratch.ts'
import type { ProtocolTraffic, RelayCounts } from '../../src/net/ports.ts'
import type { PullUsage } from '../../src/replica/pull/pull-through.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'
import type { BlockReader, Lease } from '../../src/store/block-store.ts'
import type { KeyValue } from '../../src/store/index/key-value.ts'
import type { Topology } from '../../src/topology/topology.ts'
import type { Tokens } from '../tokens.ts'
import type { CertificateFiles } from './certificate.ts'
import type { ReadFile } from './file-response.ts'
import type { GatewayLog } from './gateway-log.ts'
import type { MemberRoutesComponents } from './member-routes.ts'
import type { StoreCare } from './metrics.ts'
import type { SitePath } from './path-metrics.ts'
import type { PullSource } from './tree-lookup.ts'
import type { Catalogue } from './version.ts'

export interface GatewayComponents {
  readonly catalogue: Catalogue
  readonly blocks: NodeSource
  /** The block to read a snapshot from: where this site keeps a part of it, its view's. */
  readonly shown?: (snapshot: Cid) => Cid
  /** What opens private trees; without it nothing does. */
  readonly tokens?: Pick<Tokens, 'check'> | undefined
  readonly readFile: ReadFile
  /** Keeps a snapshot whole while an answer is made of it. */
  readonly hold: (snapshot: Cid) => Disposable
  /** Reads out of the mesh what is not complete here; absent: such a snapshot is not served. */
  readonly pull?: PullSource | undefined
  readonly readPulled?: () => PullUsage | undefined
  /** What machines outside of the mesh fetch with; absent: nothing of it. */
  readonly outside?: MemberRoutesComponents | undefined
  /** The blocks of the tree, else those of public trees; undefined where these cannot be told from others. */
  readonly blocksFor: (tree: string | undefined) => BlockReader | undefined
  /** Keeps what lies below a block while an archive is made of it. */
  readonly holdBelow: (cid: Cid) => Lease
  /** Where digests of files outlive the program; absent: nowhere. */
  readonly digestValues?: KeyValue | undefined
  /** For archives of more blocks than memory should remember. */
  readonly scratch: Scratch
  /** What the store's keepers have done; shown by /metrics. */
  readonly readCare?: () => StoreCare
  readonly readRelayed?: () => RelayCounts
  /** To sites of other regions. */
  readonly readPaths?: () => readonly SitePath[]
  readonly readProtocols?: () => readonly ProtocolTraffic[]
  readonly readStatus: () => StatusDocument
  readonly readTopology: () => Topology
  /** Undefined: ready. Otherwise why not, in words. */
  readonly notReady: () => string | undefined
  readonly clock: Clock
  readonly log: GatewayLog
}

export interface GatewayOptions {
  /** `host:port`, IPv6 in brackets, port 0 for any free one. */
  readonly listen: string
  /** On those beyond it requests are answered 503. */
  readonly maxConnections?: number
  readonly maxClientConnections?: number
  /** Of bodies; 0 is no limit. */
  readonly bytesPerSecond?: number
  readonly clientBytesPerSecond?: number
  /** Bodies in flight: each holds a block or two, so this bounds memory. */
  readonly maxBodies?: number
  readonly stallTimeoutMs?: number
  /** HTTPS instead of HTTP. */
  readonly certificate?: CertificateFiles | undefined
  /** File of the access log; none when absent. */
  readonly accessLog?: string | undefined
  /** How long a path that is gone from a tree's plain address is looked for in the snapshots before. */
  readonly keepMovedMs?: number
}
