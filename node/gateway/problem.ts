/**
 * Errors as HTTP sees them (RFC 9457): the one table from error code to status, and the body.
 *
 * What a client may read is what it caused: the message and the hint of an error of its own doing. Everything that
 * is our trouble (`internal`, `io`, `corrupt`) says so in general words; the log has the rest.
 */
import type { ErrorCode } from '../../src/base/errors.ts'
import { asMirrorError } from '../../src/base/errors.ts'

export const HTTP_STATUS: Readonly<Record<ErrorCode, number>> = {
  invalid: 400,
  'not-found': 404,
  refused: 403,
  conflict: 409,
  corrupt: 500,
  limit: 400,
  unreachable: 503,
  unsupported: 501,
  'no-space': 507,
  io: 500,
  'timed-out': 504,
  aborted: 503,
  busy: 503,
  unstable: 503,
  partial: 500,
  degraded: 503,
  internal: 500,
}

export interface Problem {
  readonly type: 'about:blank'
  readonly title: string
  readonly status: number
  readonly code: ErrorCode
  readonly detail: string
  readonly hint?: string
}

const OURS: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['internal', 'io', 'corrupt', 'partial', 'no-space'])

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not found',
  405: 'Method not allowed',
  409: 'Conflict',
  412: 'Precondition failed',
  414: 'Address too long',
  416: 'Range not satisfiable',
  500: 'Internal error',
  501: 'Not supported',
  503: 'Not available now',
  504: 'Timed out',
  507: 'No space',
}

/** @param status overrides the table, for refusals that HTTP has a finer word for */
export function problemOf(thrown: unknown, status?: number): Problem {
  const error = asMirrorError(thrown, 'serve the request')
  const found = status ?? HTTP_STATUS[error.code]
  const isOurs = OURS.has(error.code)
  return {
    type: 'about:blank',
    title: TITLES[found] ?? 'Error',
    status: found,
    code: error.code,
    detail: isOurs ? 'this node could not serve it; its log says why' : error.message,
    ...(isOurs || error.hint === undefined ? {} : { hint: error.hint }),
  }
}
