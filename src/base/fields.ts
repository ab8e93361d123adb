/**
 * Reads the fields of a decoded map. Every reader checks type and bound and throws MirrorError `corrupt` naming the
 * field, so that a body's decoder is a list of its fields.
 */

import { MirrorError } from './errors.ts'
import { isSegment, isTreeName } from './names.ts'

export type Fields = Readonly<Record<string, unknown>>

/** The map's own fields: all of `required`, perhaps some of `optional`, and nothing else. */
export function readFields(
  value: unknown,
  what: string,
  required: readonly string[],
  optional: readonly string[] = [],
): Fields {
  if (!isPlainMap(value)) throw wrong(what, 'is not a map')
  for (const name of required) if (!Object.hasOwn(value, name)) throw wrong(what, `lacks the field ${name}`)
  for (const name of Object.keys(value)) {
    if (!required.includes(name) && !optional.includes(name)) {
      throw wrong(what, `has a field that this version does not know: ${JSON.stringify(name.slice(0, 40))}`)
    }
  }
  return value
}

export function isPlainMap(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Uint8Array) &&
    Object.getPrototypeOf(value) === Object.prototype
  )
}

export function readInteger(
  fields: Fields,
  name: string,
  { min = 0, max = Number.MAX_SAFE_INTEGER }: { min?: number; max?: number } = {},
): number {
  const value = fields[name]
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
    throw wrong(name, `is not an integer from ${min} to ${max}`)
  }
  return value
}

export function readBytes(fields: Fields, name: string, lengthBytes: number): Uint8Array {
  return asBytes(fields[name], name, lengthBytes)
}

export function asBytes(value: unknown, what: string, lengthBytes: number): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length !== lengthBytes) {
    throw wrong(what, `is not ${lengthBytes} bytes`)
  }
  return value
}

export function readText(fields: Fields, name: string, maxLength: number): string {
  const value = fields[name]
  if (typeof value !== 'string' || value.length === 0 || value.length > maxLength) {
    throw wrong(name, `is not a text of 1 to ${maxLength} characters`)
  }
  return value
}

export function readSegment(fields: Fields, name: string): string {
  const value = fields[name]
  if (!isSegment(value)) throw wrong(name, 'is not a name of one segment')
  return value
}

export function readTreeName(fields: Fields, name: string): string {
  const value = fields[name]
  if (!isTreeName(value)) throw wrong(name, "is not a tree's name")
  return value
}

export function readBoolean(fields: Fields, name: string): boolean {
  const value = fields[name]
  if (typeof value !== 'boolean') throw wrong(name, 'is not true or false')
  return value
}

export function readList<T>(
  fields: Fields,
  name: string,
  { min = 0, max }: { min?: number; max: number },
  read: (value: unknown) => T,
): T[] {
  const value = fields[name]
  if (!Array.isArray(value) || value.length < min || value.length > max) {
    throw wrong(name, `is not a list of ${min} to ${max}`)
  }
  return value.map(read)
}

/** A list whose members rise strictly: one way to write a set. */
export function checkRising<T>(list: readonly T[], compare: (a: T, b: T) => number, what: string): void {
  for (let i = 1; i < list.length; i++) {
    if (compare(list[i - 1]!, list[i]!) >= 0) throw wrong(what, 'is not sorted, or repeats itself')
  }
}

export function wrong(what: string, problem: string, cause?: unknown): MirrorError {
  return new MirrorError('corrupt', `${what} ${problem}`, cause === undefined ? {} : { cause })
}
