/** How long to wait before the next try: doubling, bounded, and jittered so that many sites do not try in step. */

export interface BackoffOptions {
  readonly firstMs: number
  readonly maxMs: number
}

/** @param failures in a row, from 1  @param random uniform in [0, 1)  @returns between half of the delay and all of it */
export function backoffMs(
  failures: number,
  random: () => number,
  { firstMs, maxMs }: BackoffOptions,
): number {
  const fullMs = Math.min(maxMs, firstMs * 2 ** Math.min(30, Math.max(0, failures - 1)))
  return Math.round(fullMs * (0.5 + random() / 2))
}
