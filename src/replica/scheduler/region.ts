/** What the scheduler knows of another region: whether it tells of new blocks, which is what its lease rests on. */
import type { Lease } from './peer.ts'

export interface RegionState extends Lease {
  readonly region: string
}

/** The state of a region, made when it is first heard of or waited for. */
export function regionOf(regions: Map<string, RegionState>, region: string, nowMs: number): RegionState {
  const known = regions.get(region)
  if (known !== undefined) return known
  const created: RegionState = {
    region,
    newsMs: nowMs,
    newsGapMs: 0,
    awaitedSinceMs: undefined,
    isSilent: false,
    newsRate: 0,
    newsBytes: 0,
    newsWindowMs: nowMs,
  }
  regions.set(region, created)
  return created
}
