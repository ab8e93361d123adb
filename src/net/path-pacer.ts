/**
 * Has what this node sends to far peers give way to other traffic on the path: watches the TCP connections of each such peer,
 * asks give-way.ts how fast all of them together may send, and has the kernel pace them. One rate a path, whatever the number
 * of connections. Nothing of a block's way through this process knows of it.
 *
 * What cannot be measured (noise, connections through a relay, systems that tell nothing of a socket) is not held up.
 */
import type { Socket } from 'node:net'
import type { Clock } from '../base/clock.ts'
import { boundPacing, boundUnsent, readTcpInfo, type TcpInfo } from '../posix/tcp.ts'
import { createGiveWay, type GiveWay, type GiveWaySettings } from './give-way.ts'

/** Often enough for a round trip of 100 ms; a look at a connection takes 3 us. */
const LOOK_MS = 50
/** Of what cannot leave yet, the kernel takes this much at the rate: more would only delay what is urgent. */
const UNSENT_MS = 100
const MIN_UNSENT_BYTES = 16 * 1024
/**
 * Of a connection among several. What was written to it and waits (limits.ts: TLS_WRITE_HIGH_BYTES) takes 5 s at this rate, and
 * so long a ping and the opening of a stream wait, a few times over.
 */
const MIN_LANE_RATE = 50_000
/** What tells of the round trip has to come within this time. */
const TELLING_MS = 1000
/** Of what was carried before a look, in what a connection is taken to carry: about half a second of it. */
const RECENT = 0.9
/** Of the smoothed round trip, with each that is measured. */
const KEPT = 7 / 8

export interface PathState {
  readonly peer: string
  /** Of the packets of a moment ago, and the smallest of the last minutes. */
  readonly rttMs: number
  readonly baseMs: number
  readonly queueMs: number
  /** What this node may send; undefined while nothing bounds it. */
  readonly bytesPerSecond?: number
  /** Other traffic is made room for. */
  readonly isYielding: boolean
  readonly connections: number
  /** That arrived here, of connections that there are and were. */
  readonly outOfOrderPackets: number
}

export interface PathPacer {
  /** A connection is encrypted, and whose it is is known. */
  add(peer: string, socket: Socket): void
  /** From now on. Undefined: nobody is given way to. */
  change(settings: GiveWaySettings | undefined): void
  paths(): PathState[]
  pathTo(peer: string): PathState | undefined
  stop(): void
}

interface Lane {
  readonly socket: Socket
  last: TcpInfo | undefined
  deliveredBytes: number
  /** Its round trip is one of now, and of the path alone. */
  isTelling: boolean
  /** Since when it has not told. */
  mark: { readonly atMs: number; readonly ackedBytes: number; readonly receivedBytes: number }
  /** Of the last packets. */
  rttMs: number
  /** What was delivered, of the last looks. */
  recentBytes: number
  /** What the kernel was told. */
  pacing: number | undefined
}

interface Path {
  readonly lanes: Set<Lane>
  giveWay: GiveWay
  rttMs: number | undefined
  outOfOrderPackets: number
}

export function createPathPacer(
  { clock, isFar }: { readonly clock: Clock; readonly isFar: (peer: string) => boolean },
  initial?: GiveWaySettings,
): PathPacer {
  const paths = new Map<string, Path>()
  let settings = initial
  let cancel: (() => void) | undefined

  function look(): void {
    const nowMs = clock.monotonicMs()
    for (const [peer, path] of paths) if (isFar(peer)) lookAt(path, nowMs)
    cancel = paths.size === 0 ? undefined : clock.after(LOOK_MS, look)
  }

  function lookAt(path: Path, nowMs: number): void {
    let rttMs = Number.POSITIVE_INFINITY
    let minRttMs = Number.POSITIVE_INFINITY
    let deliveredBytes = 0
    let busy = 0
    for (const lane of path.lanes) {
      const before = lane.last?.outOfOrderPackets ?? 0
      const info = readLane(lane, nowMs)
      if (info === undefined) continue
      path.outOfOrderPackets += Math.max(0, info.outOfOrderPackets - before)
      if (info.minRttMs > 0) minRttMs = Math.min(minRttMs, info.minRttMs)
      deliveredBytes += lane.deliveredBytes
      if (!lane.isTelling) continue
      busy++
      rttMs = Math.min(rttMs, lane.rttMs)
    }
    if (busy > 0) path.rttMs = rttMs
    path.giveWay.look(
      busy === 0 ? undefined : { rttMs, minRttMs: Number.isFinite(minRttMs) ? minRttMs : 0, deliveredBytes },
      nowMs,
    )
    pace(path)
  }

  function pace({ lanes, giveWay }: Path): void {
    const rate = settings === undefined ? Number.POSITIVE_INFINITY : giveWay.rate()
    const recentBytes = [...lanes].reduce((sum, lane) => sum + lane.recentBytes, 0)
    for (const lane of lanes) {
      // To each what it carries; to one that carries little, enough to carry more.
      const share = recentBytes === 0 ? 1 : lane.recentBytes / recentBytes
      const pacing = Number.isFinite(rate) ? laneRate(rate, share, lanes.size) : undefined
      if (isClose(lane.pacing, pacing)) continue
      const fd = descriptorOf(lane.socket)
      if (fd === undefined || !boundPacing(fd, pacing)) continue
      boundUnsent(
        fd,
        pacing === undefined ? undefined : Math.max(MIN_UNSENT_BYTES, (pacing * UNSENT_MS) / 1000),
      )
      lane.pacing = pacing
    }
  }

  function forget(peer: string, path: Path, lane: Lane): void {
    path.lanes.delete(lane)
    if (path.lanes.size === 0 && paths.get(peer) === path) paths.delete(peer)
  }

  function describe(peer: string): PathState | undefined {
    const path = paths.get(peer)
    if (path?.rttMs === undefined) return undefined
    const { lanes, giveWay, rttMs, outOfOrderPackets } = path
    const [queueMs, baseMs, rate] = [giveWay.queueMs() ?? 0, giveWay.baseMs() ?? rttMs, giveWay.rate()]
    const isBounded = settings !== undefined && Number.isFinite(rate)
    return {
      ...{ peer, rttMs, baseMs, queueMs, connections: lanes.size, outOfOrderPackets },
      ...(isBounded ? { bytesPerSecond: Math.round(rate) } : {}),
      isYielding: isBounded && giveWay.isYielding(clock.monotonicMs()),
    }
  }

  const fresh = (): GiveWay => createGiveWay(settings ?? { targetMs: 25, minBytesPerSecond: 1 })

  return {
    add(peer, socket) {
      if (descriptorOf(socket) === undefined) return
      const path = paths.get(peer) ?? {
        lanes: new Set(),
        giveWay: fresh(),
        rttMs: undefined,
        outOfOrderPackets: 0,
      }
      paths.set(peer, path)
      const lane: Lane = {
        socket,
        last: undefined,
        deliveredBytes: 0,
        isTelling: false,
        mark: { atMs: clock.monotonicMs(), ackedBytes: 0, receivedBytes: 0 },
        rttMs: 0,
        recentBytes: 0,
        pacing: undefined,
      }
      path.lanes.add(lane)
      socket.once('close', () => forget(peer, path, lane))
      if (socket.destroyed) forget(peer, path, lane)
      cancel ??= clock.after(LOOK_MS, look)
    },
    change(next) {
      settings = next
      for (const path of paths.values()) {
        path.giveWay = fresh()
        pace(path)
      }
    },
    paths: () => [...paths.keys()].flatMap((peer) => describe(peer) ?? []),
    pathTo: describe,
    stop() {
      cancel?.()
      cancel = undefined
      paths.clear()
    },
  }
}

/** What TCP says of it now; its bytes since the last time are in the lane. */
function readLane(lane: Lane, nowMs: number): TcpInfo | undefined {
  const fd = descriptorOf(lane.socket)
  const info = fd === undefined ? undefined : readTcpInfo(fd)
  const { last } = lane
  if (info === undefined || last === undefined) {
    lane.deliveredBytes = 0
    lane.isTelling = false
  } else {
    lane.deliveredBytes = Math.max(0, info.deliveredBytes - last.deliveredBytes)
    lane.rttMs = unsmoothed(last, info)
    // Of two packets together the second is acknowledged at once, and what comes brings acknowledgements along. The one of a lone
    // packet may wait 40 ms at the other end (RFC 1122's delayed acknowledgements): that is no queue.
    const { mark } = lane
    const enough = 2 * info.segmentBytes
    const ackedBytes = info.ackedBytes - mark.ackedBytes
    lane.isTelling =
      ackedBytes >= enough || (ackedBytes > 0 && info.receivedBytes - mark.receivedBytes >= enough)
    if (lane.isTelling || nowMs - mark.atMs >= TELLING_MS)
      lane.mark = { atMs: nowMs, ackedBytes: info.ackedBytes, receivedBytes: info.receivedBytes }
  }
  lane.recentBytes = lane.recentBytes * RECENT + lane.deliveredBytes
  lane.last = info
  return info
}

/**
 * The round trip of the packets between two looks. The kernel's figure takes in an eighth of each (RFC 6298), which at the
 * smallest rate is seconds behind: so much later would a path that is free again be taken. With n of them at most, each of
 * about the same time t (no more than came in, and than were sent with data), after = t + (7/8)^n (before - t).
 */
function unsmoothed(before: TcpInfo, after: TcpInfo): number {
  const count = Math.min(
    (after.segmentsIn - before.segmentsIn) >>> 0,
    (after.dataSegmentsOut - before.dataSegmentsOut) >>> 0,
  )
  const left = KEPT ** Math.max(1, count)
  return Math.max(after.minRttMs, (after.rttMs - left * before.rttMs) / (1 - left))
}

/**
 * Asked anew each time: a socket that is closed has none, and its number may be another file's by then. Node has no public way
 * to it.
 */
function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: number } | null }
  const fd = handle?.fd
  return fd === undefined || fd < 0 ? undefined : fd
}

/** Within 2 %: the kernel need not be told. */
function isClose(a: number | undefined, b: number | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return Math.abs(a - b) <= 0.02 * a
}

function laneRate(rate: number, share: number, lanes: number): number {
  return Math.max(rate * Math.max(share, 1 / (2 * lanes)), Math.min(rate, MIN_LANE_RATE))
}
