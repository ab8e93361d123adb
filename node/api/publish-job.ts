/** The job behind `publish`: import, sign the head, and wait for other sites when asked to. */
import { MirrorError } from '../../src/base/errors.ts'
import { checkTreeName } from '../../src/dag/tree-name.ts'
import { pinCovers } from '../../src/record/kinds/pin.ts'
import type { TreeStatus } from '../../src/replica/status.ts'
import type { PublishAnswer } from './answers.ts'
import type { JobControl } from './jobs.ts'
import { fieldOf, textOf } from './query.ts'
import type { Services } from './services.ts'

interface Wanted {
  readonly tree: string
  readonly sequence: number
  readonly bytes: number
  /** Names of sites, or `all`. */
  readonly sites: readonly string[]
  readonly timeoutMs: number | undefined
}

export function runPublishJob(services: Services, body: unknown) {
  const path = textOf(body, 'path')
  const tree = checkTreeName(textOf(body, 'tree'))
  const notes = textsOf(body, 'notes')
  const allowEmpty = fieldOf(body, 'allowEmpty') === true
  const inPlace = fieldOf(body, 'inPlace') === true
  const sites = listOf(body, 'wait')
  const timeoutMs = numberOf(body, 'timeoutMs')
  return async ({ signal, report }: JobControl): Promise<PublishAnswer> => {
    if (sites !== undefined) checkSites(services, tree, sites)
    const published = await services.publisher.publish({
      path,
      tree,
      notes,
      allowEmpty,
      inPlace,
      ...(services.workers === undefined ? {} : { workers: services.workers }),
      signal,
      onProgress: report,
    })
    const { directories: _directories, symlinks: _symlinks, specials: _specials, ...counts } = published
    const answer = { ...counts, snapshot: published.snapshot.toString() }
    if (sites === undefined) return answer
    const wanted = { tree, sequence: published.sequence, bytes: published.bytes, sites, timeoutMs }
    return { ...answer, waited: await waitForSites(services, wanted, { signal, report }) }
  }
}

/** @throws MirrorError `timed-out` naming the sites that are not complete; the publication stands */
async function waitForSites(
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

/** Before anything is published: a site that does not keep the tree would be waited for in vain. */
function checkSites({ ledger, readSelf }: Services, tree: string, sites: readonly string[]): void {
  if (sites.includes('all')) return
  const state = ledger.state()
  const pins = [...state.pins.values()]
  for (const site of sites) {
    const member = [...state.members.values()].find((each) => each.isActive && each.site === site)
    if (member === undefined) throw new MirrorError('not-found', `there is no site ${site} to wait for`)
    if (site === readSelf().site || pins.some((pin) => pinCovers(pin.body, tree, member))) continue
    throw new MirrorError('not-found', `${site} does not keep ${tree}: no pin names it`, {
      facts: { tree, site },
      hint: `Nothing was published. First: mirrormesh pin add ${tree} --site ${site}`,
    })
  }
}

function sitesOf({ ledger }: Services, { tree, sites }: Wanted): string[] {
  const state = ledger.state()
  const members = [...state.members.values()].filter((member) => member.isActive)
  if (!sites.includes('all')) {
    const unknown = sites.find((site) => !members.some((member) => member.site === site))
    if (unknown !== undefined) throw new MirrorError('not-found', `there is no site ${unknown} to wait for`)
    return [...sites]
  }
  const pins = [...state.pins.values()].filter((pin) =>
    members.some((member) => pinCovers(pin.body, tree, member)),
  )
  const pinned = members.filter((member) => pins.some((pin) => pinCovers(pin.body, tree, member)))
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

function textsOf(body: unknown, name: string): Record<string, string> {
  const value = fieldOf(body, name) ?? {}
  if (
    typeof value === 'object' &&
    !Array.isArray(value) &&
    Object.values(value).every((each) => typeof each === 'string')
  ) {
    return value as Record<string, string>
  }
  throw new MirrorError('invalid', `${name} must be an object of texts`)
}

function listOf(body: unknown, name: string): string[] | undefined {
  const value = fieldOf(body, name)
  if (value === undefined) return undefined
  if (Array.isArray(value) && value.length > 0 && value.every((each) => typeof each === 'string'))
    return value
  throw new MirrorError('invalid', `${name} must be a list of texts`)
}

function numberOf(body: unknown, name: string): number | undefined {
  const value = fieldOf(body, name)
  if (value === undefined) return undefined
  if (typeof value === 'number' && value >= 0) return value
  throw new MirrorError('invalid', `${name} must be a number`)
}
