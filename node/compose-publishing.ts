/** What publishes at a node, put together of the node's parts and settings: its own trees, and by keys of others. */
import { makeDeltas } from '../src/delta/make-deltas.ts'
import { createDeltaPublisher } from '../src/replica/deltas/delta-publisher.ts'
import { createOwedDeltas } from '../src/replica/deltas/owed-deltas.ts'
import { type HeldBackKeeper, loadHeldBack } from '../src/replica/publish/held-back.ts'
import { createPublisher, type Publisher, type PublisherComponents } from '../src/replica/publish/publish.ts'
import type { Uploads, UploadsComponents } from '../src/replica/publish/upload-types.ts'
import { createUploads } from '../src/replica/publish/uploads.ts'
import type { BlockStore } from '../src/store/block-store.ts'
import type { Store } from '../src/store/store.ts'
import { openStatCaches } from '../src/tree/stat-cache/stat-caches.ts'
import type { Config } from './config.ts'
import { readFreeBytes } from './free-bytes.ts'
import type { Log } from './log.ts'
import type { Paths } from './paths.ts'

type DeltaComponents = Parameters<typeof createDeltaPublisher>[0]

export interface PublishingComponents
  extends Omit<
      PublisherComponents,
      'chunkerOfNewTrees' | 'deltas' | 'heldBack' | 'logger' | 'statCaches' | 'tempDir'
    >,
    Pick<UploadsComponents, 'isGone' | 'scratch'>,
    Pick<DeltaComponents, 'holdings'>,
    Required<Pick<DeltaComponents, 'standing'>>,
    Required<Pick<PublisherComponents, 'chunkerOfNewTrees'>> {
  readonly complete: PublisherComponents['complete'] & UploadsComponents['complete']
  readonly blocks: BlockStore
  readonly values: Store['values']
  readonly heldBack: HeldBackKeeper
  readonly log: Log
}

export interface Publishing {
  readonly publisher: Publisher
  readonly uploads: Uploads
  start(): void
  stop(): Promise<void>
}

const DAY_MS = 24 * 3_600_000

/** Before anything may be collected: what waits for a verdict is leased by it. */
export function openHeldBack(
  components: Omit<Parameters<typeof loadHeldBack>[0], 'logger' | 'values'> & {
    readonly values: Store['values']
    readonly log: Log
  },
  config: Config,
): Promise<HeldBackKeeper> {
  const { values, log, ...rest } = components
  return loadHeldBack(
    { ...rest, logger: log, values: values('held-back') },
    { keepMs: config.heldBackDays * DAY_MS },
  )
}

export function composePublishing(
  components: PublishingComponents,
  { config, paths }: { readonly config: Config; readonly paths: Paths },
): Publishing {
  const { ledger, blocks, holdings, complete, nodeKey, clock, host, scratch } = components
  const { isGone, heldBack, values, log, standing, chunkerOfNewTrees } = components
  const maxShrinkShare = config.maxShrinkPercent / 100
  const deltas = createDeltaPublisher(
    {
      ...{ ledger, blocks, holdings, complete, nodeKey, clock, logger: log, makeDeltas, standing },
      owed: createOwedDeltas(values('deltas')),
    },
    { maxShare: config.deltaPercent / 100, maxBases: config.deltaBases, workers: config.workers },
  )
  const uploads = createUploads(
    {
      ...{ ledger, blocks, complete, host, nodeKey, scratch, isGone, clock, logger: log, chunkerOfNewTrees },
      readFreeBytes: () => readFreeBytes(paths.storeDir),
      values: values('uploads'),
    },
    { maxShrinkShare },
  )
  const publisher = createPublisher(
    {
      ...{ ledger, blocks, complete, nodeKey, clock, host, deltas, heldBack, logger: log, chunkerOfNewTrees },
      tempDir: paths.tempDir,
      statCaches: openStatCaches({ dir: paths.cacheDir, log }),
    },
    { compression: config.storeCompression === 'zstd' ? 'zstd' : 'none', maxShrinkShare },
  )
  return {
    publisher,
    uploads,
    start() {
      void deltas.resume()
      heldBack.start((held, signal) => publisher.publishHeld(held, { deltas: config.deltas, signal }))
    },
    async stop() {
      uploads.stop()
      await heldBack.stop()
      await deltas.stop()
    },
  }
}
