/** What limits are called, for the command line and the console too: without the schemas. */
export const LIMIT_NAMES = [
  'wanUpBytesPerSecond',
  'wanDownBytesPerSecond',
  'regionUpBytesPerSecond',
  'regionDownBytesPerSecond',
] as const
export type LimitName = (typeof LIMIT_NAMES)[number]

/** How what is sent to other regions gives way to other traffic. */
export const GIVE_WAY_NAMES = ['giveWayMs', 'giveWayMinBytesPerSecond'] as const
export type GiveWayName = (typeof GIVE_WAY_NAMES)[number]
/** What `on` is. */
export const DEFAULT_GIVE_WAY_MS = 25
export const MAX_GIVE_WAY_MS = 1000
/** Bytes a second: less would let connections look dead. */
export const MIN_GIVE_WAY_RATE = 50_000

export const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
export type Day = (typeof DAYS)[number]
