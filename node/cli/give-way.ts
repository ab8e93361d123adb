/** How transfers give way to other traffic, as it is typed and told: on, off, milliseconds of queue. Pure. */
import { MirrorError } from '../../src/base/errors.ts'
import { DEFAULT_GIVE_WAY_MS, MAX_GIVE_WAY_MS } from '../limit-names.ts'
import type { GiveWayLimit } from '../limits.ts'

/** Null is what config.yaml says. @throws MirrorError `invalid` */
export function parseGiveWay(text: string): number | null {
  if (text === 'config') return null
  if (text === 'on') return DEFAULT_GIVE_WAY_MS
  if (text === 'off') return 0
  const ms = Number(/^(\d{1,4})( ?ms)?$/.exec(text)?.[1])
  if (ms >= 1 && ms <= MAX_GIVE_WAY_MS) return ms
  throw new MirrorError(
    'invalid',
    `giving way is on, off, config, or 1 to ${MAX_GIVE_WAY_MS} milliseconds of queue such as 40, not ${JSON.stringify(text)}`,
  )
}

/** What is read again as the same. */
export function giveWayValue(ms: number): string {
  return ms === 0 ? 'off' : `${ms}ms`
}

export function giveWayText({ value, from, configured }: GiveWayLimit): string {
  const now = value === 0 ? 'not given way to' : `given way to, at ${value} ms of queue`
  return from === 'config' ? `${now} (config)` : `${now} (set; config says ${giveWayValue(configured)})`
}
