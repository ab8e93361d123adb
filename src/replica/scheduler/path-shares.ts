/**
 * One controller of bytes in flight for each path to a peer, shared by all fetches of this node, whatever the number of trees and
 * connections. The path's pipeline follows from what all of them together receive over it; it is divided between those that
 * have something to ask there now, by weight, and what one of them leaves the others may use. Pure: no clock, no I/O.
 *
 * Invariants:
 * - What is in flight over a path is at most its pipeline, and 64 KiB and a block more for each fetch.
 * - One fetch alone has all of it. None is without a share for as long as it has something to ask.
 */

/** What any fetch may have in flight, whatever the others have: from its answers it learns when there is more for it. */
const FLOOR_BYTES = 64 * 1024
const MIN_WINDOW_MS = 100
/** A rate is measured over a turn of requests and answers; the best of the last ones counts, so that it doubles with each. */
const RATES = 4
/** A disk that takes longer is the limit itself: more in flight would only wait for it. */
const MAX_HANDLING_MS = 250
/** Of one block in the mean. */
const HANDLING_WEIGHT = 0.02
/**
 * Pipelines over what the path and the storing hold. A quarter is free before more is asked for, and a request is divided over the
 * connections of a path, of which some have less to do than others.
 */
const PIPELINE_FACTOR = 2

/** One fetch, as the others see it. */
export interface PathUse {
  readonly inFlightBytes: (peer: string) => number
  /** It may have more to ask of the peer than is in flight. */
  readonly wantsMore: (peer: string) => boolean
}

export interface PathBounds {
  readonly minPipelineBytes: number
  readonly maxPipelineBytes: number
}

export interface PathLimit {
  /** Of this fetch. */
  readonly bytes: number
  /** Of all fetches together. */
  readonly pathBytes: number
  /** Fetches that use the path now, this one included. */
  readonly fetches: number
  /** Of other traffic on the path, milliseconds; undefined when none is seen. */
  readonly othersQueueMs?: number
}

export interface PathShare {
  limit(peer: string): PathLimit
  /** The first of its figures: asked for each peer at each plan. */
  limitBytes(peer: string): number
  /** Something is asked of the peer, of whom nothing was due to this fetch. */
  begins(peer: string, clockMs: number): void
  arrived(peer: string, bytes: number, clockMs: number): void
  /** The first answer to a request came so long after it. */
  answered(peer: string, latencyMs: number): void
  /** What arrived took so long until it was stored: meanwhile it counts as in flight, and fills no path. */
  handled(ms: number): void
  leave(): void
}

export interface PathShares {
  /** @param weight only the ratio to those of others counts */
  join(use: PathUse, bounds: PathBounds, weight?: number): PathShare
}

/** Of one path, over all fetches. */
interface Path {
  /** Bytes a second of the last windows. */
  readonly rates: number[]
  windowBytes: number
  windowMs: number
  minLatencyMs: number
}

interface Member {
  readonly use: PathUse
  readonly weight: number
}

/** @param othersQueueMs of the traffic of others on the path to a peer */
export function createPathShares(
  othersQueueMs: (peer: string) => number | undefined = () => undefined,
): PathShares {
  const paths = new Map<string, Path>()
  const members = new Set<Member>()
  let handlingMs = 0

  function pathTo(peer: string): Path {
    let path = paths.get(peer)
    if (path === undefined) {
      path = { rates: [], windowBytes: 0, windowMs: 0, minLatencyMs: Number.POSITIVE_INFINITY }
      paths.set(peer, path)
    }
    return path
  }

  function limitOf(self: Member, peer: string, pathBytes: number): PathLimit {
    let fetches = 1
    let othersBytes = 0
    let idleBytes = 0
    let weights = self.weight
    for (const member of members) {
      if (member === self) continue
      const bytes = member.use.inFlightBytes(peer)
      const wantsMore = member.use.wantsMore(peer)
      if (bytes === 0 && !wantsMore) continue
      fetches++
      othersBytes += bytes
      if (wantsMore) weights += member.weight
      else idleBytes += bytes
    }
    if (fetches === 1) return { bytes: pathBytes, pathBytes, fetches }
    const share = (Math.max(0, pathBytes - idleBytes) * self.weight) / weights
    // While another one still has more than its share in flight, that much is not there to be divided.
    const bytes = Math.max(FLOOR_BYTES, Math.min(share, pathBytes - othersBytes))
    return { bytes, pathBytes, fetches }
  }

  return {
    join(use, { minPipelineBytes, maxPipelineBytes }, weight = 1) {
      const self: Member = { use, weight }
      members.add(self)
      const pathBytes = (peer: string): number => {
        const path = paths.get(peer)
        const wanted = path === undefined ? 0 : pipelineOf(path, handlingMs)
        return Math.min(maxPipelineBytes, Math.max(minPipelineBytes, wanted))
      }
      return {
        limit(peer) {
          const queueMs = othersQueueMs(peer)
          const limit = limitOf(self, peer, pathBytes(peer))
          return queueMs === undefined ? limit : { ...limit, othersQueueMs: queueMs }
        },
        limitBytes: (peer) =>
          members.size === 1 ? pathBytes(peer) : limitOf(self, peer, pathBytes(peer)).bytes,
        begins(peer, clockMs) {
          for (const other of members) if (other !== self && other.use.inFlightBytes(peer) > 0) return
          // Time in which nobody asked for anything is not slowness.
          const path = pathTo(peer)
          path.windowBytes = 0
          path.windowMs = clockMs
        },
        arrived(peer, bytes, clockMs) {
          const path = pathTo(peer)
          path.windowBytes += bytes
          const windowMs = clockMs - path.windowMs
          if (windowMs < Math.max(MIN_WINDOW_MS, turnMs(path, handlingMs))) return
          path.rates.push((path.windowBytes * 1000) / windowMs)
          if (path.rates.length > RATES) path.rates.shift()
          path.windowBytes = 0
          path.windowMs = clockMs
        },
        answered(peer, latencyMs) {
          const path = pathTo(peer)
          path.minLatencyMs = Math.min(path.minLatencyMs, latencyMs)
        },
        handled(ms) {
          handlingMs += (Math.min(ms, MAX_HANDLING_MS) - handlingMs) * HANDLING_WEIGHT
        },
        leave() {
          members.delete(self)
          // What was measured is of the moment; peers come and go, and are not remembered for ever.
          if (members.size === 0) paths.clear()
        },
      }
    },
  }
}

/** More than the path holds, so that it grows until the rate no longer does. */
function pipelineOf(path: Path, handlingMs: number): number {
  return (PIPELINE_FACTOR * Math.max(0, ...path.rates) * turnMs(path, handlingMs)) / 1000
}

/** From a request until its first block is stored, when nothing else is in its way. */
function turnMs({ minLatencyMs }: Path, handlingMs: number): number {
  return Math.max(Number.isFinite(minLatencyMs) ? minLatencyMs : 0, 20) + handlingMs
}
