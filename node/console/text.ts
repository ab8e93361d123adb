/** Text for people: names made harmless, times beside now. */
import type { SiteStatus } from '../../src/replica/status/status.ts'
import { formatSeconds } from '../cli/quantity.ts'

const HARMFUL = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g

/** Controls, and what turns the direction of text or hides within it, are shown as what they are. */
export function shown(text: string): string {
  return text.replace(HARMFUL, (character) => {
    const code = character.charCodeAt(0)
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`
  })
}

/** How long ago, roughly: what shows it is drawn again from time to time only. */
export function age(timeMs: number, nowMs: number): string {
  const seconds = Math.max(0, (nowMs - timeMs) / 1000)
  if (seconds < 5) return 'now'
  return formatSeconds(roughly(seconds)).replace('.0 ', ' ')
}

/** One or two significant parts: 40 s, 12 min, 3 h 20 min, 4 d 3 h. */
export function roughly(seconds: number): number {
  if (seconds < 60) return Math.round(seconds)
  if (seconds < 3600) return Math.round(seconds / 60) * 60
  if (seconds < 6 * 3600) return Math.round(seconds / 600) * 600
  if (seconds < 86_400) return Math.round(seconds / 3600) * 3600
  return Math.round(seconds / 86_400) * 86_400
}

const stamp = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })

export function atTime(timeMs: number): string {
  return Number.isFinite(timeMs) && Math.abs(timeMs) < 8.64e15 ? stamp.format(timeMs) : 'at no time'
}

/** The head of an id, enough to tell it from others by eye. */
export function shortId(id: string): string {
  return id.length <= 16 ? id : `${id.slice(0, id.startsWith('12D3KooW') ? 16 : 12)}…`
}

/** One argument of a command line, in quotes where a shell needs them. */
export function quoted(argument: string): string {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", `'\\''`)}'`
}

const heardMs = new WeakMap<SiteStatus, number>()

/** The stream tells of a site when it changes, not when it grows older: ages are counted on from there. */
export function noteHeard(sites: readonly SiteStatus[], nowMs: number): void {
  for (const site of sites) {
    if (site.ageSeconds !== null && !heardMs.has(site)) heardMs.set(site, nowMs - site.ageSeconds * 1000)
  }
}

/** Since it was last heard of, of a site that is silent. */
export function silentSeconds(site: SiteStatus, nowMs: number): number {
  const known = heardMs.get(site)
  return known === undefined ? (site.ageSeconds ?? 0) : Math.max(0, (nowMs - known) / 1000)
}

/** With its full stop: what to do next follows. */
export function sentence(message: string): string {
  return message.replace(/([^.!?…])$/, '$1.')
}
