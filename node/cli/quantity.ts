/** Numbers as people read them. */

export { formatBytes } from '../../src/base/byte-size.ts'

export function formatCount(count: number): string {
  return count.toLocaleString('en-US')
}

/** 1 file, 2 files, 1,234 files. */
export function countOf(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`
}

/** Two significant parts at most: 0.4 s, 12 s, 3 min 20 s, 5 h 2 min, 4 d 3 h. */
export function formatSeconds(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min${part(whole % 60, 's')}`
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h${part(Math.floor((whole % 3600) / 60), 'min')}`
  return `${Math.floor(whole / 86_400)} d${part(Math.floor((whole % 86_400) / 3600), 'h')}`
}

function part(value: number, unit: string): string {
  return value === 0 ? '' : ` ${value} ${unit}`
}

/** UTC to the second: 2026-01-31 08:15:00Z. */
export function formatTime(timeMs: number): string {
  return `${new Date(timeMs).toISOString().slice(0, 19).replace('T', ' ')}Z`
}

/** Parses `30m`, `24h`, `7d`, `90s` into milliseconds; undefined when it is none of them. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,9})(s|m|h|d)$/.exec(text)
  if (match === null) return undefined
  const unitMs = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[match[2] as 's' | 'm' | 'h' | 'd']
  return Number(match[1]) * unitMs
}
