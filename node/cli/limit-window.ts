/** A window of a schedule of limits in one argument: `mon-fri 08:00-18:00 wan-up=2M wan-down=none`. Pure. */
import { MirrorError } from '../../src/base/errors.ts'
import { DAYS, type Day, type LimitName } from '../limit-names.ts'
import type { LimitWindow } from '../limit-schedule.ts'

/** As options and windows call them. */
export const CAPS = {
  'wan-up': 'wanUpBytesPerSecond',
  'wan-down': 'wanDownBytesPerSecond',
  'region-up': 'regionUpBytesPerSecond',
  'region-down': 'regionDownBytesPerSecond',
} as const satisfies Record<string, LimitName>

/** @throws MirrorError `invalid`. Times are checked where the schedule is. */
export function parseWindow(text: string): LimitWindow {
  const words = text.trim().split(/\s+/)
  const days = words.length > 1 && !words[0]!.includes(':') ? parseDays(words.shift()!) : [...DAYS]
  const [from, to, ...more] = (words.shift() ?? '').split('-')
  if (from === undefined || to === undefined || to === '' || more.length > 0 || words.length === 0)
    throw wrong(text)
  const caps: { [K in LimitName]?: number } = {}
  for (const word of words) {
    const [name = '', rate, ...rest] = word.split('=')
    if (!Object.hasOwn(CAPS, name) || rate === undefined || rest.length > 0) throw wrong(text)
    caps[CAPS[name as keyof typeof CAPS]] = parseRate(rate)
  }
  return { days, from, to, ...caps }
}

export function formatWindow(window: LimitWindow): string {
  const caps = Object.entries(CAPS).flatMap(([name, key]) => {
    const rate = window[key]
    return rate === undefined ? [] : [`${name}=${rateText(rate)}`]
  })
  return [formatDays(window.days), `${window.from}-${window.to}`, ...caps].join(' ')
}

/** `2M`, `500k`, `none`: what is read again as the same. */
export function rateText(rate: number): string {
  if (rate === 0) return 'none'
  for (const [unit, size] of [
    ['G', 1e9],
    ['M', 1e6],
    ['k', 1e3],
  ] as const) {
    if (rate % size === 0) return `${rate / size}${unit}`
  }
  return String(rate)
}

/** @throws MirrorError `invalid` */
export function parseRate(text: string): number {
  if (text === 'none') return 0
  const match = /^(\d{1,12})([kMG]?)$/.exec(text)
  const rate = Number(match?.[1]) * { '': 1, k: 1e3, M: 1e6, G: 1e9 }[match?.[2] as '' | 'k' | 'M' | 'G']
  if (match !== null && rate > 0) return rate
  throw new MirrorError(
    'invalid',
    `a cap is bytes a second like 500k or 20M, or none, not ${JSON.stringify(text)}`,
  )
}

/** `mon-fri`, `sat,sun`, `daily`. */
function parseDays(text: string): Day[] {
  if (text === 'daily') return [...DAYS]
  const found = new Set<Day>()
  for (const part of text.split(',')) {
    const [first, last = first] = part.split('-').map((each) => DAYS.indexOf(each as Day))
    if (first === undefined || last === undefined || first < 0 || last < 0) {
      throw new MirrorError(
        'invalid',
        `days are ${DAYS.join(', ')}, mon-fri or daily, not ${JSON.stringify(text)}`,
      )
    }
    for (let day = first; ; day = (day + 1) % DAYS.length) {
      found.add(DAYS[day]!)
      if (day === last) break
    }
  }
  return DAYS.filter((day) => found.has(day))
}

export function formatDays(days: readonly Day[]): string {
  const on = DAYS.map((day) => days.includes(day))
  if (!on.includes(false)) return 'daily'
  const runs: string[] = []
  for (let at = 0; at < on.length; at++) {
    if (!on[at]) continue
    let end = at
    while (on[end + 1] === true) end++
    if (end > at + 1) runs.push(`${DAYS[at]}-${DAYS[end]}`)
    else for (let day = at; day <= end; day++) runs.push(DAYS[day]!)
    at = end
  }
  return runs.join(',')
}

function wrong(text: string): MirrorError {
  return new MirrorError(
    'invalid',
    `a window is DAYS FROM-TO CAP=RATE..., such as "mon-fri 08:00-18:00 wan-up=2M", not ${JSON.stringify(text)}`,
    { hint: `Caps are ${Object.keys(CAPS).join(', ')}; a rate is 500k, 20M or none.` },
  )
}
