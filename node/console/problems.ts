/**
 * What is wrong in the mesh, the worst first. Pure: the same document gives the same list, so the overview, the pages
 * of trees and sites, and their counts never disagree. One entry a thing, however many trees or sites it touches.
 */
import { HELD_BACK } from '../../src/replica/status/held-back-status.ts'
import type { ReplicaStatus, SiteStatus, StatusDocument } from '../../src/replica/status/status.ts'
import { formatSeconds } from '../cli/quantity.ts'
import { perTree } from './per-tree.ts'
import { roughly, silentSeconds } from './text.ts'

export type Severity = 'critical' | 'serious' | 'warning'

export interface TroubleFound {
  readonly severity: Severity
  readonly title: string
  readonly detail: string
  /** Page and name to go to. */
  readonly page: 'trees' | 'sites'
  readonly name: string
}

const WEIGHT: Readonly<Record<Severity, number>> = { critical: 0, serious: 1, warning: 2 }
/** Of a head that nobody fetches: sooner it may only have been heard of. */
const STALLED_MS = 60_000

export function findTroubles(status: StatusDocument, nowMs: number): TroubleFound[] {
  const found: TroubleFound[] = status.alarms.map(({ kind, subject, detail }) => ({
    // Somebody is to decide; nothing is lost meanwhile.
    severity: kind === HELD_BACK ? 'serious' : 'critical',
    title: kind === HELD_BACK ? `${subject} waits for an admin` : `${kind}: ${subject}`,
    detail,
    page: 'trees',
    name: subject,
  }))
  const lost = new Set<string>()
  for (const site of status.sites) {
    if (site.state === 'self' || site.state === 'up') continue
    lost.add(site.site)
    found.push(ofSite(site, nowMs))
  }
  const key = [...lost].join(' ')
  for (const tree of status.trees) found.push(...ofTree(tree, nowMs, key))
  return found.toSorted((a, b) => WEIGHT[a.severity] - WEIGHT[b.severity])
}

function ofSite(status: SiteStatus, nowMs: number): TroubleFound {
  const { site, state } = status
  return {
    severity: state === 'silent' ? 'serious' : 'warning',
    title:
      state === 'silent'
        ? `${site} has been silent for ${formatSeconds(roughly(silentSeconds(status, nowMs)))}`
        : `${site} has not been heard of yet`,
    detail:
      state === 'silent'
        ? 'What is shown of it is what it last said. Is its daemon running, and can it be reached?'
        : 'It is a member, and this node has had no word from it since it started.',
    page: 'sites',
    name: site,
  }
}

/** The sites that are lost are its key: what they have not done is told by their silence. */
const ofTree = perTree((tree, nowMs, key): readonly TroubleFound[] => {
  const lost = new Set(key.split(' '))
  const found: TroubleFound[] = []
  const add = (severity: Severity, title: string, detail: string): void => {
    found.push({ severity, title, detail, page: 'trees', name: tree.tree })
  }
  if (tree.inPlace?.isAtRisk === true) {
    add(
      'critical',
      `${tree.tree} rests on files that others may change`,
      `No other site is complete, and its blocks lie in ${tree.inPlace.path} alone.`,
    )
  }
  if (tree.sequence === null) return found
  const complete = tree.sites.filter(({ state }) => state === 'complete')
  if (tree.sites.length > 0 && complete.length === 0) {
    add(
      'serious',
      `${tree.tree}@${tree.sequence} is complete nowhere`,
      'No site that is heard of has all of it.',
    )
  }
  const failed = tree.sites.filter((each) => isFailed(each) && !lost.has(each.site))
  if (failed.length > 0) {
    const [first] = failed
    add('serious', `${tree.tree} fails at ${names(failed)}`, first?.reason ?? 'It is tried again.')
  }
  const stalled = tree.sites.filter(
    (each) => !isFailed(each) && isStalled(each, nowMs) && !lost.has(each.site),
  )
  if (stalled.length > 0) {
    const [first] = stalled
    add(
      'warning',
      `${tree.tree} waits at ${names(stalled)}`,
      first?.reason ?? 'It has not started to fetch the head.',
    )
  }
  return found
})

export function isFailed({ state, reason, hasFailed }: ReplicaStatus): boolean {
  // A complete one with a reason has a check-out that cannot be made.
  return hasFailed === true || (state === 'complete' && reason !== undefined)
}

/** Not what somebody paused: it stands still on purpose. */
export function isStalled({ state, lag, pause }: ReplicaStatus, nowMs: number): boolean {
  return pause === undefined && state === 'behind' && (lag === undefined || nowMs - lag.sinceMs > STALLED_MS)
}

function names(replicas: readonly ReplicaStatus[]): string {
  const [first, second, ...others] = replicas.map(({ site }) => site)
  if (second === undefined) return first ?? ''
  return others.length === 0 ? `${first} and ${second}` : `${first}, ${second} and ${others.length} more`
}
