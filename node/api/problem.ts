/**
 * Errors as the API sends them (RFC 9457). Unlike the gateway's, they tell everything: whoever may open the socket or
 * has a token works with this node.
 */
import { STATUS_CODES } from 'node:http'
import type { FastifyReply } from 'fastify'
import { asMirrorError } from '../../src/base/errors.ts'
import { HTTP_STATUS } from '../gateway/problem.ts'
import type { Problem } from './jobs/job-document.ts'

/** @param status overrides the table, for refusals that HTTP has a finer word for */
export function problemOf(thrown: unknown, what: string, status?: number): Problem {
  const error = asMirrorError(thrown, what)
  const found = status ?? HTTP_STATUS[error.code]
  return {
    type: 'about:blank',
    title: STATUS_CODES[found] ?? 'Error',
    status: found,
    code: error.code,
    detail: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(Object.keys(error.facts).length === 0 ? {} : { facts: error.facts }),
  }
}

export function sendProblem(reply: FastifyReply, thrown: unknown, status?: number): FastifyReply {
  const problem = problemOf(thrown, 'answer the request', status)
  return reply
    .code(problem.status)
    .header('content-type', 'application/problem+json')
    .send(JSON.stringify(problem))
}
