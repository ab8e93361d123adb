/**
 * What is kept of a status document, as numbers by name:
 *
 *   in.CLASS, out.CLASS   bytes a second from and to peers, CLASS being site, region or wan
 *   from.SITE, to.SITE    the same by peer site; those that moved the most bytes, none that moved nothing
 *   complete, complete.TREE   the share of the replicas that hold the newest head in full, 0 to 1
 *   lag, lag.TREE         seconds since the oldest head was published that a site has not completed; the worst site's
 *   up                    sites that are heard of, this one included
 *   free                  bytes left on the disk of the store
 *
 * Bounded: so many sites, and so many trees, the first by name; the sums are of all.
 */
import type { StatusDocument, TreeStatus } from '../../src/replica/status/status.ts'

export type Sample = Readonly<Record<string, number>>

const MAX_SITES = 32
const MAX_TREES = 200

/** @param before the status at the beginning of the interval; rates are left out without it */
export function sampleOf(
  before: StatusDocument | undefined,
  now: StatusDocument,
  { nowMs, elapsedMs }: { readonly nowMs: number; readonly elapsedMs: number },
): Sample {
  const sample: Record<string, number> = {
    up: now.sites.filter(({ state }) => state === 'self' || state === 'up').length,
  }
  const free = now.sites.find(({ state }) => state === 'self')?.freeBytes
  if (typeof free === 'number') sample.free = free
  if (before !== undefined && elapsedMs > 0) addRates(sample, before, now, elapsedMs / 1000)
  let replicas = 0
  let complete = 0
  let worst = 0
  for (const [at, tree] of now.trees.entries()) {
    if (tree.sites.length === 0 || tree.sequence === null) continue
    const done = tree.sites.filter(({ state }) => state === 'complete').length
    const lag = lagOf(tree, nowMs)
    replicas += tree.sites.length
    complete += done
    worst = Math.max(worst, lag)
    if (at >= MAX_TREES) continue
    sample[`complete.${tree.tree}`] = rounded(done / tree.sites.length)
    if (lag > 0) sample[`lag.${tree.tree}`] = lag
  }
  if (replicas > 0) sample.complete = rounded(complete / replicas)
  sample.lag = worst
  return sample
}

function addRates(
  sample: Record<string, number>,
  before: StatusDocument,
  now: StatusDocument,
  seconds: number,
): void {
  const rate = (from: number, to: number): number => Math.max(0, Math.round((to - from) / seconds))
  for (const name of ['site', 'region', 'wan'] as const) {
    const [was, is] = [before.traffic.classes[name], now.traffic.classes[name]]
    sample[`in.${name}`] = rate(was.bytesReceived, is.bytesReceived)
    sample[`out.${name}`] = rate(was.bytesSent, is.bytesSent)
  }
  const known = new Map(before.traffic.peers.map((peer) => [peer.peer, peer]))
  const moved = now.traffic.peers
    .map(({ peer, site, bytesReceived, bytesSent }) => ({
      site,
      from: rate(known.get(peer)?.bytesReceived ?? 0, bytesReceived),
      to: rate(known.get(peer)?.bytesSent ?? 0, bytesSent),
    }))
    .filter(({ site, from, to }) => site !== null && from + to > 0)
    .toSorted((a, b) => b.from + b.to - (a.from + a.to))
  for (const { site, from, to } of moved.slice(0, MAX_SITES)) {
    if (from > 0) sample[`from.${site}`] = from
    if (to > 0) sample[`to.${site}`] = to
  }
}

function lagOf({ sites }: TreeStatus, nowMs: number): number {
  let oldestMs = Number.POSITIVE_INFINITY
  for (const { lag } of sites) if (lag !== undefined) oldestMs = Math.min(oldestMs, lag.sinceMs)
  return oldestMs === Number.POSITIVE_INFINITY ? 0 : Math.max(0, Math.round((nowMs - oldestMs) / 1000))
}

function rounded(share: number): number {
  return Math.round(share * 10_000) / 10_000
}

/** Of several samples, one: the longest lag, the mean of the rest. What a sample does not tell of is not counted in. */
export function merge(samples: readonly Sample[]): Sample {
  const sums = new Map<string, { sum: number; count: number; most: number }>()
  for (const sample of samples) {
    for (const [name, value] of Object.entries(sample)) {
      const found = sums.get(name)
      if (found === undefined) sums.set(name, { sum: value, count: 1, most: value })
      else {
        found.sum += value
        found.count++
        found.most = Math.max(found.most, value)
      }
    }
  }
  const merged: Record<string, number> = {}
  for (const [name, { sum, count, most }] of sums) {
    // A peer that is not named moved nothing meanwhile.
    const of = isQuietWhenAbsent(name) ? samples.length : count
    merged[name] = isLag(name) ? most : Math.round((sum / of) * 10_000) / 10_000
  }
  return merged
}

function isLag(name: string): boolean {
  return name === 'lag' || name.startsWith('lag.')
}

function isQuietWhenAbsent(name: string): boolean {
  return name.startsWith('from.') || name.startsWith('to.')
}

/** Null: not known. */
export function readValue(sample: Sample | undefined, name: string): number | null {
  if (sample === undefined) return null
  const value = sample[name]
  if (value !== undefined) return value
  if (isQuietWhenAbsent(name)) return sample['in.wan'] === undefined ? null : 0
  return name.startsWith('lag.') && sample[`complete.${name.slice(4)}`] !== undefined ? 0 : null
}
