/** Pages of lists that may be long: a cursor names the last item that was given, so items that come or go shift nothing. */
import { z } from 'zod'
import { MirrorError } from '../../src/base/errors.ts'

export const LIMIT = z
  .string()
  .regex(/^[1-9]\d{0,8}$/, 'is a number from 1')
  .transform(Number)
  .optional()
  .describe('items of a page, at most')

export const CURSOR = z.string().min(1).max(2000).optional().describe('as the page before gave it')

/** For lists that are given whole when no limit is named. */
export const PAGE_QUERY = z.object({ limit: LIMIT, cursor: CURSOR })

export interface Page<T> {
  readonly items: readonly T[]
  /** For the next page; null at the end. */
  readonly cursor: string | null
}

/**
 * @param items in the order of their keys, which rise
 * @throws MirrorError `invalid` for a cursor that is none
 */
export function pageOf<T>(
  items: readonly T[],
  keyOf: (item: T) => string,
  { limit, cursor }: { readonly limit?: number | undefined; readonly cursor?: string | undefined },
): Page<T> {
  const after = cursor === undefined ? undefined : readCursor(cursor)
  const first = after === undefined ? 0 : items.findIndex((item) => keyOf(item) > after)
  const rest = first < 0 ? [] : items.slice(first)
  if (limit === undefined || rest.length <= limit) return { items: rest, cursor: null }
  return { items: rest.slice(0, limit), cursor: cursorOf(keyOf(rest[limit - 1]!)) }
}

export function cursorOf(key: string): string {
  return Buffer.from(key).toString('base64url')
}

/** @throws MirrorError `invalid` */
export function readCursor(cursor: string): string {
  const key = Buffer.from(cursor, 'base64url').toString()
  if (cursorOf(key) === cursor) return key
  throw new MirrorError('invalid', 'cursor: is not one that this API gave')
}
