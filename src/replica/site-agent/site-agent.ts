import { sleep } from '../../base/clock.ts'
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import { Semaphore } from '../../base/semaphore.ts'
import { cidKey } from '../../block/cid.ts'
import { SNAPSHOT_VERSION } from '../../dag/snapshot.ts'
import { MAX_PRIORITY, USUAL_PRIORITY } from '../../record/kinds/pin.ts'
import { type Effect, newestStanding } from '../../record/mesh-state.ts'
import { buildStatus } from '../build-status.ts'
import { createDeltaOffers } from '../fetch/delta-offers.ts'
import type { FetchDemand } from '../fetch/fetch-demand.ts'
import { startFetch } from '../fetch/fetch-session.ts'
import { newestHeld } from '../fetch/index-over-base.ts'
import { swarmOf } from '../fetch/swarm-facts.ts'
import { NO_PAUSES } from '../fetch-pauses.ts'
import { type Goal, goalsOf, withPauses } from '../goals.ts'
import { createBlocksOf } from '../holdings/tree-views.ts'
import { createPathShares } from '../scheduler/path-shares.ts'
import { createFreezeWatch } from '../status/freeze-watch.ts'
import type { Alarm } from '../status/status.ts'
import type { SiteAnnouncement } from '../status/status-announcement.ts'
import { createBackground } from './background.ts'
import { createCheckoutKeeper } from './checkouts.ts'
import { createStatusGossip } from './gossip.ts'
import { createMemberKeeper } from './members.ts'
import { createPeerKeeper } from './peers.ts'
import {
  announcedTree,
  type OwnReplica,
  ownReplica,
  pausesIn,
  siteFacts,
  trafficStatus,
  treeFacts,
} from './status.ts'
import { createTreeWorker, type FetchRequest, type TreeWorker } from './tree.ts'
import type { SiteAgent, SiteAgentComponents, SiteAgentOptions } from './types.ts'

/** Of a path that several fetches use: each step of priority doubles the share. */
function pathWeight(priority: number, isUrgent: boolean): number {
  return 2 ** (priority - USUAL_PRIORITY + (isUrgent ? MAX_PRIORITY : 0))
}

const CHANGE_INTERVAL_MS = 200
/** How often check-outs are compared with what their markers say. */
const LOOK_MS = 30_000
/** After a start, unconnected members of the region are taken to be on their way for this long. */
const ARRIVAL_MS = 30_000

export function createSiteAgent(
  components: SiteAgentComponents,
  { maxFetches = 3, maxCheckouts = 1, freezeAlarmMs = 0, ...checkoutOptions }: SiteAgentOptions = {},
): SiteAgent {
  const { ledger, store, host, holdings, complete, traffic, addressBook, clock, logger, self } = components
  const {
    random = Math.random,
    scratch,
    network = host,
    readFreeBytes = () => undefined,
    readTakedowns,
    readVerified = () => [],
    isGone,
    joinRequests,
    pauses = NO_PAUSES,
  } = components
  const background = createBackground(logger)
  const blocksOf = createBlocksOf(store.blocks, { state: ledger.state, clock })
  const workers = new Map<string, TreeWorker>()
  const paths = createPathShares((peer) => {
    const path = host.pathTo(peer)
    return path?.isYielding === true ? path.queueMs : undefined
  })
  const fetchSlots = new Semaphore(maxFetches)
  const urgentSlots = new Semaphore(maxFetches)
  const checkoutSlots = new Semaphore(maxCheckouts)
  const checkouts = createCheckoutKeeper(
    {
      blocks: store.blocks,
      blocksOf,
      state: ledger.state,
      shown: complete.shown,
      ...(isGone === undefined ? {} : { isGone }),
      isPublishedHere: (tree) => ledger.state().trees.get(tree)?.epoch?.publisher === self.peer,
      checkoutSlots,
      clock,
      logger,
    },
    { maxAhead: maxCheckouts, ...checkoutOptions },
  )
  const listeners = new Set<() => void>()
  const blamed = new Map<string, string>()
  const demands = new Map<string, FetchDemand>()
  let goals: ReadonlyMap<string, Goal> = new Map()
  const freezes = createFreezeWatch(self, { silentMs: freezeAlarmMs })
  let startedAtMs = Number.POSITIVE_INFINITY
  let cancelChange: (() => void) | undefined

  const peers = createPeerKeeper({ ledger, host, addressBook, clock, random, logger, background, self })
  const gossip = createStatusGossip({
    host,
    ledger,
    addressBook,
    clock,
    random,
    logger,
    background,
    announce,
    onHeard(peer) {
      members.heard(peer)
      tellSoon()
    },
    onAddresses: (peer) => peers.addressesChanged(peer),
    self: self.peer,
  })

  const members = createMemberKeeper({
    state: ledger.state,
    connected,
    heard: () => gossip.heard(),
    shunned: () => peers.shunned(),
    isStarting: () => clock.monotonicMs() - startedAtMs < ARRIVAL_MS,
    filterOf: (tree) => goals.get(tree)?.filter,
    clock,
    self,
  })

  function connected(): ReadonlySet<string> {
    return new Set(host.peers().map(({ peer }) => peer))
  }

  /** Something of the agent's own doing changed: the others are told too. */
  function changed(): void {
    gossip.changed()
    tellSoon()
  }

  function tellSoon(): void {
    if (background.signal.aborted) return
    cancelChange ??= clock.after(CHANGE_INTERVAL_MS, () => {
      cancelChange = undefined
      for (const listener of listeners) {
        try {
          listener()
        } catch (error) {
          logger.warn({ err: asMirrorError(error, 'tell of a change') }, 'agent.listener-failed')
        }
      }
    })
  }

  function workerOf(tree: string): TreeWorker {
    let worker = workers.get(tree)
    if (worker === undefined) {
      worker = createTreeWorker(
        {
          complete,
          startFetch: fetchFor,
          checkOut: checkouts.move,
          beginCheckOut: checkouts.begin,
          checkedOut: checkouts.checkedOut,
          fetchSlots,
          urgentSlots,
          checkoutSlots,
          clock,
          random,
          logger,
          onChange: changed,
        },
        tree,
      )
      workers.set(tree, worker)
    }
    return worker
  }

  function fetchFor({ tree, snapshot, filter, isUrgent, priority, pages, signal }: FetchRequest) {
    const lease = store.blocks.lease({ purpose: `keep ${tree}`, roots: [snapshot] })
    const fetch = startFetch(
      { network, members, blocks: blocksOf(tree), holdings, traffic, clock, log: logger, paths, scratch },
      {
        tree,
        snapshot,
        self,
        scheduling: { pathWeight: pathWeight(priority, isUrgent) },
        ...swarmOf(ledger.state(), tree),
        signal,
        deltas: createDeltaOffers(
          { ledger, complete, heard: () => gossip.heard() },
          { tree, snapshot, filter },
        ),
        ...(filter === undefined ? {} : { filter }),
        base: newestHeld(ledger.state().trees.get(tree)?.history, (each) =>
          complete.holds(tree, each, filter),
        ),
        onBlame: blame,
        pages,
      },
    )
    const demandKey = `${tree} ${cidKey(snapshot)}`
    demands.set(demandKey, fetch.demand)
    const done = fetch.done
      .then((result) => {
        // Before the lease ends: a collection finds it complete, or leased.
        if (result.view === undefined) complete.note(tree, snapshot)
        else complete.noteView(tree, snapshot, result.view)
        return result
      })
      .finally(() => {
        demands.delete(demandKey)
        lease.close()
      })
    done.catch(() => undefined)
    const { progress, explain, explainDeltas } = fetch
    return { done, progress, explain, explainDeltas }
  }

  function blame(peer: string, error: MirrorError): void {
    blamed.set(peer, error.message)
    peers.shun(peer)
    changed()
  }

  /** Follows the records: the one place where goals are set. */
  function pursue(): void {
    goals = withPauses(goalsOf(ledger.state(), self, clock.nowMs()), pauses.list())
    for (const [tree, goal] of goals) workerOf(tree).setGoal(goal)
    for (const [tree, worker] of workers) {
      if (goals.has(tree)) continue
      workers.delete(tree)
      background.run('let go of a tree', () => worker.stop())
    }
  }

  function replicas(): Map<string, OwnReplica> {
    const out = new Map<string, OwnReplica>()
    for (const tree of ledger.state().trees.values()) {
      const own = ownReplica(
        tree,
        goals.get(tree.name),
        workers.get(tree.name)?.status(),
        complete,
        newestStanding(ledger.state(), tree),
      )
      if (own !== undefined) out.set(tree.name, own)
    }
    return out
  }

  function announce(): SiteAnnouncement {
    const { trees } = ledger.state()
    const { bytesSent, bytesReceived } = traffic.totals()
    return {
      timeMs: clock.nowMs(),
      version: self.version,
      snapshotVersion: SNAPSHOT_VERSION,
      ...(self.url === undefined ? {} : { url: self.url }),
      addresses: host.addresses(),
      trees: [...replicas()].flatMap(([name, own]) => {
        const tree = trees.get(name)
        if (tree === undefined) return []
        return [announcedTree(tree, own, complete, readVerified(name), components.heldBackOf?.(name))]
      }),
      bytesSent,
      bytesReceived,
      freeBytes: readFreeBytes(),
      ...(readTakedowns === undefined ? {} : { takedownsDone: readTakedowns() }),
      requests: joinRequests?.list() ?? [],
      ...pausesIn(goals),
    }
  }

  function alarms(): Alarm[] {
    const out: Alarm[] = ledger
      .state()
      .alarms.map(({ kind, subject, message }) => ({ kind, subject, detail: message }))
    for (const [peer, detail] of blamed) out.push({ kind: 'wrong-bytes', subject: peer, detail })
    for (const [tree, worker] of workers) {
      const { failure } = worker.status()
      if (failure === undefined || (failure.failures < 3 && failure.code !== 'no-space')) continue
      out.push({ kind: `replica-${failure.code}`, subject: tree, detail: failure.message })
    }
    const heard = gossip.heard()
    const times = { nowMs: clock.nowMs(), monotonicMs: clock.monotonicMs() }
    out.push(...freezes.alarms(ledger.state(), { kept: goals.keys(), heard, ...times }))
    return out
  }

  function logHead({ tree, head: { epoch, sequence, snapshot } }: Extract<Effect, { kind: 'head' }>): void {
    logger.info({ tree, epoch, sequence, snapshot: snapshot.toString() }, 'head.accepted')
  }

  return {
    async start() {
      startedAtMs = clock.monotonicMs()
      const ends = [
        ledger.subscribe(({ effects }) => {
          for (const effect of effects) if (effect.kind === 'head') logHead(effect)
          if (effects.some(({ kind }) => kind !== 'kept' && kind !== 'alarm' && kind !== 'encodings'))
            pursue()
          if (
            effects.some(
              ({ kind }) =>
                kind === 'member' ||
                kind === 'revoked' ||
                kind === 'pin' ||
                kind === 'site' ||
                kind === 'grant' ||
                kind === 'tree',
            )
          )
            members.notify()
          changed()
        }),
        host.onPeer(({ peer, connected: isConnected }) => {
          members.notify()
          if (isConnected) for (const worker of workers.values()) worker.nudge()
          if (isConnected) gossip.connected(peer)
          else gossip.lost(peer)
          tellSoon()
        }),
        host.onAddresses(changed),
        ...(joinRequests === undefined ? [] : [joinRequests.onChange(changed)]),
        pauses.onChange(() => {
          pursue()
          changed()
        }),
      ]
      background.signal.addEventListener('abort', () => {
        for (const end of ends) end()
        cancelChange?.()
      })
      background.run('look at check-outs', async (signal) => {
        for (;;) {
          await sleep(clock, LOOK_MS, signal)
          // A reader's grant may have run out by the clock.
          pursue()
          for (const worker of workers.values()) worker.look()
          await checkouts.removeOldTrees(
            [...goals.values()].flatMap(({ tree, checkouts: paths, versions }) =>
              paths.map((path) => ({ tree, path, versions: versions.get(path) })),
            ),
            signal,
          )
        }
      })
      peers.start()
      gossip.start()
      pursue()
    },
    async stop() {
      const reason = new MirrorError('aborted', 'the node is stopping')
      await Promise.all([background.stop(reason), ...[...workers.values()].map((worker) => worker.stop())])
      listeners.clear()
    },
    reach: (peer, signal) => peers.reach(peer, signal),
    announced: () => gossip.whole(),
    heard: () => gossip.heard(),
    status() {
      const state = ledger.state()
      return buildStatus({
        mesh: { name: state.name ?? '', id: ledger.mesh.toString() },
        self: { ...self, addresses: host.addresses() },
        freeBytes: readFreeBytes() ?? null,
        ...(readTakedowns === undefined ? {} : { takedownsDone: readTakedowns() }),
        members: siteFacts(state),
        trees: [...state.trees.values()]
          .filter(({ body }) => !body.removed)
          .map((tree) => treeFacts(state, tree, clock.nowMs())),
        own: replicas(),
        heldBackOf: components.heldBackOf,
        heard: gossip.heard(),
        connected: connected(),
        traffic: trafficStatus(state, self, traffic.totals()),
        alarms: alarms(),
        requests: joinRequests?.list() ?? [],
      })
    },
    fetches() {
      const views = [...workers].map(([tree, worker]) => [tree, worker.fetch()] as const)
      return new Map(views.flatMap(([tree, view]) => (view === undefined ? [] : [[tree, view]])))
    },
    members,
    demandOf: (tree, snapshot) => demands.get(`${tree} ${cidKey(snapshot)}`),
    blame,
    refresh() {
      if (background.signal.aborted) return
      pursue()
      changed()
    },
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}
