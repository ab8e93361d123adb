/** Bodies and query strings by their schemas: a fault is `invalid`, with the name of the field and what is allowed there. */
import { z } from 'zod'
import { decodeUtf8 } from '../../src/base/bytes.ts'
import { MirrorError } from '../../src/base/errors.ts'
import { readRawQuery } from './query.ts'

/** @throws MirrorError `invalid` */
export function parseBody<T extends z.ZodType>(schema: T, body: unknown): z.output<T> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new MirrorError('invalid', 'the body is not a JSON object')
  }
  return parsed(schema, body)
}

const RAW_FORMAT = 'percent-encoded-bytes'

/** A path within a tree or on a disk: its bytes need not be UTF-8, and are read by `readQuery`. */
export const RAW = z.string().meta({ format: RAW_FORMAT }).optional()

function isRaw(schema: z.ZodType | undefined): boolean {
  const inner = schema instanceof z.ZodOptional ? (schema.unwrap() as z.ZodType) : schema
  return inner?.meta()?.format === RAW_FORMAT
}

/** Of a repeated name the last one counts. @throws MirrorError `invalid` */
export function parseQuery<T extends z.ZodObject>(schema: T, url: string): z.output<T> {
  const values: Record<string, string> = {}
  for (const [name, bytes] of readRawQuery(url)) {
    if (!Object.hasOwn(schema.shape, name)) continue
    const text = isRaw(schema.shape[name]) ? '' : decodeUtf8(bytes)
    if (text === undefined) throw new MirrorError('invalid', `${name} is not UTF-8`)
    values[name] = text
  }
  return parsed(schema, values)
}

function parsed<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const { path, message } = result.error.issues[0]!
  const field = path.map(String).join('.')
  throw new MirrorError('invalid', field === '' ? message : `${field}: ${message}`, {
    facts: field === '' ? {} : { field },
  })
}
