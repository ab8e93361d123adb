/** Waiting until sites hold a snapshot, or a newer one of its tree, in full. */
import { MirrorError } from '../../../src/base/errors.ts'
import { isDrained } from '../../../src/record/mesh-state.ts'
import { hasRight, isPinned, isWanted } from '../../../src/replica/goals.ts'
import type { TreeStatus } from '../../../src/replica/status/status.ts'
import type { Services } from '../services.ts'
import type { JobControl } from './jobs.ts'

export interface Wanted {
  readonly tree: string
  readonly sequence: number
  readonly bytes: number
  /** Names of sites, or `all`. */
  readonly sites: readonly string[]
  readonly timeoutMs: number | undefined
}

/** @throws MirrorError `timed-out` naming the sites that are not complete */
export async function waitForSites(
  services: Services,
  wanted: Wanted,
  { signal, report }: Pick<JobControl, 'signal' | 'report'>,
): Promise<{ sites: string[]; seconds: number }> {
  const { clock } = services
  const startedMs = clock.monotonicMs()
  for (;;) {
    // Looked at anew each time: a pin may come, or a site join, while this waits.
    const sites = sitesOf(services, wanted)
    const status = services.readStatus().trees.find((each) => each.tree === wanted.tree)
    const left = sites.filter((site) => !isThere(status, site, wanted.sequence))
    if (left.length === 0) return { sites, seconds: (clock.monotonicMs() - startedMs) / 1000 }
    const missingBytes = left.reduce((sum, site) => sum + missingAt(status, site, wanted.bytes), 0)
    report({
      phase: 'replicate',
      bytes: sites.length * wanted.bytes - missingBytes,
      totalBytes: sites.length * wanted.bytes,
      note: `waiting for ${left.join(', ')}`,
    })
    if (wanted.timeoutMs !== undefined && clock.monotonicMs() - startedMs >= wanted.timeoutMs) {
      throw new MirrorError(
        'timed-out',
        `${wanted.tree}@${wanted.sequence} is published, but not complete at ${left.join(', ')}`,
        {
          facts: { tree: wanted.tree, sequence: wanted.sequence, sites: left.join(','), missingBytes },
          hint: 'It goes on by itself; see: mirrormesh status',
        },
      )
    }
    await nextChange(services, signal)
  }
}

/**
 * A site that does not keep the tree would be waited for in vain.
 * @throws MirrorError `not-found` for such a site, or one that there is not
 */
export function checkSites(
  { ledger, readSelf, clock }: Services,
  tree: string,
  sites: readonly string[],
): void {
  if (sites.includes('all')) return
  const state = ledger.state()
  for (const site of sites) {
    const member = [...state.members.values()].find((each) => each.isActive && each.site === site)
    if (member === undefined) throw new MirrorError('not-found', `there is no site ${site} to wait for`)
    if (site === readSelf().site) continue
    if (isDrained(state, site)) {
      throw new MirrorError('refused', `${site} is drained: it takes nothing new`, {
        facts: { tree, site },
        hint: `Nothing was done. First: mirrormesh site undrain ${site}`,
      })
    }
    if (!hasRight(state, tree, member.peer, clock.nowMs())) {
      throw new MirrorError('refused', `${site} may not read ${tree}, which is private`, {
        facts: { tree, site },
        hint: `Nothing was done. First: mirrormesh grant add ${site} --role reader --tree ${tree}`,
      })
    }
    if (isPinned(state, tree, member)) continue
    throw new MirrorError('not-found', `${site} does not keep ${tree}: no pin names it`, {
      facts: { tree, site },
      hint: `Nothing was done. First: mirrormesh pin add ${tree} --site ${site}`,
    })
  }
}

function sitesOf({ ledger, clock }: Services, { tree, sites }: Wanted): string[] {
  const state = ledger.state()
  const members = [...state.members.values()].filter((member) => member.isActive)
  if (!sites.includes('all')) {
    const unknown = sites.find((site) => !members.some((member) => member.site === site))
    if (unknown !== undefined) throw new MirrorError('not-found', `there is no site ${unknown} to wait for`)
    return [...sites]
  }
  const pinned = members.filter((member) => isWanted(state, tree, member, clock.nowMs()))
  return [...new Set(pinned.map((member) => member.site))].sort()
}

function isThere(status: TreeStatus | undefined, site: string, sequence: number): boolean {
  const replica = status?.sites.find((each) => each.site === site)
  return replica?.sequence != null && replica.sequence >= sequence
}

function missingAt(status: TreeStatus | undefined, site: string, bytes: number): number {
  const missing = status?.sites.find((each) => each.site === site)?.missingBytes
  return Math.min(bytes, missing ?? bytes)
}

const POLL_MS = 1000

/** Something of the status changed, or a second has passed. */
function nextChange({ clock, onStatusChange }: Services, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (): void => {
      cancel()
      unsubscribe()
      signal.removeEventListener('abort', onAbort)
    }
    const onAbort = (): void => {
      end()
      reject(signal.reason)
    }
    const wake = (): void => {
      end()
      resolve()
    }
    const cancel = clock.after(POLL_MS, wake)
    const unsubscribe = onStatusChange(wake)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
}
