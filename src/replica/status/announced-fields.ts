/** Values inside of what sites announce, each checked against its bound before it is kept (status-announcement.ts). */

import { printableText } from '../../base/bytes.ts'
import { MirrorError } from '../../base/errors.ts'
import { isTreeName } from '../../base/names.ts'

export function list(value: unknown, what: string, max: number): unknown[] {
  if (!Array.isArray(value)) throw corrupt(`${what} is not a list`)
  if (value.length > max) throw new MirrorError('limit', `a site announcement: ${what} has over ${max} items`)
  return value
}

/** For people to read: controls are escaped. */
export function text(value: unknown, what: string, max: number): string {
  return printableText(bareText(value, what, max))
}

/** As it came: for what is parsed, and not shown. */
export function bareText(value: unknown, what: string, max: number): string {
  if (typeof value !== 'string') throw corrupt(`${what} is not text`)
  if (value.length > max)
    throw new MirrorError('limit', `a site announcement: ${what} is over ${max} characters`)
  return value
}

export function treeName(name: unknown): string {
  if (isTreeName(name)) return name
  throw corrupt("a tree's name is none")
}

export function count(value: unknown, what: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw corrupt(`${what} is not a count`)
  return value as number
}

export function orNull<T>(value: unknown, read: (value: unknown) => T): T | null {
  return value === null || value === undefined ? null : read(value)
}

export function corrupt(why: string): MirrorError {
  return new MirrorError('corrupt', `not a site announcement: ${why}`)
}
