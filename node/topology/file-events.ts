/** What happens in a simulation, as a topology file lists it. */
import type { z } from 'zod'
import type { either, FileContent } from './file-schema.ts'

/** `stall`: it takes requests and sends nothing; `lie`: it sends bytes that do not match. `pause`: its process does not run. */
export const SITE_EVENTS = ['kill', 'restart', 'join', 'stall', 'lie'] as const
export type SiteEventKind = (typeof SITE_EVENTS)[number]

/** Something that happens in a simulation. Names of regions are `region:NAME`. */
export type FileEvent =
  | { readonly atMs: number; readonly kind: SiteEventKind; readonly site: string }
  | { readonly atMs: number; readonly kind: 'pause'; readonly site: string; readonly forMs: number }
  | { readonly atMs: number; readonly kind: 'cut'; readonly between: readonly [string, string | undefined] }
  | { readonly atMs: number; readonly kind: 'heal'; readonly between?: readonly [string, string | undefined] }
  | {
      readonly atMs: number
      readonly kind: 'rate'
      readonly site: string
      readonly upKbit?: number
      readonly downKbit?: number
    }

/** @param endOf makes `region:NAME` of a name that is a region's */
export function eventOf(event: FileContent['events'][number], endOf: (name: string) => string): FileEvent {
  const atMs = event.at
  const betweenOf = (value: z.output<typeof either>): readonly [string, string | undefined] =>
    typeof value === 'string' ? [endOf(value), undefined] : [endOf(value[0]), endOf(value[1])]
  for (const kind of SITE_EVENTS) {
    const site = (event as { readonly [K in SiteEventKind]?: string })[kind]
    if (site !== undefined) return { atMs, kind, site }
  }
  if ('pause' in event) return { atMs, kind: 'pause', site: event.pause, forMs: event.for }
  if ('cut' in event) return { atMs, kind: 'cut', between: betweenOf(event.cut) }
  if ('heal' in event)
    return event.heal === 'all'
      ? { atMs, kind: 'heal' }
      : { atMs, kind: 'heal', between: betweenOf(event.heal) }
  if ('rate' in event) return { atMs, kind: 'rate', site: event.rate, ...rateOf(event) }
  throw new TypeError('an event of no kind')
}

export function rateOf(entry: { up?: number | undefined; down?: number | undefined } | null): {
  upKbit?: number
  downKbit?: number
} {
  return {
    ...(entry?.up === undefined ? {} : { upKbit: entry.up }),
    ...(entry?.down === undefined ? {} : { downKbit: entry.down }),
  }
}
