/** What a field of the matrix says of one tree at one site: a sign, a few words, and a sentence. Pure. */
import type { ReplicaStatus, SiteStatus, TreeStatus } from '../../../src/replica/status/status.ts'
import { formatBytes, formatSeconds } from '../../cli/quantity.ts'
import { isFailed, isStalled } from '../problems.ts'
import { roughly, silentSeconds } from '../text.ts'

export type CellKind =
  | 'complete'
  | 'fetching'
  | 'behind'
  | 'stalled'
  | 'paused'
  | 'failed'
  | 'unknown'
  | 'none'

export interface Cell {
  readonly kind: CellKind
  readonly sign: string
  /** Beside the sign, where there is room. */
  readonly text: string
  /** For a tooltip and for a screen reader: all of it. */
  readonly label: string
  /** Of a fetch whose size is known: 0 to 1. */
  readonly share?: number
}

const SIGNS: Readonly<Record<CellKind, string>> = {
  complete: '✓',
  fetching: '↓',
  behind: '−',
  stalled: '−',
  paused: '‖',
  failed: '!',
  unknown: '?',
  none: '',
}

export function kindOf(replica: ReplicaStatus | undefined, nowMs: number): CellKind {
  if (replica === undefined) return 'none'
  if (isFailed(replica)) return 'failed'
  if (replica.state === 'behind' && replica.pause !== undefined) return 'paused'
  if (replica.state === 'behind') return isStalled(replica, nowMs) ? 'stalled' : 'behind'
  return replica.state
}

export function cellOf(
  tree: TreeStatus,
  site: SiteStatus,
  replica: ReplicaStatus | undefined,
  nowMs: number,
): Cell {
  const kind = kindOf(replica, nowMs)
  const sign = SIGNS[kind]
  const where = `${tree.tree} at ${site.site}`
  if (replica === undefined) return { kind, sign, text: '', label: `${where}: not kept there` }
  const lag = lagText(replica, nowMs)
  const missing = replica.missingBytes
  const share =
    replica.state === 'fetching' && missing !== null && tree.bytes !== null && tree.bytes > 0
      ? Math.min(1, Math.max(0, 1 - missing / tree.bytes))
      : undefined
  const parts = [`${where}: ${replica.state}`]
  if (replica.sequence !== null) parts.push(`has snapshot ${replica.sequence}`)
  if (lag !== undefined) parts.push(lag)
  if (missing !== null && missing > 0) parts.push(`${formatBytes(missing)} to come`)
  if (replica.reason !== undefined) parts.push(replica.reason)
  if (site.state === 'silent')
    parts.push(`as it said ${formatSeconds(roughly(silentSeconds(site, nowMs)))} ago, before it fell silent`)
  const text = shortText(kind, replica, lag, share)
  // What is seen is heard, too.
  if (!parts.some((part) => part.includes(text))) parts.splice(1, 0, text)
  return {
    kind,
    sign,
    text,
    label: parts.join(', '),
    ...(share === undefined ? {} : { share }),
  }
}

function shortText(
  kind: CellKind,
  { sequence, missingBytes }: ReplicaStatus,
  lag: string | undefined,
  share: number | undefined,
): string {
  if (kind === 'complete') return sequence === null ? '' : `@${sequence}`
  if (kind === 'failed') return lag ?? 'fails'
  if (kind === 'paused') return lag ?? 'paused'
  if (kind === 'unknown') return 'unknown'
  if (kind !== 'fetching') return lag ?? 'waits'
  if (missingBytes === null) return 'fetching'
  return share === undefined ? formatBytes(missingBytes) : `${Math.floor(share * 100)} %`
}

/** `2 behind, 3 h`. */
export function lagText({ lag }: ReplicaStatus, nowMs: number): string | undefined {
  if (lag === undefined) return undefined
  const seconds = Math.max(0, (nowMs - lag.sinceMs) / 1000)
  return `${lag.snapshots} behind, ${formatSeconds(roughly(seconds))}`
}
