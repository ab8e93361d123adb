/** The parts of `mirrormesh status --json` that the tour reads, and what follows from two of them. */

export interface PeerTraffic {
  readonly site: string
  readonly bytesSent: number
  readonly bytesReceived: number
  readonly blocksSent: number
  readonly blocksReceived: number
  /** Block bytes sent to this peer while this node did not have the whole snapshot itself. */
  readonly bytesSentBeforeComplete: number
}

export interface TreeAtSite {
  readonly site: string
  readonly sequence: number | null
  readonly state: string
  readonly missingBytes: number | null
}

export interface Status {
  readonly trees: readonly {
    readonly tree: string
    readonly sequence: number | null
    readonly bytes: number | null
    readonly sites: readonly TreeAtSite[]
  }[]
  readonly traffic: {
    readonly peers: readonly PeerTraffic[]
    readonly blocksSent: number
    readonly blocksSentMoreThanOnce: number
  }
}

export interface LabFacts {
  readonly site: string
  readonly bytesFromOrigin: number
  readonly bytesFromOtherLab: number
  readonly bytesToOtherLab: number
  /** Of what it gave the other lab, in percent: what left before it was complete itself. */
  readonly beforeCompletePercent: number
  /** Of what the other lab has received, in percent: what came from this one. */
  readonly shareOfOtherPercent: number
}

export interface TrafficFacts {
  readonly bytesLeftOrigin: number
  readonly blocksLeftOrigin: number
  readonly blocksLeftOriginMoreThanOnce: number
  readonly twicePercent: number
  readonly labs: readonly LabFacts[]
}

/** What moved between two readings of every node's status; `before` is empty for the first round. */
export function trafficBetween(
  origin: string,
  labs: readonly [string, string],
  before: ReadonlyMap<string, Status>,
  after: ReadonlyMap<string, Status>,
): TrafficFacts {
  const blocksLeftOrigin = total(after.get(origin), 'blocksSent') - total(before.get(origin), 'blocksSent')
  const again =
    total(after.get(origin), 'blocksSentMoreThanOnce') - total(before.get(origin), 'blocksSentMoreThanOnce')
  const moved = (
    from: string,
    to: string,
    what: 'bytesSent' | 'bytesReceived' | 'bytesSentBeforeComplete',
  ): number => traffic(after.get(from), to, what) - traffic(before.get(from), to, what)

  return {
    bytesLeftOrigin: labs.reduce((sum, lab) => sum + moved(origin, lab, 'bytesSent'), 0),
    blocksLeftOrigin,
    blocksLeftOriginMoreThanOnce: again,
    twicePercent: percent(again, blocksLeftOrigin - again),
    labs: labs.map((site, index) => {
      const other = labs[1 - index] ?? site
      const bytesToOtherLab = moved(site, other, 'bytesSent')
      return {
        site,
        bytesFromOrigin: moved(site, origin, 'bytesReceived'),
        bytesFromOtherLab: moved(site, other, 'bytesReceived'),
        bytesToOtherLab,
        beforeCompletePercent: percent(moved(site, other, 'bytesSentBeforeComplete'), bytesToOtherLab),
        shareOfOtherPercent: percent(
          bytesToOtherLab,
          moved(other, origin, 'bytesReceived') + bytesToOtherLab,
        ),
      }
    }),
  }
}

export function percent(part: number, whole: number): number {
  return whole <= 0 ? 0 : Math.round((1000 * part) / whole) / 10
}

function total(status: Status | undefined, what: 'blocksSent' | 'blocksSentMoreThanOnce'): number {
  return status?.traffic[what] ?? 0
}

function traffic(status: Status | undefined, site: string, what: keyof Omit<PeerTraffic, 'site'>): number {
  let sum = 0
  for (const peer of status?.traffic.peers ?? []) if (peer.site === site) sum += peer[what] ?? 0
  return sum
}
