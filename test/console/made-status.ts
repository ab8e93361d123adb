/** Status documents that are made up, of any size: the same numbers give the same document. */
import type {
  ReplicaStatus,
  SiteStatus,
  StatusDocument,
  TreeStatus,
} from '../../src/replica/status/status.ts'

export interface Size {
  readonly sites: number
  readonly trees: number
  /** Another number: the same mesh, a moment later. One tree of fifty has moved then. */
  readonly turn?: number
}

const REGIONS = ['eu-north', 'eu-south', 'us-east', 'us-west', 'asia', 'india', 'brazil', 'israel']
const MINUTE_MS = 60_000

export function madeStatus({ sites, trees, turn = 0 }: Size, nowMs = Date.now()): StatusDocument {
  const members = Array.from({ length: sites }, (_, i) => madeSite(i))
  const classes = {
    site: amounts(0),
    region: amounts(5e7 * turn),
    wan: amounts(2e8 * turn),
  }
  return {
    mesh: { name: 'made', id: 'bafymade' },
    self: { peer: members[0]!.peer, site: members[0]!.site, region: members[0]!.region, version: '0.1.0' },
    sites: members,
    trees: Array.from({ length: trees }, (_, i) => madeTree(i, members, turn, nowMs)),
    traffic: { peers: [], classes, blocksSent: 0, blocksSentMoreThanOnce: 0, bytesSentBeforeComplete: 0 },
    alarms: [],
  }
}

function amounts(bytes: number) {
  return { bytesSent: bytes, bytesReceived: bytes / 3, plainBytesSent: bytes, plainBytesReceived: bytes / 3 }
}

function madeSite(i: number): SiteStatus {
  const state = i === 0 ? 'self' : i % 61 === 60 ? 'silent' : i % 97 === 96 ? 'never-seen' : 'up'
  return {
    site: i === 0 ? 'hq' : `lab-${String(i).padStart(3, '0')}`,
    region: REGIONS[i % REGIONS.length]!,
    peer: `12D3KooW${String(i).padStart(44, 'x')}`,
    state,
    ageSeconds: state === 'never-seen' ? null : state === 'silent' ? 2400 : i === 0 ? 0 : 7,
    labels: i % 3 === 0 ? ['lab'] : [],
    drained: false,
    note: '',
    addresses: [],
    version: '0.1.0',
    traffic: { bytesSent: (i + 1) * 3e9, bytesReceived: (i + 2) * 3e9 },
  }
}

function madeTree(i: number, sites: readonly SiteStatus[], turn: number, nowMs: number): TreeStatus {
  const moves = Math.floor((turn + i) / 50)
  const sequence = 10 + ((i * 7) % 90) + moves
  const bytes = 2e9 + i * 1e7
  return {
    tree: `builds/release-${i % 12}/component-${String(i).padStart(3, '0')}`,
    epoch: 1,
    sequence,
    snapshot: 'bafymade',
    publisher: sites[0]!.peer,
    files: 1000 + i,
    bytes,
    timeMs: nowMs - (5 + i * 3) * MINUTE_MS,
    sites: sites.flatMap((site, j) => {
      const dice = (i * 31 + j * 17 + moves * 7) % 100
      return dice >= 90 ? [] : [madeReplica(site, dice, { sequence, bytes, nowMs })]
    }),
  }
}

function madeReplica(
  { site, state }: SiteStatus,
  dice: number,
  { sequence, bytes, nowMs }: { sequence: number; bytes: number; nowMs: number },
): ReplicaStatus {
  const checkouts = dice % 2 === 0 ? [{ path: '/srv/builds', sequence }] : []
  if (state === 'never-seen')
    return {
      site,
      sequence: null,
      state: 'unknown',
      missingBytes: null,
      checkouts: [],
      reason: 'nothing heard',
    }
  if (dice < 80) return { site, sequence, state: 'complete', missingBytes: 0, checkouts }
  const lag = { snapshots: 1 + (dice % 3), sinceMs: nowMs - dice * MINUTE_MS }
  const rest = { site, sequence: sequence - lag.snapshots, lag, checkouts }
  if (dice < 87) return { ...rest, state: 'fetching', missingBytes: (bytes * (dice - 79)) / 10 }
  if (dice < 89) return { ...rest, state: 'behind', missingBytes: bytes, reason: 'waits for other fetches' }
  return { ...rest, state: 'behind', missingBytes: bytes, reason: 'the disk is full', hasFailed: true }
}
