/** As links are sold. */
export function rateText(kbit: number | null | undefined): string {
  if (kbit == null) return '-'
  return kbit >= 1e6
    ? `${(kbit / 1e6).toFixed(kbit % 1e6 === 0 ? 0 : 1)} Gbit/s`
    : kbit >= 1000
      ? `${Math.round(kbit / 1000)} Mbit/s`
      : `${kbit} kbit/s`
}
