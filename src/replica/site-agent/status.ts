/** Puts together what the status document and the announcement need, from the records and the parts of the agent. */
import { type Head, type MeshState, newestStanding, type TreeState } from '../../record/mesh-state.ts'
import { type Place, pathClass } from '../../topology/path-class.ts'
import { NO_RIGHT } from '../build-status.ts'
import { pauseReason } from '../fetch-pauses.ts'
import { type Goal, hasRight, isPinned } from '../goals.ts'
import type { CompleteSnapshots } from '../holdings/complete-snapshots.ts'
import type { HeldBack } from '../publish/held-back.ts'
import {
  type AnnouncedTree,
  MAX_ALSO_COMPLETE,
  MAX_RUNS,
  type VerifiedCopy,
} from '../status/announced-tree.ts'
import type {
  CheckoutStatus,
  PeerTraffic,
  ReplicaStatus,
  StatusSources,
  TrafficStatus,
  TreeFacts,
} from '../status/status.ts'
import type { SiteAnnouncement } from '../status/status-announcement.ts'
import type { TrafficTotals } from '../traffic.ts'
import type { TreeWorkerStatus } from './tree.ts'

export type OwnReplica = Omit<ReplicaStatus, 'site'>

/** This site's replica of a tree; undefined when it neither keeps nor holds any of it. */
export function ownReplica(
  tree: TreeState,
  goal: Goal | undefined,
  worker: TreeWorkerStatus | undefined,
  complete: CompleteSnapshots,
  /** The head that sites stand at: see newestStanding. */
  newest: Head | undefined = tree.newest,
): OwnReplica | undefined {
  // What was asked for once, and is no longer, stays for a while as it is.
  const isHeld = ({ snapshot }: Head): boolean =>
    goal === undefined
      ? complete.has(tree.name, snapshot) || complete.viewOf(tree.name, snapshot) !== undefined
      : complete.holds(tree.name, snapshot, goal.filter)
  const held = tree.history.findLast(isHeld)
  const isFiltered = held !== undefined && !complete.has(tree.name, held.snapshot)
  if (goal === undefined && held === undefined) return undefined
  const isComplete = newest !== undefined && held?.id.equals(newest.id) === true
  const alsoComplete = held === undefined ? [] : alsoCompleteOf(tree, held.sequence, complete)
  const reason = reasonOf(tree, goal, worker, isComplete)
  return {
    sequence: held?.sequence ?? null,
    ...(alsoComplete.length === 0 ? {} : { alsoComplete }),
    state: isComplete
      ? 'complete'
      : tree.newest === undefined
        ? 'unknown'
        : worker?.phase === 'fetching'
          ? 'fetching'
          : 'behind',
    missingBytes: isComplete ? 0 : (worker?.missingBytes ?? null),
    checkouts: checkoutsOf(tree, goal, worker),
    ...(isFiltered ? { isFiltered } : {}),
    ...(reason === undefined ? {} : { reason }),
    ...(worker?.failure === undefined ? {} : { hasFailed: true }),
    ...(goal?.pause === undefined ? {} : { pause: goal.pause }),
  }
}

/** Not looked for further back: what stays here for long is the newest. */
const HEADS_LOOKED_AT = 64

function alsoCompleteOf(tree: TreeState, newest: number, complete: CompleteSnapshots): number[] {
  return tree.history
    .slice(-HEADS_LOOKED_AT)
    .filter(({ sequence, snapshot }) => sequence < newest && complete.has(tree.name, snapshot))
    .map(({ sequence }) => sequence)
    .reverse()
    .slice(0, MAX_ALSO_COMPLETE)
}

function reasonOf(
  tree: TreeState,
  goal: Goal | undefined,
  worker: TreeWorkerStatus | undefined,
  isComplete: boolean,
): string | undefined {
  const refused = goal?.refusedCheckouts[0]
  if (worker?.failure !== undefined) {
    const { message, failures } = worker.failure
    return failures === 1 ? message : `${message} (tried ${failures} times)`
  }
  if (refused !== undefined) return `no check-out at ${refused.path}: ${refused.reason}`
  if (goal?.hasNoRight === true) return NO_RIGHT
  if (isComplete) return undefined
  if (tree.newest === undefined) return 'nothing has been published yet'
  if (goal === undefined) return 'not pinned to this site any more'
  if (goal.isHeldBack === true) return 'the site is drained'
  if (goal.pause !== undefined) return pauseReason(goal.pause)
  if (worker?.phase === 'waiting') return 'waits for other fetches'
  return worker?.phase === 'fetching' ? undefined : 'not started yet'
}

function checkoutsOf(
  tree: TreeState,
  goal: Goal | undefined,
  worker: TreeWorkerStatus | undefined,
): CheckoutStatus[] {
  return (goal?.checkouts ?? []).map((path) => {
    const snapshot = worker?.checkouts.get(path)
    const head =
      snapshot === undefined
        ? undefined
        : tree.history.findLast((each) => each.snapshot.toString() === snapshot)
    const versions = goal?.versions.get(path)
    return { path, sequence: head?.sequence ?? null, ...(versions === undefined ? {} : { versions }) }
  })
}

export function announcedTree(
  tree: TreeState,
  own: OwnReplica,
  complete: Pick<CompleteSnapshots, 'has'>,
  verified: readonly VerifiedCopy[] = [],
  heldBack?: HeldBack,
): AnnouncedTree {
  const isCut = own.alsoComplete?.length === MAX_ALSO_COMPLETE
  const held =
    own.sequence === null ? undefined : tree.history.find(({ sequence }) => sequence === own.sequence)
  return {
    tree: tree.name,
    completeSequence: own.sequence,
    completeSnapshot: held?.snapshot.toString() ?? null,
    isFetching: own.state === 'fetching',
    fetchingSnapshot: own.state === 'complete' ? null : (tree.newest?.snapshot.toString() ?? null),
    missingBytes: own.missingBytes,
    reason: own.reason ?? '',
    checkouts: own.checkouts,
    alsoComplete: own.alsoComplete ?? [],
    ...(own.isFiltered === true ? { isFiltered: true } : {}),
    ...(isCut || heldBack !== undefined ? { completeRuns: completeRuns(tree, complete) } : {}),
    ...(heldBack === undefined ? {} : { heldBack }),
    ...(verified.length === 0 ? {} : { verified }),
  }
}

/** Who drops older ones counts on what is told here, so all are; what is left out is taken as not held. */
function completeRuns(
  tree: TreeState,
  complete: Pick<CompleteSnapshots, 'has'>,
): [from: number, to: number][] {
  const runs: [from: number, to: number][] = []
  for (let at = tree.history.length - 1; at >= 0; at--) {
    const { sequence, snapshot } = tree.history[at]!
    if (!complete.has(tree.name, snapshot)) continue
    const run = runs.at(-1)
    if (run !== undefined && run[0] === sequence + 1) run[0] = sequence
    else if (runs.length === MAX_RUNS) break
    else runs.push([sequence, sequence])
  }
  return runs
}

/** For the announcement. */
export function pausesIn(goals: ReadonlyMap<string, Goal>): Pick<SiteAnnouncement, 'pauses'> {
  const pauses = [...goals.values()].flatMap(({ tree, pause }) =>
    pause === undefined ? [] : [{ tree, ...pause }],
  )
  return pauses.length === 0 ? {} : { pauses }
}

export function siteFacts(state: MeshState): StatusSources['members'] {
  return [...state.members.values()]
    .filter(({ isActive }) => isActive)
    .map(({ peer, site, region }) => {
      const said = state.sites.get(site)?.body
      const { labels = [], drained = false, note = '' } = said ?? {}
      return { peer, site, region, labels, drained, note }
    })
}

export function treeFacts(state: MeshState, tree: TreeState, nowMs: number): TreeFacts {
  const { epoch } = tree
  const newest = newestStanding(state, tree)
  const pinnedSites = new Set<string>()
  const sitesWithoutRight = new Set<string>()
  for (const member of state.members.values()) {
    if (!member.isActive) continue
    if (isPinned(state, tree.name, member)) pinnedSites.add(member.site)
    if (!hasRight(state, tree.name, member.peer, nowMs)) sitesWithoutRight.add(member.site)
  }
  return {
    tree: tree.name,
    ...(epoch === undefined ? {} : { publisher: epoch.publisher }),
    ...(newest === undefined
      ? {}
      : {
          head: {
            epoch: newest.epoch,
            sequence: newest.sequence,
            snapshot: newest.snapshot.toString(),
            ...(newest.counts.files === undefined ? {} : { files: newest.counts.files }),
            ...(newest.counts.bytes === undefined ? {} : { bytes: newest.counts.bytes }),
          },
        }),
    history: tree.history,
    pinnedSites: [...pinnedSites],
    ...(sitesWithoutRight.size === 0 ? {} : { sitesWithoutRight }),
  }
}

const NOTHING = { bytesSent: 0, bytesReceived: 0, plainBytesSent: 0, plainBytesReceived: 0 }

export function trafficStatus(state: MeshState, self: Place, totals: TrafficTotals): TrafficStatus {
  const classes = {
    site: { ...NOTHING },
    region: { ...NOTHING },
    wan: { ...NOTHING },
  }
  const peers: PeerTraffic[] = []
  for (const [peer, tally] of totals.peers) {
    const member = state.members.get(peer)
    // A peer that has left the mesh was somewhere; the class that costs is the safe guess.
    const name = member === undefined ? 'wan' : pathClass(self, member)
    classes[name].bytesSent += tally.bytesSent
    classes[name].bytesReceived += tally.bytesReceived
    classes[name].plainBytesSent += tally.plainBytesSent
    classes[name].plainBytesReceived += tally.plainBytesReceived
    peers.push({ site: member?.site ?? null, peer, pathClass: name, ...tally })
  }
  const { blocksSent, blocksSentMoreThanOnce, bytesSentBeforeComplete } = totals
  const deltas = { bytesReceived: totals.deltaBytesReceived, bytesMade: totals.bytesMadeOfDeltas }
  return { peers, classes, blocksSent, blocksSentMoreThanOnce, bytesSentBeforeComplete, deltas }
}
