/**
 * /api/v1/openapi.json: OpenAPI 3.1 of the routes that there are, made of the schemas that check their requests. What is
 * answered may have further fields in a later version, so nothing is said against them there.
 */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { type RouteSpec, says } from './route-spec.ts'
import { PROBLEM } from './schema/job-schema.ts'

export interface Route {
  readonly method: string
  /** As Fastify writes it: `/api/v1/trees/:tree`. */
  readonly path: string
  readonly spec: RouteSpec | undefined
}

type Json = Readonly<Record<string, unknown>>

/** Keeps what is registered from here on, in `routes`. Call before the first route. */
export function collectRoutes(app: FastifyInstance): readonly Route[] {
  const routes: Route[] = []
  app.addHook('onRoute', ({ method, url, config }) => {
    if (!url.startsWith('/api/')) return
    for (const each of [method].flat()) {
      if (each !== 'HEAD') routes.push({ method: each, path: url, spec: config?.spec })
    }
  })
  return routes
}

export function addOpenApiRoute(
  app: FastifyInstance,
  routes: readonly Route[],
  { version }: { readonly version: string },
): void {
  let document: Json | undefined
  app.get(
    '/api/v1/openapi.json',
    says({ summary: 'This description', scope: 'read', answer: z.looseObject({ openapi: z.string() }) }),
    () => {
      document ??= describeRoutes(routes, version)
      return document
    },
  )
}

export function describeRoutes(routes: readonly Route[], version: string): Json {
  const paths: Record<string, Record<string, Json>> = {}
  for (const { method, path, spec } of routes) {
    if (spec === undefined) continue
    const name = path.replace(/:(\w+)/g, '{$1}')
    paths[name] = { ...paths[name], [method.toLowerCase()]: operationOf(path, method, spec) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'mirrormesh',
      version,
      description:
        'The API of a node: on its Unix socket for whoever may open that, by TCP for whoever has a token. ' +
        'Fields are only ever added within /api/v1.',
    },
    paths,
    components: {
      schemas: { Problem: schemaOf(PROBLEM, 'output') },
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'by TCP; `mirrormesh token create`' },
        session: {
          type: 'apiKey',
          in: 'cookie',
          name: 'mirrormesh-…',
          description: 'of POST /console/login; its name ends with that of the node',
        },
      },
    },
    security: [{ token: [] }, { session: [] }, {}],
  }
}

function operationOf(path: string, method: string, spec: RouteSpec): Json {
  const { summary, scope, query, body, status = 200 } = spec
  return {
    operationId: `${method.toLowerCase()}${path.replace(/^\/api\/v1/, '').replace(/[^A-Za-z]+(\w)/g, (_, c) => c.toUpperCase())}`,
    summary,
    description: `Needs a token of the scope ${typeof scope === 'string' ? scope : `${scope.least}, or more by what is asked`}.`,
    'x-scope': typeof scope === 'string' ? scope : scope.least,
    parameters: [...pathParameters(path), ...queryParameters(query)],
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: schemaOf(body, 'input') } },
          },
        }),
    responses: {
      [status]: answerOf(spec),
      ...Object.fromEntries(
        Object.entries(spec.otherwise ?? {}).map(([code, description]) => [code, { description }]),
      ),
      default: {
        description: 'a problem (RFC 9457)',
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    },
  }
}

const TYPES = {
  lines: 'application/x-ndjson',
  bytes: 'application/octet-stream',
  events: 'text/event-stream',
} as const

function answerOf({ summary, answer, answerAs, status }: RouteSpec): Json {
  if (status === 204) return { description: 'done' }
  const type = answerAs === undefined ? 'application/json' : TYPES[answerAs]
  return {
    description: summary,
    content: { [type]: answer === undefined ? {} : { schema: schemaOf(answer, 'output') } },
  }
}

function pathParameters(path: string): Json[] {
  return [...path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }))
}

function queryParameters(query: z.ZodObject | undefined): Json[] {
  if (query === undefined) return []
  const { properties = {}, required = [] } = schemaOf(query, 'input') as {
    properties?: Record<string, Json>
    required?: readonly string[]
  }
  return Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    ...(description === undefined ? {} : { description }),
    schema,
  }))
}

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...made } = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    override({ jsonSchema }) {
      if (io === 'output' && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties
    },
  })
  return made
}
