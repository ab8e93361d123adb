/**
 * Puts the status document together from three sources, and it says so by its names: signed records (what should be), this
 * node's own work (what is here), and the other sites' announcements (what they said, and how old it is). Pure.
 */
import { silentAfterMs } from './announce-period.ts'
import { heldBackAlarms, heldBackStatus } from './status/held-back-status.ts'
import type {
  HeardSite,
  ReplicaStatus,
  RequestStatus,
  SiteStatus,
  StatusDocument,
  StatusSources,
  TrafficStatus,
  TreeFacts,
  TreeStatus,
} from './status/status.ts'
import type { SiteAnnouncement } from './status/status-announcement.ts'

/** Why a site has nothing (new) of a private tree that is pinned to it. */
export const NO_RIGHT = 'no right: the tree is private, and the site is not one of its readers'

export function buildStatus(sources: StatusSources): StatusDocument {
  const { addresses: ownAddresses, url: _url, ...self } = sources.self
  const sites = sources.members
    .map((member) => siteStatus(sources, member, ownAddresses))
    .toSorted((a, b) => compareText(a.site, b.site) || compareText(a.peer, b.peer))
  const trees = sources.trees
    .map((facts) => treeStatus(sources, facts))
    .toSorted((a, b) => compareText(a.tree, b.tree))
  return {
    mesh: sources.mesh,
    self,
    sites,
    trees,
    traffic: sources.traffic,
    alarms: [...sources.alarms, ...heldBackAlarms(trees)],
    requests: requestsOf(sources),
  }
}

/** Of a newcomer that is a member by now, somebody else's word may be older than ours. */
function requestsOf({ self, members, heard, requests = [] }: StatusSources): RequestStatus[] {
  // A site that is silent may have let them in, or lost them, long ago.
  const fresh = (last: HeardSite | undefined) =>
    last !== undefined && last.isGone !== true && last.ageMs <= silentAfterMs(members.length)
      ? last
      : undefined
  const said = members.flatMap(({ peer, site }) =>
    (peer === self.peer ? requests : (fresh(heard.get(peer))?.announcement.requests ?? [])).map(
      (request) => ({
        ...request,
        via: peer,
        viaSite: site,
      }),
    ),
  )
  const known = new Set(members.map(({ peer }) => peer))
  return said
    .filter(({ peer }) => !known.has(peer))
    .toSorted((a, b) => a.sinceMs - b.sinceMs || compareText(a.peer, b.peer))
}

function siteStatus(
  { self, heard, connected, members, traffic, freeBytes = null, takedownsDone }: StatusSources,
  member: StatusSources['members'][number],
  ownAddresses: readonly string[],
): SiteStatus {
  if (member.peer === self.peer) {
    return {
      ...member,
      state: 'self',
      ageSeconds: 0,
      addresses: ownAddresses,
      version: self.version,
      url: self.url ?? null,
      traffic: ownTraffic(traffic),
      freeBytes,
      ...(takedownsDone === undefined ? {} : { takedownsDone }),
    }
  }
  const last = heard.get(member.peer)
  const isUp =
    connected.has(member.peer) ||
    (last !== undefined && last.isGone !== true && last.ageMs <= silentAfterMs(members.length))
  return {
    ...member,
    state: isUp ? 'up' : last === undefined ? 'never-seen' : 'silent',
    ageSeconds: last === undefined ? null : Math.round(last.ageMs / 1000),
    addresses: last?.announcement.addresses ?? [],
    version: last?.announcement.version || null,
    url: last?.announcement.url ?? null,
    traffic:
      last === undefined
        ? null
        : { bytesSent: last.announcement.bytesSent, bytesReceived: last.announcement.bytesReceived },
    freeBytes: last?.announcement.freeBytes ?? null,
    ...(last?.announcement.takedownsDone === undefined
      ? {}
      : { takedownsDone: last.announcement.takedownsDone }),
  }
}

function ownTraffic({ classes }: TrafficStatus): NonNullable<SiteStatus['traffic']> {
  const sum = (key: 'bytesSent' | 'bytesReceived'): number =>
    classes.site[key] + classes.region[key] + classes.wan[key]
  return { bytesSent: sum('bytesSent'), bytesReceived: sum('bytesReceived') }
}

function treeStatus(sources: StatusSources, facts: TreeFacts): TreeStatus {
  const { head } = facts
  const replicas = new Map<string, ReplicaStatus>()
  for (const site of facts.pinnedSites) replicas.set(site, unknownReplica(site))
  for (const member of sources.members) {
    const replica =
      member.peer === sources.self.peer
        ? ownReplica(sources, facts, member.site)
        : heardReplica(sources.heard.get(member.peer), facts, member.site)
    if (replica !== undefined) replicas.set(member.site, replica)
  }
  const heldBack = heldBackStatus(sources, facts)
  return {
    tree: facts.tree,
    epoch: head?.epoch ?? null,
    sequence: head?.sequence ?? null,
    snapshot: head?.snapshot ?? null,
    publisher: facts.publisher ?? null,
    files: head?.files ?? null,
    bytes: head?.bytes ?? null,
    timeMs: head === undefined ? null : (facts.history?.[head.sequence - 1]?.timeMs ?? null),
    sites: [...replicas.values()]
      .map((replica) => withLag(withRight(replica, facts), facts))
      .toSorted((a, b) => compareText(a.site, b.site)),
    ...(heldBack === undefined ? {} : { heldBack }),
  }
}

/** A site that does not know it yet, or is silent, has no right all the same. It is not behind: nobody waits for it. */
function withRight(replica: ReplicaStatus, { sitesWithoutRight }: TreeFacts): ReplicaStatus {
  if (sitesWithoutRight?.has(replica.site) !== true) return replica
  const denied = { ...replica, hasNoRight: true, reason: NO_RIGHT }
  return replica.state === 'complete' ? denied : { ...denied, state: 'unknown', missingBytes: null }
}

function withLag(replica: ReplicaStatus, { head, history }: TreeFacts): ReplicaStatus {
  if (head === undefined || replica.state === 'complete' || replica.state === 'unknown') return replica
  const first = (replica.sequence ?? 0) + 1
  const sinceMs = history?.[first - 1]?.timeMs
  if (sinceMs === undefined || first > head.sequence) return replica
  return { ...replica, lag: { snapshots: head.sequence - first + 1, sinceMs } }
}

function ownReplica(sources: StatusSources, facts: TreeFacts, site: string): ReplicaStatus | undefined {
  const own = sources.own.get(facts.tree)
  return own === undefined ? undefined : { site, ...own }
}

/** What another site said of itself, judged against the head that this node knows. */
function heardReplica(
  last: HeardSite | undefined,
  { tree, head }: TreeFacts,
  site: string,
): ReplicaStatus | undefined {
  const said = last?.announcement.trees.find((entry) => entry.tree === tree)
  if (said === undefined) return undefined
  const isComplete = head !== undefined && said.completeSnapshot === head.snapshot
  // What keeps a newer head from it is no fault of this one; what keeps a check-out from being made is.
  const hasReason = said.reason !== '' && (!isComplete || said.fetchingSnapshot === null)
  return {
    site,
    sequence: said.completeSequence,
    ...(said.alsoComplete.length === 0 ? {} : { alsoComplete: said.alsoComplete }),
    state: isComplete ? 'complete' : said.isFetching ? 'fetching' : 'behind',
    missingBytes: isComplete ? 0 : said.fetchingSnapshot === head?.snapshot ? said.missingBytes : null,
    checkouts: said.checkouts,
    ...(said.isFiltered === true ? { isFiltered: true } : {}),
    ...(hasReason ? { reason: said.reason } : {}),
    ...pauseIn(last?.announcement, tree),
  }
}

function pauseIn(said: SiteAnnouncement | undefined, tree: string): Pick<ReplicaStatus, 'pause'> {
  const found = said?.pauses?.find((each) => each.tree === tree)
  return found === undefined ? {} : { pause: { by: found.by, sinceMs: found.sinceMs } }
}

function unknownReplica(site: string): ReplicaStatus {
  return {
    site,
    sequence: null,
    state: 'unknown',
    missingBytes: null,
    checkouts: [],
    reason: 'nothing heard from this site yet',
  }
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
