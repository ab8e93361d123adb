/**
 * What changed from one status document to the next, each changed thing with all of its fields: whoever applies it to any
 * document from in between ends at the newer one. Ages alone are no change: a site that is heard of again and again, and
 * says the same, is not told of.
 */
import type {
  PeerTraffic,
  ReplicaStatus,
  SiteStatus,
  StatusDocument,
  TrafficStatus,
  TreeStatus,
} from '../../src/replica/status/status.ts'

export interface StatusDelta {
  readonly sites?: readonly SiteStatus[]
  /** PeerIds. */
  readonly sitesGone?: readonly string[]
  /** `sites` of each: only those that changed. */
  readonly trees?: readonly TreeStatus[]
  readonly treesGone?: readonly string[]
  readonly replicasGone?: readonly { readonly tree: string; readonly site: string }[]
  /** `peers`: only those that changed. */
  readonly traffic?: TrafficStatus
}

/** Undefined: nothing did. */
export function statusDelta(before: StatusDocument, after: StatusDocument): StatusDelta | undefined {
  const sites = changesOf(before.sites, after.sites, siteKey, isSameSite)
  const { changed: trees, gone: treesGone, replicasGone } = treeChanges(before.trees, after.trees)
  const traffic = trafficChange(before.traffic, after.traffic)
  const delta: StatusDelta = {
    ...(sites.changed.length === 0 ? {} : { sites: sites.changed }),
    ...(sites.gone.length === 0 ? {} : { sitesGone: sites.gone }),
    ...(trees.length === 0 ? {} : { trees }),
    ...(treesGone.length === 0 ? {} : { treesGone }),
    ...(replicasGone.length === 0 ? {} : { replicasGone }),
    ...(traffic === undefined ? {} : { traffic }),
  }
  return Object.keys(delta).length === 0 ? undefined : delta
}

/** The newer document: what a client does with a delta, and the proof of what one holds. */
export function applyDelta(before: StatusDocument, delta: StatusDelta): StatusDocument {
  const replicasGone = new Set(delta.replicasGone?.map(({ tree, site }) => `${tree}\n${site}`))
  const treesBefore = new Map(before.trees.map((tree) => [tree.tree, tree]))
  const trees = delta.trees?.map((tree) => {
    return { ...tree, sites: merge(treesBefore.get(tree.tree)?.sites ?? [], tree.sites, replicaKey) }
  })
  return {
    ...before,
    sites: merge(before.sites, delta.sites, siteKey, delta.sitesGone),
    trees: merge(before.trees, trees, treeKey, delta.treesGone).map((tree) => {
      if (replicasGone.size === 0) return tree
      const sites = tree.sites.filter(({ site }) => !replicasGone.has(`${tree.tree}\n${site}`))
      return sites.length === tree.sites.length ? tree : { ...tree, sites }
    }),
    traffic:
      delta.traffic === undefined
        ? before.traffic
        : { ...delta.traffic, peers: merge(before.traffic.peers, delta.traffic.peers, peerKey) },
  }
}

const siteKey = ({ peer }: SiteStatus): string => peer
const treeKey = ({ tree }: TreeStatus): string => tree
const replicaKey = ({ site }: ReplicaStatus): string => site
const peerKey = ({ peer }: PeerTraffic): string => peer

function treeChanges(
  before: readonly TreeStatus[],
  after: readonly TreeStatus[],
): {
  changed: TreeStatus[]
  gone: string[]
  replicasGone: { tree: string; site: string }[]
} {
  const known = new Map(before.map((tree) => [tree.tree, tree]))
  const changed: TreeStatus[] = []
  const replicasGone: { tree: string; site: string }[] = []
  for (const tree of after) {
    const old = known.get(tree.tree)
    known.delete(tree.tree)
    const sites = changesOf(old?.sites ?? [], tree.sites, replicaKey, isSame)
    for (const site of sites.gone) replicasGone.push({ tree: tree.tree, site })
    const isChanged = old === undefined || !isSame({ ...old, sites: [] }, { ...tree, sites: [] })
    if (isChanged || sites.changed.length > 0) changed.push({ ...tree, sites: sites.changed })
  }
  return { changed, gone: [...known.keys()], replicasGone }
}

function trafficChange(before: TrafficStatus, after: TrafficStatus): TrafficStatus | undefined {
  const { changed: peers } = changesOf(before.peers, after.peers, peerKey, isSame)
  if (peers.length === 0 && isSame({ ...before, peers }, { ...after, peers })) return undefined
  return { ...after, peers }
}

function isSameSite(a: SiteStatus, b: SiteStatus): boolean {
  return isSame({ ...a, ageSeconds: null }, { ...b, ageSeconds: null })
}

function changesOf<T>(
  before: readonly T[],
  after: readonly T[],
  keyOf: (item: T) => string,
  isEqual: (a: T, b: T) => boolean,
): { changed: T[]; gone: string[] } {
  const known = new Map(before.map((item) => [keyOf(item), item]))
  const changed: T[] = []
  for (const item of after) {
    const old = known.get(keyOf(item))
    known.delete(keyOf(item))
    if (old === undefined || !isEqual(old, item)) changed.push(item)
  }
  return { changed, gone: [...known.keys()] }
}

function merge<T>(
  before: readonly T[],
  changed: readonly T[] = [],
  keyOf: (item: T) => string,
  gone: readonly string[] = [],
): T[] {
  const all = new Map(before.map((item) => [keyOf(item), item]))
  for (const item of changed) all.set(keyOf(item), item)
  for (const key of gone) all.delete(key)
  return [...all.values()]
}

/** Plain JSON values, compared to the last leaf. */
function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>]
  const names = Object.keys(left)
  if (names.length !== Object.keys(right).length) return false
  for (const name of names) if (!isSame(left[name], right[name])) return false
  return true
}
