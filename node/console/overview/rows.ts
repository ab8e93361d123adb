/** Rows and columns of the matrix: which trees and sites, in which order. Pure; one pass over all replicas. */
import type {
  ReplicaStatus,
  SiteStatus,
  StatusDocument,
  TreeStatus,
} from '../../../src/replica/status/status.ts'
import { perTree } from '../per-tree.ts'
import { type CellKind, kindOf } from './cell.ts'

export interface Filter {
  readonly text: string
  /** Trees that are not complete everywhere. */
  readonly onlyOpen: boolean
  readonly order: 'worst' | 'name'
}

const WEIGHT: Readonly<Record<CellKind, number>> = {
  failed: 6,
  stalled: 5,
  unknown: 4,
  behind: 3,
  paused: 2,
  fetching: 2,
  complete: 1,
  none: 0,
}

/** By region, then by name: neighbours stand side by side. */
export function columnsOf(status: StatusDocument): SiteStatus[] {
  return status.sites.toSorted(
    (a, b) => compare(a.region, b.region) || compare(a.site, b.site) || compare(a.peer, b.peer),
  )
}

export function rowsOf(status: StatusDocument, filter: Filter, nowMs: number): TreeStatus[] {
  const wanted = filter.text.trim().toLowerCase()
  const rows: { tree: TreeStatus; weight: number }[] = []
  for (const tree of status.trees) {
    if (wanted !== '' && !tree.tree.includes(wanted)) continue
    const weight = weightOf(tree, nowMs)
    if (filter.onlyOpen && weight <= WEIGHT.complete) continue
    rows.push({ tree, weight })
  }
  if (filter.order === 'worst') rows.sort((a, b) => b.weight - a.weight || compare(a.tree.tree, b.tree.tree))
  return rows.map(({ tree }) => tree)
}

const weightOf = perTree((tree, nowMs) => {
  let most = 0
  for (const replica of tree.sites) most = Math.max(most, WEIGHT[kindOf(replica, nowMs)])
  return most
})

const bySite = new WeakMap<TreeStatus, ReadonlyMap<string, ReplicaStatus>>()

/** Made for the rows that are seen, once a document. */
export function replicaOf(tree: TreeStatus, site: string): ReplicaStatus | undefined {
  let known = bySite.get(tree)
  if (known === undefined) {
    known = new Map(tree.sites.map((each) => [each.site, each]))
    bySite.set(tree, known)
  }
  return known.get(site)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
