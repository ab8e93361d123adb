/**
 * Caps by the time of the week: windows in a time zone, of which the first that holds says what it says, and the caps that it does not
 * name are as they are otherwise. Pure: the time comes in.
 *
 * Windows begin and end at quarters of an hour, by the clocks of the zone. Every zone is a whole number of quarters from UTC, so
 * what holds changes at quarters of UTC only; what the zone's clocks show at such an instant is asked of the zone itself. So an
 * hour that comes twice in autumn is in the window both times, and a window that would begin in the hour that is left out in
 * spring begins with the hour after it.
 */
import { z } from 'zod'
import { DAYS, type Day, LIMIT_NAMES } from './limit-names.ts'

export const RATE = z.int().min(0).max(100_000_000_000)
const QUARTER_MS = 15 * 60_000
const MINUTES_A_DAY = 24 * 60
export const MAX_WINDOWS = 64
/** A week, and the day on which clocks change. */
const LOOK_AHEAD_QUARTERS = 8 * 96

const TIME = z
  .string()
  .regex(/^(?:([01]\d|2[0-3]):(00|15|30|45)|24:00)$/, 'is not a quarter of an hour such as 08:00 or 17:45')
const WINDOW = z
  .strictObject({
    days: z
      .array(z.enum(DAYS))
      .min(1)
      .max(7)
      .default([...DAYS])
      .describe('on which it begins'),
    from: TIME.refine((text) => text !== '24:00', 'is 00:00 of the next day'),
    to: TIME.describe('the next day, when it is not after `from`'),
    wanUpBytesPerSecond: RATE.exactOptional(),
    wanDownBytesPerSecond: RATE.exactOptional(),
    regionUpBytesPerSecond: RATE.exactOptional(),
    regionDownBytesPerSecond: RATE.exactOptional(),
  })
  .refine((window) => LIMIT_NAMES.some((name) => window[name] !== undefined), 'names no cap')

export const SCHEDULE = z.strictObject({
  timeZone: z
    .string()
    .refine(isTimeZone, 'is not a time zone such as Europe/Prague or UTC')
    .default(() => new Intl.DateTimeFormat().resolvedOptions().timeZone)
    .describe('of the times; that of the machine when absent'),
  windows: z.array(WINDOW).max(MAX_WINDOWS).describe('the first that holds counts'),
})

export type LimitWindow = Readonly<z.output<typeof WINDOW>>
export interface LimitSchedule {
  readonly timeZone: string
  readonly windows: readonly LimitWindow[]
}

/** Which window holds; undefined for none. */
export function windowAt(schedule: LimitSchedule, nowMs: number): number | undefined {
  if (schedule.windows.length === 0) return undefined
  const { day, minute } = localTime(schedule.timeZone, nowMs)
  const found = schedule.windows.findIndex((window) => holds(window, day, minute))
  return found < 0 ? undefined : found
}

/** When another window holds, or none; undefined when that is not within a week. */
export function nextChangeMs(schedule: LimitSchedule, nowMs: number): number | undefined {
  const current = windowAt(schedule, nowMs)
  const first = Math.floor(nowMs / QUARTER_MS) + 1
  for (let at = first; at < first + LOOK_AHEAD_QUARTERS; at++) {
    if (windowAt(schedule, at * QUARTER_MS) !== current) return at * QUARTER_MS
  }
  return undefined
}

function holds({ days, from, to }: LimitWindow, day: number, minute: number): boolean {
  const [begin, end] = [minutesOf(from), minutesOf(to)]
  const isOn = (which: number): boolean => days.includes(DAYS[(which + 7) % 7]!)
  if (begin < end) return isOn(day) && minute >= begin && minute < end
  return (isOn(day) && minute >= begin) || (isOn(day - 1) && minute < end)
}

function minutesOf(text: string): number {
  const [hours = 0, minutes = 0] = text.split(':').map(Number)
  return Math.min(MINUTES_A_DAY, hours * 60 + minutes)
}

const formats = new Map<string, Intl.DateTimeFormat>()

function formatOf(timeZone: string): Intl.DateTimeFormat {
  let format = formats.get(timeZone)
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone,
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    })
    formats.clear()
    formats.set(timeZone, format)
  }
  return format
}

/** What the clocks there show: 0 is Monday. */
function localTime(timeZone: string, timeMs: number): { readonly day: number; readonly minute: number } {
  const parts = new Map(
    formatOf(timeZone)
      .formatToParts(timeMs)
      .map(({ type, value }) => [type, value]),
  )
  return {
    day: DAYS.indexOf(parts.get('weekday')!.toLowerCase() as Day),
    minute: Number(parts.get('hour')) * 60 + Number(parts.get('minute')),
  }
}

function isTimeZone(text: string): boolean {
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone: text }).resolvedOptions().timeZone !== ''
  } catch {
    return false
  }
}
