/** What is said of a path that a snapshot has, and that this site does not keep. */
import { isMirrorError, MirrorError } from '../src/base/errors.ts'
import type { PathFilter } from '../src/base/path-filter.ts'

export function leftOut(snapshot: string, path: string, filter: PathFilter): MirrorError {
  return new MirrorError(
    'not-found',
    `${snapshot} has ${path}, and this site keeps only a part of it: ${describeFilter(filter)}`,
    {
      facts: { isLeftOut: true },
      hint: 'Ask a site that keeps the whole tree: mirrormesh status tells which do.',
    },
  )
}

export function describeFilter(filter: PathFilter): string {
  return filter
    .map(({ include, exclude }) => {
      const taken = include.length === 0 ? 'everything' : include.join(', ')
      return exclude.length === 0 ? taken : `${taken} without ${exclude.join(', ')}`
    })
    .join('; and ')
}

/** The path is in the snapshot, and not at this site. */
export function isLeftOut(error: unknown): error is MirrorError {
  return isMirrorError(error, 'not-found') && error.facts.isLeftOut === true
}
