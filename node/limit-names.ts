/** What limits are called, for the command line and the console too: without the schemas. */
export const LIMIT_NAMES = [
  'wanUpBytesPerSecond',
  'wanDownBytesPerSecond',
  'regionUpBytesPerSecond',
  'regionDownBytesPerSecond',
] as const
export type LimitName = (typeof LIMIT_NAMES)[number]

export const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
export type Day = (typeof DAYS)[number]
