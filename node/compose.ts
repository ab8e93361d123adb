/**
 * The composition of a node: every part is made here, given its collaborators, and ended in the opposite order. The one
 * place that knows them all.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Clock } from '../src/base/clock.ts'
import { makeDeltas } from '../src/delta/make-deltas.ts'
import { startHost } from '../src/net/host.ts'
import { mayRead } from '../src/record/mesh-state.ts'
import { ADDRESS_NAMESPACE, loadAddressBook } from '../src/replica/address-book.ts'
import { createAdmission, createMembership } from '../src/replica/admission.ts'
import { createBlockService } from '../src/replica/block-service.ts'
import { createCollector } from '../src/replica/collector.ts'
import { loadCompleteSnapshots } from '../src/replica/complete-snapshots.ts'
import { createCopyChallenger } from '../src/replica/copy-challenger.ts'
import { createCopyWatch } from '../src/replica/copy-watch.ts'
import { createDamageWatch } from '../src/replica/damage-watch.ts'
import { createDeltaPublisher } from '../src/replica/delta-publisher.ts'
import { createHoldings } from '../src/replica/holdings.ts'
import { withInPlaceRisks } from '../src/replica/in-place-risk.ts'
import { createJoinRequests } from '../src/replica/join-requests.ts'
import { createLedger } from '../src/replica/ledger.ts'
import { createPublisher } from '../src/replica/publish.ts'
import { createRateCapper } from '../src/replica/rate-caps.ts'
import { createScrubber } from '../src/replica/scrubber.ts'
import { withSets } from '../src/replica/set-holdings.ts'
import { createSiteAgent } from '../src/replica/site-agent.ts'
import { urgencyOf } from '../src/replica/site-agent-goals.ts'
import type { StatusDocument } from '../src/replica/status.ts'
import { createTakedownKeeper } from '../src/replica/takedown-keeper.ts'
import { withTakedowns } from '../src/replica/takedown-status.ts'
import { createTraffic } from '../src/replica/traffic.ts'
import { createBlocksOf } from '../src/replica/tree-views.ts'
import { createUploads } from '../src/replica/uploads.ts'
import { createWanReach } from '../src/replica/wan-reach.ts'
import { createWithheld } from '../src/replica/withheld.ts'
import { openStore } from '../src/store/store.ts'
import { isReachable, NO_TOPOLOGY } from '../src/topology/topology.ts'
import { createCheckoutStorage } from '../src/tree/checkout-storage.ts'
import { createFileScratch } from '../src/tree/file-scratch.ts'
import { openStatCaches } from '../src/tree/stat-caches.ts'
import { createAnswerer } from './answer-questions.ts'
import type { SelfDocument } from './api/answers.ts'
import { createJobs } from './api/jobs.ts'
import { createApi } from './api/server.ts'
import type { Services } from './api/services.ts'
import { tcpPlaceOf } from './api/tcp-listener.ts'
import { composeGateway } from './compose-gateway.ts'
import type { Config, Setting } from './config.ts'
import { loadConsoleAssets } from './console-assets.ts'
import { makePrivateDir } from './durable-file.ts'
import { readFreeBytes } from './free-bytes.ts'
import { publicUrlOf } from './gateway/public-url.ts'
import { createHistory } from './history/history.ts'
import { createHooks } from './hooks/hooks.ts'
import { loadLimits } from './limits.ts'
import type { Log } from './log.ts'
import type { Paths } from './paths.ts'
import { openPulled, type Pulled } from './pulled.ts'
import { createRateMeter } from './rate-meter.ts'
import { careOf } from './store-care.ts'
import { loadNodeKey, notAMember, readMesh } from './this-node.ts'
import { loadTokens } from './tokens.ts'

export interface ComposeOptions {
  readonly paths: Paths
  readonly config: Config
  /** The same, each with where it comes from. */
  readonly settings: readonly Setting[]
  readonly clock: Clock
  readonly log: Log
  readonly version: string
  readonly socket: { readonly file: string; readonly privateDir?: string }
}

export interface RunningNode {
  start(): Promise<void>
  readSelf(): SelfDocument
  /** Ends what runs, and resolves when nothing is left of the node. */
  stop(): Promise<void>
}

const DAY_MS = 24 * 3_600_000

export async function composeNode(options: ComposeOptions): Promise<RunningNode> {
  const { paths, config, settings, clock, log, version, socket } = options
  await using parts = new AsyncDisposableStack()
  const tcp = tcpPlaceOf(config)
  const nodeKey = await loadNodeKey(paths)
  const tokens = await loadTokens({ file: paths.tokensFile, clock })
  const damageWatch = createDamageWatch({ clock, logger: log })
  let pulled: Pulled | undefined
  const store = await openStore(
    {
      dir: paths.storeDir,
      clock,
      log: (event, facts) => log.info(facts, event),
      onCorrupt(damage) {
        log.error({ damage }, 'store.block-damaged')
        damageWatch.found()
      },
    },
    {
      compression: config.storeCompression,
      // What is kept for readers goes before anything else is refused.
      makeRoom: (sizeBytes) => pulled?.cache.makeRoom(sizeBytes) ?? 0,
    },
  )
  parts.defer(() => store.close())
  parts.defer(() => damageWatch.stop())
  const { blocks } = store
  // Before anything is read: what is not where it should be counts as lost.
  await createCheckoutStorage({ blocks }).find()
  const values = (namespace: string) => store.values(namespace)
  await makePrivateDir(paths.tempDir)
  const scratch = createFileScratch(paths.tempDir)

  const mesh = await readMesh(store.records, paths)
  const ledger = await createLedger({ log: store.records, clock, logger: log }, { mesh })
  const member = ledger.state().members.get(nodeKey.peer)
  if (member === undefined || !member.isActive) throw notAMember(nodeKey.peer)
  const self = { peer: nodeKey.peer, site: member.site, region: member.region, version }

  const traffic = createTraffic()
  const blocksOf = createBlocksOf(blocks, { state: ledger.state, clock })
  const holdings = withSets(createHoldings({ blocks, blocksOf, values, clock }), {
    ...{ blocks, blocksOf, state: ledger.state },
  })
  const complete = await loadCompleteSnapshots({ values, holdings })
  const withheld = createWithheld({ state: ledger.state, blocks, scratch, clock })
  const givenOf = (tree: string) => withheld.from(blocksOf(tree), tree)
  const membership = createMembership({ ledger, nodeKey, clock }, { takesRequests: config.joinRequests })
  const joinRequests = createJoinRequests({ ledger, nodeKey, clock, logger: log })
  const isOtherRegion = (peer: string): boolean => {
    const other = ledger.state().members.get(peer)
    return other !== undefined && other.region !== self.region
  }
  const limits = await loadLimits({
    file: paths.limitsFile,
    config,
    onChange: (caps) => capper.change(caps),
  })
  const capper = createRateCapper(
    {
      clock,
      isFar: isOtherRegion,
      isUrgent(tree, peer = self.peer) {
        const place = ledger.state().members.get(peer)
        return place !== undefined && urgencyOf(ledger.state(), tree, place).isUrgent
      },
    },
    limits.caps(),
  )
  const host = await startHost(
    {
      keySeed: nodeKey.seed,
      mesh,
      membership,
      records: ledger,
      admission: createAdmission({ ledger, nodeKey, clock, logger: log }),
      joinRequests: config.joinRequests ? joinRequests : undefined,
      blockServer: capper.serve(
        createBlockService({
          blocks,
          blocksOf: givenOf,
          holdings,
          traffic,
          mayRead: (peer, tree) =>
            membership.isMember(peer) && mayRead(ledger.state(), tree, peer, clock.nowMs()),
          ...(config.wireCompression === 'wan' ? { isFar: createWanReach({ ledger, clock, self }) } : {}),
        }),
      ),
      answerer: createAnswerer({
        announced: () => agent.announced(),
        readFetches: () => agent.fetches(),
        mayRead: (peer, tree) => mayRead(ledger.state(), tree, peer, clock.nowMs()),
        holds: (tree, snapshot) =>
          !takedowns.isGone(tree, snapshot) &&
          (complete.has(tree, snapshot) || complete.viewOf(tree, snapshot) !== undefined),
        blocksOf,
        clock,
      }),
      clock,
      log,
    },
    {
      listen: config.listen,
      announce: config.announce,
      security: config.security,
      isReachable: () =>
        config.reachable &&
        config.listen.length > 0 &&
        isReachable(ledger.state().topology?.body ?? NO_TOPOLOGY, member.site),
    },
  )
  parts.defer(() => host.stop())
  const addressBook = await loadAddressBook(store.values(ADDRESS_NAMESPACE))
  const agent = createSiteAgent(
    {
      ledger,
      store,
      scratch,
      host,
      network: capper.fetch(host),
      holdings,
      complete,
      traffic,
      addressBook,
      joinRequests,
      clock,
      readFreeBytes: () => readFreeBytes(paths.storeDir),
      readTakedowns: () => takedowns.done(),
      isGone: (tree, snapshot) => takedowns.isGone(tree, snapshot),
      readVerified: (tree) => challenger.told(tree),
      logger: log,
      self: { ...self, url: publicUrlOf(config) },
    },
    {
      checkoutDevices: config.devices,
      checkoutsAreStorage: config.checkoutsAreStorage,
      keepOldSeconds: config.keepOldSeconds,
      freezeAlarmMs: config.freezeAlarmHours * 3_600_000,
      ...(config.workers === undefined ? {} : { checkoutWorkers: config.workers }),
    },
  )
  parts.defer(() => agent.stop())
  const challenger = createCopyChallenger({
    ...{ ledger, complete, blocksOf, host, clock, randomBytes, scratch, self, logger: log },
    heard: () => agent.heard(),
    onChange: () => agent.refresh(),
  })
  parts.defer(() => challenger.stop())
  const copyWatch = createCopyWatch({ challenger, clock }, { graceMs: config.copiesAlarmMinutes * 60_000 })

  const collector = createCollector(
    {
      isGone: (tree, snapshot) => takedowns.isGone(tree, snapshot),
      ledger,
      store,
      complete,
      self,
      clock,
      logger: log,
      onHole: () => damageWatch.found(),
      copies: challenger,
      onDropped: () => agent.refresh(),
    },
    {
      keepSnapshots: config.keepSnapshots,
      graceMs: config.keepUnpinnedDays * DAY_MS,
      everyMs: config.collectEveryMinutes * 60_000,
      maxDeltaShare: config.deltaPercent / 100,
    },
  )
  parts.defer(() => collector.stop())
  const takedowns = createTakedownKeeper({
    ledger,
    complete,
    blocks,
    values,
    checkedOut: collector.checkedOut,
    collect: (signal) => collector.run({ signal }),
    withheld,
    forgetPulled: () => void pulled?.cache.makeRoom(Number.MAX_SAFE_INTEGER),
    clock,
    logger: log,
    onChanged: () => agent.refresh(),
  })
  parts.defer(() => takedowns.stop())
  const scrubber = createScrubber(
    { store, clock, logger: log },
    { bytesPerSecond: config.scrubBytesPerSecond, everyMs: config.scrubEveryDays * DAY_MS },
  )
  parts.defer(() => scrubber.stop())

  pulled =
    config.http === 'off' || config.pullQuotaBytes === 0
      ? undefined
      : openPulled(
          {
            ...{ blocks, ledger, agent, network: capper.fetch(host), traffic, clock, log },
            isGone: takedowns.isGone,
          },
          { dir: join(paths.cacheDir, 'pulled'), quotaBytes: config.pullQuotaBytes, self },
        )
  parts.defer(() => pulled?.close())
  const gateway =
    config.http === 'off'
      ? undefined
      : composeGateway(
          {
            ...{ ledger, complete, takedowns, tokens, blocks, blocksOf, holdings, host },
            ...{ pulled, scratch, clock, log },
          },
          {
            config,
            readStatus,
            readCare: () => careOf({ collector, scrubber, store }),
            notReady: () => (isReady ? undefined : 'starting'),
          },
        )
  parts.defer(() => gateway?.stop())
  const rates = createRateMeter({ host, clock })
  parts.defer(() => rates.stop())
  const deltas = createDeltaPublisher(
    { ledger, blocks, holdings, complete, nodeKey, clock, logger: log, makeDeltas },
    { maxShare: config.deltaPercent / 100, maxBases: config.deltaBases, workers: config.workers },
  )
  parts.defer(() => deltas.stop())
  const jobs = createJobs({ clock, log })
  const history = createHistory({ values: values('history'), readStatus, clock, log })
  parts.defer(() => history.stop())
  const uploads = createUploads(
    {
      ...{ ledger, blocks, complete, host, nodeKey, scratch, clock, logger: log },
      readFreeBytes: () => readFreeBytes(paths.storeDir),
      isGone: takedowns.isGone,
    },
    { maxShrinkShare: config.maxShrinkPercent / 100 },
  )
  parts.defer(() => uploads.stop())
  const services: Services = {
    history,
    limits,
    readSettings: () => settings,
    ledger,
    blocks,
    scratch,
    complete,
    publisher: createPublisher(
      {
        ledger,
        blocks,
        complete,
        nodeKey,
        clock,
        tempDir: paths.tempDir,
        statCaches: openStatCaches({ dir: paths.cacheDir, log }),
        host,
        logger: log,
        deltas,
      },
      {
        compression: config.storeCompression === 'zstd' ? 'zstd' : 'none',
        maxShrinkShare: config.maxShrinkPercent / 100,
      },
    ),
    collector,
    scrubber,
    host,
    rates,
    jobs,
    tokens,
    clock,
    uploads,
    joinRequests,
    issueAsNode: async (kind, body) => (await ledger.issue(nodeKey, kind, () => body)).id,
    readSelf,
    readStatus,
    copiesOfPin: copyWatch.ofPin,
    readFetches: () => agent.fetches(),
    onStatusChange: (listener) => agent.onChange(listener),
    onBlocksLost: () => damageWatch.found(),
    workers: config.workers,
    deltas: config.deltas,
    tempDir: paths.tempDir,
    keepOldSeconds: config.keepOldSeconds,
    log,
  }
  const hooks = createHooks(
    { clock, log, values: values('hooks'), readStatus, onStatusChange: services.onStatusChange },
    { hooks: config.hooks, behindMs: config.hookBehindMinutes * 60_000 },
  )
  parts.defer(() => hooks.stop())
  const api = createApi(services, {
    paths,
    socket,
    tcp,
    peer: self.peer,
    loadConsole: loadConsoleAssets,
  })
  parts.defer(() => api.stop())
  parts.defer(() => jobs.stop())

  let isReady = false
  const owned = parts.move()
  return {
    async start() {
      await gateway?.start()
      await agent.start()
      damageWatch.start({ complete, blocks, onRevoked: () => agent.refresh() })
      await takedowns.start()
      agent.onChange(takedowns.look)
      collector.start()
      challenger.start()
      rates.start()
      void deltas.resume()
      await scrubber.start()
      await api.start()
      await hooks.start()
      await history.start()
      isReady = true
    },
    readSelf,
    stop: () => owned.disposeAsync(),
  }

  function readStatus(): StatusDocument {
    const status = withInPlaceRisks(agent.status(), blocks.backings.list())
    return withTakedowns(copyWatch.withCopies(status), ledger.state())
  }

  function readSelf(): SelfDocument {
    return {
      mesh: { id: mesh.toString(), name: ledger.state().name ?? '' },
      ...self,
      addresses: host.addresses(),
      http: gateway?.address() ?? null,
      api: api.url() ?? null,
      pid: process.pid,
    }
  }
}
