/** What is being fetched, or held back, anywhere in the mesh, from the status document. Pure. */
import type { ReplicaStatus, StatusDocument, TreeStatus } from '../../../src/replica/status/status.ts'

export interface Running {
  readonly tree: TreeStatus
  readonly replica: ReplicaStatus
  readonly isHere: boolean
  /** 0 to 1; undefined while the size is not known. */
  readonly share: number | undefined
}

/** Those under way, the most missing first, and after them those that somebody paused. */
export function runningFetches(status: StatusDocument): Running[] {
  const found: Running[] = []
  for (const tree of status.trees) {
    for (const replica of tree.sites) {
      if (replica.state !== 'fetching' && replica.pause === undefined) continue
      const { missingBytes } = replica
      const share =
        missingBytes === null || tree.bytes === null || tree.bytes === 0
          ? undefined
          : Math.min(1, Math.max(0, 1 - missingBytes / tree.bytes))
      found.push({ tree, replica, isHere: replica.site === status.self.site, share })
    }
  }
  return found.toSorted(
    (a, b) =>
      Number(a.replica.pause !== undefined) - Number(b.replica.pause !== undefined) ||
      (b.replica.missingBytes ?? 0) - (a.replica.missingBytes ?? 0),
  )
}

/** Where a fetch is explained: here, or asked of the site over the mesh. */
export function fetchAddress(status: StatusDocument, site: string, tree: string): string {
  const name = encodeURIComponent(tree)
  return site === status.self.site
    ? `/api/v1/fetches/${name}`
    : `/api/v1/sites/${encodeURIComponent(site)}/fetches/${name}`
}
