/** The figures of the overview: one pass over the status document, however large it is. Pure. */
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import { perTree } from '../per-tree.ts'

export interface Totals {
  readonly sites: number
  readonly sitesUp: number
  readonly trees: number
  /** Published, and complete at every site that is to hold them. */
  readonly treesComplete: number
  readonly treesEmpty: number
  readonly replicas: number
  readonly replicasComplete: number
  readonly missingBytes: number
  readonly fetching: number
  /** The head that was published longest ago, of trees that have one. */
  readonly oldest: { readonly tree: string; readonly timeMs: number } | undefined
  readonly saved: Saving | undefined
}

/**
 * With rsync every site would have taken what it fetched from the publisher's site. So this is what all sites received,
 * less what the publishers' sites sent; of the programs that run now.
 */
export interface Saving {
  readonly bytes: number
  readonly share: number
  readonly received: number
  readonly sentByPublishers: number
}

export function addUp(status: StatusDocument): Totals {
  let treesComplete = 0
  let treesEmpty = 0
  let replicas = 0
  let replicasComplete = 0
  let missingBytes = 0
  let fetching = 0
  let oldest: Totals['oldest']
  const publishers = new Set<string>()
  for (const tree of status.trees) {
    if (tree.publisher !== null) publishers.add(tree.publisher)
    if (tree.sequence === null) {
      treesEmpty++
      continue
    }
    const { complete, ...own } = countCopies(tree, 0)
    missingBytes += own.missingBytes
    fetching += own.fetching
    replicas += tree.sites.length
    replicasComplete += complete
    if (complete === tree.sites.length && complete > 0) treesComplete++
    const { timeMs } = tree
    if (timeMs != null && (oldest === undefined || timeMs < oldest.timeMs))
      oldest = { tree: tree.tree, timeMs }
  }
  return {
    sites: status.sites.length,
    sitesUp: status.sites.filter(({ state }) => state === 'self' || state === 'up').length,
    trees: status.trees.length,
    treesComplete,
    treesEmpty,
    replicas,
    replicasComplete,
    missingBytes,
    fetching,
    oldest,
    saved: savingOf(status, publishers),
  }
}

const countCopies = perTree(({ sites }) => {
  let complete = 0
  let missingBytes = 0
  let fetching = 0
  for (const each of sites) {
    if (each.state === 'complete') complete++
    else missingBytes += each.missingBytes ?? 0
    if (each.state === 'fetching') fetching++
  }
  return { complete, missingBytes, fetching }
})

function savingOf(status: StatusDocument, publishers: ReadonlySet<string>): Saving | undefined {
  let received = 0
  let sentByPublishers = 0
  for (const { peer, traffic } of status.sites) {
    received += traffic?.bytesReceived ?? 0
    if (publishers.has(peer)) sentByPublishers += traffic?.bytesSent ?? 0
  }
  if (received === 0) return undefined
  const bytes = Math.max(0, received - sentByPublishers)
  return { bytes, share: bytes / received, received, sentByPublishers }
}
