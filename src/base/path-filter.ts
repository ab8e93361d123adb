/**
 * Path filters: which part of a tree a site keeps. A rule takes what lies at or below one of its `include` paths (everything when
 * there are none) but not what lies at or below one of its `exclude` paths; a filter takes what any of its rules does. Undefined in
 * place of a filter is the whole tree.
 */
import { compareBytes, utf8 } from './bytes.ts'

export interface PathRule {
  /** Rising strictly. */
  readonly include: readonly string[]
  readonly exclude: readonly string[]
}

/** Not empty. */
export type PathFilter = readonly PathRule[]

export const MAX_FILTER_PATHS = 64
export const MAX_FILTER_PATH_BYTES = 1024

/** A path below a tree's root as a filter names it: names joined by single slashes, none at either end. */
export function isFilterPath(text: unknown): text is string {
  return (
    typeof text === 'string' &&
    text.length > 0 &&
    utf8(text).length <= MAX_FILTER_PATH_BYTES &&
    !text.includes('\0') &&
    text.split('/').every((name) => name !== '' && name !== '.' && name !== '..' && utf8(name).length <= 255)
  )
}

/** Equal filters, and no others, have one key. */
export function filterKey(filter: PathFilter): string {
  return JSON.stringify(filter.map(({ include, exclude }) => [include, exclude]))
}

/** What any of them takes; undefined when one is the whole tree. Without repetitions, in one order. */
export function unionOf(filters: readonly (PathFilter | undefined)[]): PathFilter | undefined {
  const rules = new Map<string, PathRule>()
  for (const filter of filters) {
    if (filter === undefined) return undefined
    for (const rule of filter) rules.set(filterKey([rule]), rule)
  }
  if (rules.size === 0) return undefined
  return [...rules].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, rule]) => rule)
}

/** Whether everything that `part` takes of any tree, `whole` takes too; false when that cannot be told from the paths. */
export function covers(whole: PathFilter | undefined, part: PathFilter | undefined): boolean {
  if (whole === undefined) return true
  if (part === undefined) return false
  return part.every((rule) => whole.some((other) => coversRule(other, rule)))
}

function coversRule(whole: PathRule, part: PathRule): boolean {
  const isIncluded =
    whole.include.length === 0 ||
    (part.include.length > 0 &&
      part.include.every((path) => whole.include.some((above) => isAtOrBelow(path, above))))
  return isIncluded && whole.exclude.every((gone) => isApart(gone, part))
}

/** Nothing at or below `path` is taken by the rule. */
function isApart(path: string, { include, exclude }: PathRule): boolean {
  if (exclude.some((above) => isAtOrBelow(path, above))) return true
  return include.length > 0 && !include.some((each) => isAtOrBelow(each, path) || isAtOrBelow(path, each))
}

function isAtOrBelow(path: string, above: string): boolean {
  return path === above || path.startsWith(`${above}/`)
}

/** What a filter takes of a path: itself and all below it; perhaps some of what is below it; nothing. */
export type Reach = 'all' | 'some' | 'none'

export function compileFilter(filter: PathFilter): (path: readonly Uint8Array[]) => Reach {
  const rules = filter.map(({ include, exclude }) => ({
    include: include.map(namesOf),
    exclude: exclude.map(namesOf),
  }))
  return (path) => {
    let best: Reach = 'none'
    for (const { include, exclude } of rules) {
      if (exclude.some((each) => begins(path, each))) continue
      const isIn = include.length === 0 || include.some((each) => begins(path, each))
      if (isIn && !exclude.some((each) => begins(each, path))) return 'all'
      if (isIn || include.some((each) => begins(each, path))) best = 'some'
    }
    return best
  }
}

function namesOf(path: string): Uint8Array[] {
  return path.split('/').map(utf8)
}

/** Whether `path` begins with all of `names`. */
function begins(path: readonly Uint8Array[], names: readonly Uint8Array[]): boolean {
  return path.length >= names.length && names.every((name, i) => compareBytes(name, path[i]!) === 0)
}
