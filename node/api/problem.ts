/**
 * Errors as the API sends them (RFC 9457). Unlike the gateway's, they tell everything: whoever may open the socket is
 * the node's own operator.
 */
import { STATUS_CODES } from 'node:http'
import { asMirrorError } from '../../src/base/errors.ts'
import { HTTP_STATUS } from '../gateway/problem.ts'
import type { Problem } from './job-document.ts'

export function problemOf(thrown: unknown, what: string): Problem {
  const error = asMirrorError(thrown, what)
  const status = HTTP_STATUS[error.code]
  return {
    type: 'about:blank',
    title: STATUS_CODES[status] ?? 'Error',
    status,
    code: error.code,
    detail: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(Object.keys(error.facts).length === 0 ? {} : { facts: error.facts }),
  }
}
