/** The one table from error codes to exit statuses. Numbers are only ever added. */
import type { ErrorCode } from '../../src/base/errors.ts'

export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  partial: 3,
  degraded: 4,
  notFound: 5,
  refused: 6,
  unreachable: 7,
  conflict: 8,
  noSpace: 9,
  timedOut: 124,
  interrupted: 130,
} as const

export type ExitStatus = (typeof EXIT)[keyof typeof EXIT]

const EXIT_OF_CODE: Readonly<Record<ErrorCode, ExitStatus>> = {
  invalid: EXIT.usage,
  'not-found': EXIT.notFound,
  refused: EXIT.refused,
  conflict: EXIT.conflict,
  corrupt: EXIT.failed,
  limit: EXIT.refused,
  unreachable: EXIT.unreachable,
  unsupported: EXIT.failed,
  'no-space': EXIT.noSpace,
  io: EXIT.failed,
  'timed-out': EXIT.timedOut,
  aborted: EXIT.interrupted,
  busy: EXIT.conflict,
  unstable: EXIT.partial,
  partial: EXIT.partial,
  degraded: EXIT.degraded,
  internal: EXIT.failed,
}

export function exitStatusOf(code: ErrorCode): ExitStatus {
  return EXIT_OF_CODE[code]
}

export const EXIT_HELP = `
Exit codes:
  0 ok            3 partly done   6 refused             9 no space
  1 failed        4 degraded      7 daemon unreachable  124 timed out
  2 usage         5 not found     8 conflict            130 interrupted`
