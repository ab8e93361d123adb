/**
 * Which snapshot an address means. Served is only what is complete at this node: a snapshot that is still arriving is
 * never shown in part; or, where the site fetches for readers, what the mesh holds (pull-through).
 *
 *   /<tree>/...            the tag `latest` if complete here, else the newest complete snapshot; where none is, the
 *                          tag `latest` or the newest head by pull-through
 *   /<tree>/@<tag>/...     the tag's snapshot
 *   /<tree>/@<sequence>/.. that head's snapshot: the one address that never changes its meaning
 *   /<tree>/@<sequence>+/  the same, and for a file that it lacks the snapshots before it, as at the plain address
 *   /<tree>/@head/...      the newest head's snapshot
 *
 * A folder whose name begins with `@` (npm scopes do) stays reachable: what is no version of the tree is a name, and
 * `%40` instead of `@` is always a name.
 */
import { MirrorError } from '../../src/base/errors.ts'
import type { PathFilter } from '../../src/base/path-filter.ts'
import type { Cid } from '../../src/block/cid.ts'
import { cidKey } from '../../src/block/cid.ts'
import type { TargetSegment } from './request-target.ts'

/** One version of a tree as the records name it. */
export interface TreeVersion {
  readonly sequence: number
  readonly snapshot: Cid
  /** When it was said, by the clock of who said it: the head, or the tag. */
  readonly timeMs?: number
}

/** What the gateway has to know of a tree. */
export interface ServedTree {
  readonly name: string
  /** Not everybody may read it: no cache on the way may give it to others. */
  readonly isPrivate: boolean
  /** Accepted heads, oldest first. */
  readonly versions: readonly TreeVersion[]
  readonly tags: ReadonlyMap<string, TreeVersion>
  /** In full, or the part of it that this site keeps. */
  isComplete(snapshot: Cid): boolean
  /** Which part; undefined for all. */
  filterOf?(snapshot: Cid): PathFilter | undefined
}

/** The trees that this node knows of, by name. Answers from memory. */
export interface Catalogue {
  names(): readonly string[]
  /** Undefined when there is no such tree. */
  isPrivate(name: string): boolean | undefined
  tree(name: string): ServedTree | undefined
  /** A greater number whenever any of it may be answered otherwise than before, whoever asks. */
  revision(): number
}

export interface ChosenVersion extends TreeVersion {
  /** How many heads are newer. */
  readonly behind: number
  readonly isImmutable: boolean
  /** False: it has to be fetched from the mesh as it is read. */
  readonly isComplete: boolean
  /** The address names no version: it moves as the tree does. */
  readonly isLatest: boolean
  /** A file that it lacks may be one of the snapshots before. */
  readonly looksBack: boolean
  /** It is where the tag `latest` leads. */
  readonly isTagged: boolean
}

/** The tree with the longest name that begins the path: `builds` and `builds/rhel` may both be trees. */
export function matchTree(
  catalogue: Catalogue,
  segments: readonly TargetSegment[],
): { readonly tree: ServedTree; readonly rest: readonly TargetSegment[] } | undefined {
  for (let count = Math.min(8, segments.length); count > 0; count--) {
    const name = segments
      .slice(0, count)
      .map((segment) => Buffer.from(segment.name).toString('latin1'))
      .join('/')
    const tree = catalogue.tree(name)
    if (tree !== undefined) return { tree, rest: segments.slice(count) }
  }
  return undefined
}

/** @throws MirrorError `degraded` when the version exists but is not complete here, `not-found` when there is none */
export function chooseVersion(
  tree: ServedTree,
  rest: readonly TargetSegment[],
  { canPull = false }: { readonly canPull?: boolean } = {},
): { readonly version: ChosenVersion; readonly rest: readonly TargetSegment[] } {
  const selector = rest[0]?.isSelector === true ? selectedBy(tree, rest[0]) : undefined
  if (selector !== undefined) {
    if (!selector.isComplete && !canPull) throw notComplete(tree, selector.sequence)
    return { version: selector, rest: rest.slice(1) }
  }
  const latest = tree.tags.get('latest')
  const found =
    latest !== undefined && tree.isComplete(latest.snapshot)
      ? latest
      : tree.versions.findLast((version) => tree.isComplete(version.snapshot))
  if (found !== undefined) {
    const isTagged = found === latest
    const version = { ...chosen(tree, found, false), isLatest: true, looksBack: true, isTagged }
    return { version, rest }
  }
  const newest = tree.versions.at(-1)
  if (newest !== undefined && canPull) {
    const version = chosen(tree, latest ?? newest, false)
    return { version: { ...version, isLatest: true, isTagged: latest !== undefined }, rest }
  }
  if (newest !== undefined) throw notComplete(tree, newest.sequence)
  throw new MirrorError('not-found', `nothing has been published in ${tree.name} yet`)
}

function selectedBy(tree: ServedTree, segment: TargetSegment): ChosenVersion | undefined {
  const text = Buffer.from(segment.name.subarray(1)).toString('latin1')
  const [, digits, plus] = /^(0|[1-9]\d{0,15})(\+?)$/.exec(text) ?? []
  if (digits !== undefined) {
    const version = tree.versions.findLast(({ sequence }) => sequence === Number(digits))
    return version === undefined ? undefined : { ...chosen(tree, version, true), looksBack: plus === '+' }
  }
  const version = text === 'head' ? tree.versions.at(-1) : tree.tags.get(text)
  return version === undefined ? undefined : chosen(tree, version, false)
}

/** In full: which files would be in a part of it, no list can say. */
export function isWholeHere(tree: ServedTree, sequence: number): boolean {
  const here = tree.versions.findLast((version) => version.sequence === sequence)
  return here !== undefined && tree.isComplete(here.snapshot) && tree.filterOf?.(here.snapshot) === undefined
}

/** How many heads are newer. */
export function behindOf(tree: ServedTree, version: TreeVersion): number {
  const key = cidKey(version.snapshot)
  const at = tree.versions.findLastIndex(
    (each) => each.sequence === version.sequence && cidKey(each.snapshot) === key,
  )
  return at < 0 ? 0 : tree.versions.length - 1 - at
}

function chosen(tree: ServedTree, version: TreeVersion, isImmutable: boolean): ChosenVersion {
  const { sequence, snapshot, timeMs } = version
  return {
    sequence,
    snapshot,
    ...(timeMs === undefined ? {} : { timeMs }),
    behind: behindOf(tree, version),
    isImmutable,
    isLatest: false,
    looksBack: false,
    isTagged: false,
    isComplete: tree.isComplete(snapshot),
  }
}

function notComplete(tree: ServedTree, sequence: number): MirrorError {
  return new MirrorError('degraded', `${tree.name} at sequence ${sequence} is not complete at this site`, {
    hint: 'Try again later, or ask a site that holds it.',
  })
}
