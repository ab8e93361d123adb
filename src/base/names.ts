/**
 * Names that people and scripts type: sites, regions, tags are one segment; a tree is 1 to 8 segments joined by `/`.
 * Lower case only and no leading dot or dash, so that a name is the same on every file system, in a URL and in a
 * shell. (File names inside a tree are raw bytes and have nothing to do with this.)
 */
import { MirrorError } from './errors.ts'

export const MAX_TREE_SEGMENTS = 8

const SEGMENT = /^[a-z0-9][a-z0-9._-]{0,63}$/
const PATTERN_SEGMENT = /^(?:\*\*|[a-z0-9*][a-z0-9._*-]{0,63})$/

export function isSegment(value: unknown): value is string {
  return typeof value === 'string' && SEGMENT.test(value)
}

/** @throws MirrorError `invalid` when `value` is not one segment; `what` names it: "a site" */
export function checkSegment(value: unknown, what: string): string {
  if (isSegment(value)) return value
  throw new MirrorError('invalid', `${what} cannot be called ${shown(value)}`, {
    hint: 'Use 1 to 64 of a-z, 0-9, ".", "_" and "-", and begin with a letter or a digit.',
  })
}

export function isTreeName(value: unknown): value is string {
  return typeof value === 'string' && everySegment(value, SEGMENT)
}

/** True for a tree's name in which a segment may hold `*` (any text within it) or be `**` (any segments, or none). */
export function isTreePattern(value: unknown): value is string {
  return typeof value === 'string' && everySegment(value, PATTERN_SEGMENT)
}

/** Whether `pattern` covers the tree called `name`. Time is linear in the pattern times the name, whatever they hold. */
export function matchesTree(pattern: string, name: string): boolean {
  if (!pattern.includes('*')) return pattern === name
  return matchSegments(pattern.split('/'), name.split('/'))
}

/**
 * Whether every tree that `pattern` covers is surely covered by `scope`: they are the same, `pattern` is a name, or
 * `scope` is `**` or ends in `/**` after names with which `pattern` begins. False for other pairs that would be.
 */
export function coversPattern(scope: string, pattern: string): boolean {
  if (scope === '**' || scope === pattern) return true
  if (!pattern.includes('*')) return matchesTree(scope, pattern)
  const root = scope.endsWith('/**') ? scope.slice(0, -'**'.length) : undefined
  return root !== undefined && !root.includes('*') && pattern.startsWith(root)
}

function everySegment(value: string, shape: RegExp): boolean {
  if (value.length > MAX_TREE_SEGMENTS * 65) return false
  const segments = value.split('/')
  return segments.length <= MAX_TREE_SEGMENTS && segments.every((segment) => shape.test(segment))
}

/** The usual two-pointer match with one place to go back to: no recursion, so no pattern is exponential. */
function matchSegments(pattern: readonly string[], name: readonly string[]): boolean {
  return matchList(
    pattern.length,
    name.length,
    (p) => pattern[p] === '**',
    (p, n) => matchText(pattern[p]!, name[n]!),
  )
}

function matchText(pattern: string, text: string): boolean {
  return matchList(
    pattern.length,
    text.length,
    (p) => pattern[p] === '*',
    (p, n) => pattern[p] === text[n],
  )
}

function matchList(
  patternLength: number,
  length: number,
  isStar: (p: number) => boolean,
  equal: (p: number, n: number) => boolean,
): boolean {
  let p = 0
  let n = 0
  let star = -1
  let resumeAt = 0
  while (n < length) {
    if (p < patternLength && isStar(p)) {
      star = p++
      resumeAt = n
    } else if (p < patternLength && equal(p, n)) {
      p++
      n++
    } else if (star >= 0) {
      p = star + 1
      n = ++resumeAt
    } else return false
  }
  while (p < patternLength && isStar(p)) p++
  return p === patternLength
}

function shown(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 80)) : typeof value
}
