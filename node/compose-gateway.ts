/** The gateway of a node, put together of the node's parts and settings. */
import type { Clock } from '../src/base/clock.ts'
import { MirrorError } from '../src/base/errors.ts'
import type { Scratch } from '../src/dag/scratch.ts'
import type { Host } from '../src/net/ports.ts'
import type { CompleteSnapshots } from '../src/replica/holdings/complete-snapshots.ts'
import type { Holdings } from '../src/replica/holdings/holdings.ts'
import type { Ledger } from '../src/replica/records/ledger.ts'
import type { BlockServiceComponents } from '../src/replica/serve/block-service.ts'
import type { StatusDocument } from '../src/replica/status/status.ts'
import type { TakedownKeeper } from '../src/replica/takedown/takedown-keeper.ts'
import type { Withheld } from '../src/replica/takedown/withheld.ts'
import type { BlockStore } from '../src/store/block-store.ts'
import type { KeyValue } from '../src/store/index/key-value.ts'
import { NO_TOPOLOGY } from '../src/topology/topology.ts'
import { createBlockLender } from '../src/tree/block-lender.ts'
import { createFileReader } from '../src/tree/read-file.ts'
import { createCatalogue } from './catalogue.ts'
import type { Config } from './config.ts'
import type { CertificateFiles } from './gateway/certificate.ts'
import { createGateway, type Gateway } from './gateway/gateway.ts'
import { createHotBlocks } from './gateway/hot-blocks.ts'
import type { StoreCare } from './gateway/metrics.ts'
import type { Log } from './log.ts'
import { createOutside } from './outside.ts'
import type { Pulled } from './pulled.ts'
import type { Tokens } from './tokens.ts'

/** Read ahead for one answer, and for all together: beside a block or two for each, what serving holds in memory. */
const READ_AHEAD_BYTES = 512 * 1024
const MAX_READ_AHEAD_BYTES = 32 * 1024 * 1024

export function composeGateway(
  {
    ledger,
    complete,
    takedowns,
    withheld,
    tokens,
    blocks,
    blocksOf,
    holdings,
    host,
    pulled,
    scratch,
    values,
    clock,
    log,
  }: {
    readonly ledger: Ledger
    readonly complete: CompleteSnapshots
    readonly takedowns: Pick<TakedownKeeper, 'isGone' | 'revision'>
    readonly withheld: Pick<Withheld, 'from'>
    readonly tokens: Tokens
    readonly blocks: BlockStore
    readonly blocksOf: NonNullable<BlockServiceComponents['blocksOf']>
    readonly holdings: Holdings
    readonly host: Pick<Host, 'relayed' | 'protocols' | 'paths'>
    readonly pulled: Pulled | undefined
    readonly scratch: Scratch
    /** Store.values. */
    readonly values: (namespace: string) => KeyValue
    readonly clock: Clock
    readonly log: Log
  },
  {
    config,
    readStatus,
    readCare,
    notReady,
  }: {
    readonly config: Config
    readonly readStatus: () => StatusDocument
    readonly readCare: () => StoreCare
    readonly notReady: () => string | undefined
  },
): Gateway {
  const hot = createHotBlocks(blocks)
  const givenOf = (tree: string) => withheld.from(blocksOf(tree), tree)
  const files = createFileReader(
    { blocks: hot, lender: createBlockLender({ blocks }) },
    { readAheadBytes: READ_AHEAD_BYTES, maxTotalBytes: MAX_READ_AHEAD_BYTES },
  )
  return createGateway(
    {
      catalogue: createCatalogue({ ledger, complete, takedowns }),
      tokens,
      blocks: hot,
      shown: complete.shown,
      // Of no tree: what is everybody's.
      blocksFor: (tree) =>
        tree === undefined
          ? withheld.from(blocks.of({ tree: '', isPrivate: () => false }), undefined)
          : givenOf(tree),
      readFile: (entry, range, signal, isOnce) =>
        isOnce === true ? files.readOnce(entry, range, signal) : files.read(entry, range, signal),
      readStatus,
      readTopology: () => ledger.state().topology?.body ?? NO_TOPOLOGY,
      hold: (snapshot) =>
        blocks.lease({ purpose: 'answer of the gateway', mayBeEnded: true, roots: [snapshot] }),
      holdBelow: (cid) => blocks.lease({ purpose: 'archive of the gateway', mayBeEnded: true, below: [cid] }),
      pull: pulled?.source,
      outside: createOutside({ ledger, blocks, blocksOf: givenOf, holdings }),
      readPulled: () => pulled?.usage(),
      scratch,
      digestValues: values('file-digests'),
      readCare,
      readRelayed: () => host.relayed(),
      readProtocols: () => host.protocols(),
      readPaths: () =>
        host.paths().flatMap((path) => {
          const site = ledger.state().members.get(path.peer)?.site
          return site === undefined ? [] : [{ ...path, site }]
        }),
      notReady,
      clock,
      log,
    },
    {
      listen: config.http,
      certificate: certificateOf(config),
      accessLog: config.httpAccessLog,
      keepMovedMs: config.httpKeepMovedHours * 3_600_000,
      maxConnections: config.httpMaxConnections,
      maxClientConnections: config.httpClientConnections,
      maxBodies: config.httpMaxRequests,
      bytesPerSecond: config.httpBytesPerSecond,
      clientBytesPerSecond: config.httpClientBytesPerSecond,
    },
  )
}

function certificateOf({ httpCertificate: certificate, httpKey: key }: Config): CertificateFiles | undefined {
  if (certificate !== undefined && key !== undefined) return { certificate, key }
  if (certificate === undefined && key === undefined) return undefined
  throw new MirrorError('invalid', 'httpCertificate and httpKey go together: one of them is missing', {
    hint: 'See: mirrormesh config show',
  })
}
