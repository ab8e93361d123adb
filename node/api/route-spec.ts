/**
 * What the API promises of a route, given beside its handler: who may ask over TCP, and the schemas of what is asked and
 * answered. /api/v1/openapi.json is made of these, and the requests are checked by the same ones.
 *
 * A route without one is for tokens of the scope `admin` alone, and test/node/api/openapi.test.ts refuses it.
 */
import type { z } from 'zod'
import type { TokenScope } from '../tokens.ts'

/** Of what is asked, as far as the scope that it needs depends on it. */
export interface Asked {
  readonly query: URLSearchParams
  readonly body: unknown
}

export interface RouteSpec {
  /** One sentence, without a full stop. */
  readonly summary: string
  /** The least scope of a token that may ask. */
  readonly scope: TokenScope | { readonly least: TokenScope; readonly of: (asked: Asked) => TokenScope }
  readonly query?: z.ZodObject
  readonly body?: z.ZodType
  /** Absent: there is no body in the answer. */
  readonly answer?: z.ZodType
  /** What the answer is, when it is not one JSON document. With 'lines', `answer` is the schema of a line. */
  readonly answerAs?: 'lines' | 'bytes' | 'events'
  /** Of success; 200 when absent. */
  readonly status?: 200 | 201 | 202 | 204
  /** Further statuses that are no failures, with what they mean. */
  readonly otherwise?: Readonly<Record<number, string>>
}

declare module 'fastify' {
  interface FastifyContextConfig {
    spec?: RouteSpec
  }
}

/** The options of a route that keeps `spec`. */
export function says(spec: RouteSpec): { readonly config: { readonly spec: RouteSpec } } {
  return { config: { spec } }
}
