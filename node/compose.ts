/**
 * The composition of a node: every part is made here, given its collaborators, and ended in the opposite order. The one
 * place that knows them all.
 */
import { join } from 'node:path'
import type { Clock } from '../src/base/clock.ts'
import { startHost } from '../src/net/host.ts'
import { mayRead } from '../src/record/mesh-state.ts'
import { standingAt } from '../src/replica/deltas/older-bases.ts'
import { withSets } from '../src/replica/deltas/set-holdings.ts'
import { createRateCapper } from '../src/replica/fetch/rate-caps.ts'
import { urgencyOf } from '../src/replica/goals.ts'
import { loadCompleteSnapshots } from '../src/replica/holdings/complete-snapshots.ts'
import { createHoldings } from '../src/replica/holdings/holdings.ts'
import { createBlocksOf } from '../src/replica/holdings/tree-views.ts'
import { chunkerOfNewTrees } from '../src/replica/publish/new-trees.ts'
import { ADDRESS_NAMESPACE, loadAddressBook } from '../src/replica/records/address-book.ts'
import { createAdmission, createMembership } from '../src/replica/records/admission.ts'
import { createJoinRequests } from '../src/replica/records/join-requests.ts'
import { createLedger } from '../src/replica/records/ledger.ts'
import { createCollector } from '../src/replica/retain/collector.ts'
import { createScrubber } from '../src/replica/retain/scrubber.ts'
import { createBlockService } from '../src/replica/serve/block-service.ts'
import { createWanReach } from '../src/replica/serve/wan-reach.ts'
import { createSiteAgent } from '../src/replica/site-agent/site-agent.ts'
import { withGivingWay } from '../src/replica/status/giving-way.ts'
import { withInPlaceRisks } from '../src/replica/status/in-place-risk.ts'
import type { StatusDocument } from '../src/replica/status/status.ts'
import { createTakedownKeeper } from '../src/replica/takedown/takedown-keeper.ts'
import { withTakedowns } from '../src/replica/takedown/takedown-status.ts'
import { createWithheld } from '../src/replica/takedown/withheld.ts'
import { createTraffic } from '../src/replica/traffic.ts'
import { isReachable, NO_TOPOLOGY, wayKbit } from '../src/topology/topology.ts'
import { createAnswerer } from './answer-questions.ts'
import type { SelfDocument } from './api/answers.ts'
import { createJobs } from './api/jobs/jobs.ts'
import { createApi } from './api/server.ts'
import type { Services } from './api/services.ts'
import { tcpPlaceOf } from './api/tcp-listener.ts'
import { composeCopies } from './compose-copies.ts'
import { composeGateway } from './compose-gateway.ts'
import { composePublishing, openHeldBack } from './compose-publishing.ts'
import { composeStore } from './compose-store.ts'
import type { Config, Setting } from './config.ts'
import { createConfigEditor } from './config-editor.ts'
import { loadConsoleAssets } from './console-assets.ts'
import { loadFetchPauses } from './fetch-pauses.ts'
import { readFreeBytes } from './free-bytes.ts'
import { publicUrlOf } from './gateway/public-url.ts'
import { createHistory } from './history/history.ts'
import { createHooks } from './hooks/hooks.ts'
import { loadLimits } from './limits.ts'
import type { Log } from './log.ts'
import type { Paths } from './paths.ts'
import { openPulled, type Pulled, removePulled } from './pulled.ts'
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
  let pulled: Pulled | undefined
  const { store, damageWatch, scratch } = await composeStore(
    { paths, config, clock, log, parts },
    // What is kept for readers goes first.
    (sizeBytes) => pulled?.cache.makeRoom(sizeBytes) ?? 0,
  )
  const { blocks } = store
  const values = (namespace: string) => store.values(namespace)

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
    clock,
    onChange: (caps) => capper.change(caps),
    onGiveWay: (settings) => host.giveWay(settings),
  })
  parts.defer(() => limits.stop())
  const pauses = await loadFetchPauses({ file: paths.pausesFile, clock })
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
        ...{ self: self.peer, complete, blocksOf: givenOf, clock },
      }),
      isFar: isOtherRegion,
      declaredRate(peer) {
        const from = ledger.state().members.get(peer)
        const kbit = from && wayKbit(ledger.state().topology?.body ?? NO_TOPOLOGY, from, self)
        return kbit === undefined ? undefined : kbit * 125
      },
      clock,
      log,
    },
    {
      giveWay: limits.giveWay(),
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
  const heldBack = await openHeldBack(
    { ledger, blocks, values, nodeKey, clock, log, onChanged: () => agent.refresh() },
    config,
  )
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
      pauses,
      clock,
      readFreeBytes: () => readFreeBytes(paths.storeDir),
      readTakedowns: () => takedowns.done(),
      heldBackOf: heldBack.of,
      isGone: (tree, snapshot) => takedowns.isGone(tree, snapshot),
      readVerified: (tree) => copies.told(tree),
      logger: log,
      self: { ...self, url: publicUrlOf(config) },
    },
    {
      checkoutDevices: config.devices,
      checkoutsAreStorage: config.checkoutsAreStorage,
      keepOldSeconds: config.keepOldSeconds,
      aheadAfterMs: config.checkoutsAheadSeconds * 1000,
      freezeAlarmMs: config.freezeAlarmHours * 3_600_000,
      ...(config.workers === undefined ? {} : { checkoutWorkers: config.workers }),
    },
  )
  parts.defer(() => agent.stop())
  const watched = { heard: () => agent.heard(), onChange: () => agent.refresh() }
  const copies = composeCopies(
    { ledger, complete, blocksOf, host, clock, scratch, self, logger: log, ...watched },
    config,
  )
  parts.defer(() => copies.stop())

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
      copies,
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
    ...{ ledger, complete, blocks, values, withheld, clock, logger: log },
    checkedOut: collector.checkedOut,
    collect: (signal) => collector.run({ signal }),
    forgetPulled: () => void pulled?.cache.makeRoom(Number.MAX_SAFE_INTEGER),
    onChanged: () => agent.refresh(),
  })
  parts.defer(() => takedowns.stop())
  const scrubber = createScrubber(
    { store, clock, logger: log },
    { bytesPerSecond: config.scrubBytesPerSecond, everyMs: config.scrubEveryDays * DAY_MS },
  )
  parts.defer(() => scrubber.stop())

  if (config.http === 'off' || config.pullQuotaBytes === 0) await removePulled(join(paths.cacheDir, 'pulled'))
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
            ...{ ledger, complete, takedowns, withheld, tokens, blocks, blocksOf, holdings, host },
            ...{ pulled, scratch, values, clock, log },
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
  const publishing = composePublishing(
    {
      ...{ ledger, blocks, holdings, complete, nodeKey, clock, host, scratch, heldBack, values, log },
      isGone: takedowns.isGone,
      standing: (tree) => standingAt(agent.heard(), tree),
      chunkerOfNewTrees: () => chunkerOfNewTrees(agent.heard()),
    },
    { config, paths },
  )
  parts.defer(() => publishing.stop())
  const jobs = createJobs({ clock, log })
  const history = createHistory({ values: values('history'), readStatus, clock, log })
  parts.defer(() => history.stop())
  const services: Services = {
    history,
    limits,
    pauses,
    configEditor: createConfigEditor({ file: paths.configFile, settings }),
    ledger,
    blocks,
    scratch,
    complete,
    publisher: publishing.publisher,
    uploads: publishing.uploads,
    heldBackOf: heldBack.of,
    collector,
    scrubber,
    host,
    rates,
    jobs,
    tokens,
    clock,
    joinRequests,
    issueAsNode: async (kind, body) => (await ledger.issue(nodeKey, kind, () => body)).id,
    readSelf,
    readStatus,
    copiesOfPin: copies.ofPin,
    readFetches: () => agent.fetches(),
    reach: (peer, signal) => agent.reach(peer, signal),
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
      copies.start()
      rates.start()
      publishing.start()
      limits.start()
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
    const status = copies.withCopies(withInPlaceRisks(agent.status(), blocks.backings.list()))
    return withTakedowns(withGivingWay(status, host.paths()), ledger.state())
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
