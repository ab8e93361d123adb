/** Rates and times as people write them: `25 Mbit/s`, `160 ms`. A plain number is Mbit/s, or milliseconds. */

const KBIT_PER_UNIT: Readonly<Record<string, number>> = { k: 1, M: 1000, G: 1_000_000, T: 1_000_000_000 }
const MS_PER_UNIT: Readonly<Record<string, number>> = { ms: 1, s: 1000, min: 60_000, h: 3_600_000 }

/** In kbit/s, rounded; undefined when it is no rate, or none above 0. */
export function parseRate(value: unknown): number | undefined {
  const match =
    typeof value === 'string' ? /^(\d+(?:\.\d+)?) ?([kMGT])(?:bit(?:\/s)?|bps)$/.exec(value.trim()) : null
  const kbit =
    typeof value === 'number'
      ? value * 1000
      : Number(match?.[1]) * (KBIT_PER_UNIT[match?.[2] ?? ''] ?? Number.NaN)
  return Number.isFinite(kbit) && kbit > 0 ? Math.max(1, Math.round(kbit)) : undefined
}

/** In milliseconds, not rounded; undefined when it is no time. */
export function parseMs(value: unknown): number | undefined {
  const match = typeof value === 'string' ? /^(\d+(?:\.\d+)?) ?(ms|s|min|h)$/.exec(value.trim()) : null
  const ms =
    typeof value === 'number' ? value : Number(match?.[1]) * (MS_PER_UNIT[match?.[2] ?? ''] ?? Number.NaN)
  return Number.isFinite(ms) && ms >= 0 ? ms : undefined
}

/** `25 Mbit/s`, exact: reading it gives the same number. */
export function formatRate(kbit: number): string {
  for (const [unit, size] of [
    ['T', 1e9],
    ['G', 1e6],
    ['M', 1e3],
  ] as const)
    if (kbit >= size) return `${kbit / size} ${unit}bit/s`
  return `${kbit} kbit/s`
}

/** Of a measured rate: three digits. */
export function formatMeasuredRate(bytesPerSecond: number): string {
  const kbit = (bytesPerSecond * 8) / 1000
  const digits = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, kbit))) - 2)
  return formatRate(Math.round(kbit / digits) * digits)
}
