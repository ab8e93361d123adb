/** What a site says of one tree: an item of `r` in its announcements and their deltas, laid out in status-announcement.ts. */

import { hex } from '../../base/bytes.ts'
import { type Cid, checkCid, parseCid } from '../../block/cid.ts'
import type { HeldBack } from '../publish/held-back.ts'
import { corrupt, count, list, orNull, text, treeName } from './announced-fields.ts'

export const MAX_ANNOUNCED_TREES = 512
const MAX_CHECKOUTS = 16
export const MAX_ALSO_COMPLETE = 8
export const MAX_RUNS = 16
export const MAX_VERIFIED = 16
const MARK_CHARACTERS = 16
const MAX_REASON_CHARACTERS = 200
/** A path as text: escapes can make it four times PATH_MAX, which nobody needs to see in a status. */
const MAX_PATH_CHARACTERS = 1024

export interface AnnouncedTree {
  readonly tree: string
  readonly completeSequence: number | null
  /** The printed CID. */
  readonly completeSnapshot: string | null
  readonly isFetching: boolean
  readonly fetchingSnapshot: string | null
  readonly missingBytes: number | null
  /** Why it is not at the head, in words; empty when it is. */
  readonly reason: string
  readonly checkouts: readonly {
    readonly path: string
    readonly sequence: number | null
    readonly versions?: number
  }[]
  /** Complete beside `completeSequence`, newest first; empty from nodes of a version before. */
  readonly alsoComplete: readonly number[]
  /** What is complete is so under a path filter: a part of the tree. */
  readonly isFiltered?: boolean
  /** Complete in whole, from one sequence to another, newest first; only where `alsoComplete` cannot name them all. */
  readonly completeRuns?: readonly (readonly [from: number, to: number])[]
  /** Of its publisher: what waits for an admin's verdict. */
  readonly heldBack?: HeldBack
  /** What others have shown the sender, newest first. */
  readonly verified?: readonly VerifiedCopy[]
}

/** A copy that a site has shown another. */
export interface VerifiedCopy {
  readonly sequence: number
  /** Of the site that showed it (markOf), 16 hex digits. */
  readonly mark: string
  /** By the clock of who saw it. */
  readonly timeMs: number
}

export function encodeTree(entry: AnnouncedTree): unknown[] {
  return [
    entry.tree,
    entry.completeSequence,
    entry.completeSnapshot === null ? null : parseCid(entry.completeSnapshot),
    entry.isFetching,
    entry.fetchingSnapshot === null ? null : parseCid(entry.fetchingSnapshot),
    entry.missingBytes,
    entry.reason.slice(0, MAX_REASON_CHARACTERS),
    entry.checkouts
      .slice(0, MAX_CHECKOUTS)
      .map(({ path, sequence, versions }) => [
        path.slice(0, MAX_PATH_CHARACTERS),
        sequence,
        ...(versions === undefined ? [] : [versions]),
      ]),
    entry.alsoComplete.slice(0, MAX_ALSO_COMPLETE),
    ...optionalsOf(entry),
  ]
}

/** As many as there are to the last that says something. */
function optionalsOf({
  isFiltered = false,
  completeRuns,
  heldBack,
  verified = [],
}: AnnouncedTree): unknown[] {
  const runs = (completeRuns ?? []).slice(0, MAX_RUNS).flat()
  const held = heldBack === undefined ? null : encodeHeldBack(heldBack)
  if (verified.length > 0)
    return [isFiltered, runs, held, verified.slice(0, MAX_VERIFIED).map(encodeVerified)]
  if (heldBack !== undefined) return [isFiltered, runs, held]
  if (completeRuns !== undefined) return [isFiltered, runs]
  return isFiltered ? [true] : []
}

export function withoutVerified({ verified: _, ...rest }: AnnouncedTree): AnnouncedTree {
  return rest
}

function encodeVerified({ sequence, mark, timeMs }: VerifiedCopy): unknown[] {
  return [sequence, new Uint8Array(Buffer.from(mark, 'hex')), timeMs]
}

function decodeVerified(value: unknown): VerifiedCopy {
  const [sequence, mark, timeMs] = list(value, 'verified copy', 8)
  if (!(mark instanceof Uint8Array) || mark.length * 2 !== MARK_CHARACTERS)
    throw corrupt('the mark of a site is none')
  return { sequence: count(sequence, 'sequence'), mark: hex(mark), timeMs: count(timeMs, 'time') }
}

function encodeHeldBack(held: HeldBack): unknown[] {
  return [
    ...[held.snapshot, held.previous, held.sequence, held.files, held.bytes, held.filesBefore],
    ...[held.bytesBefore, held.sinceMs, held.expiresMs, (held.problem ?? '').slice(0, MAX_REASON_CHARACTERS)],
  ]
}

function decodeHeldBack(tree: string, value: unknown): HeldBack {
  const [snapshot, previous, sequence, files, bytes, filesBefore, bytesBefore, since, until, problem] = list(
    ...([value, 'what is held back', 16] as const),
  )
  const why = text(problem, 'problem', MAX_REASON_CHARACTERS)
  return {
    tree,
    snapshot: checkCid(snapshot),
    previous: checkCid(previous),
    sequence: count(sequence, 'sequence'),
    files: count(files, 'files'),
    bytes: count(bytes, 'bytes'),
    filesBefore: orNull(filesBefore, (found) => count(found, 'files')),
    bytesBefore: orNull(bytesBefore, (found) => count(found, 'bytes')),
    sinceMs: count(since, 'time'),
    expiresMs: count(until, 'time'),
    ...(why === '' ? {} : { problem: why }),
  }
}

/** Each tree once: readers would differ in which of two they took. */
export function decodeTrees(value: unknown): AnnouncedTree[] {
  const trees = list(value, 'trees', MAX_ANNOUNCED_TREES).map(decodeTree)
  if (new Set(trees.map(({ tree }) => tree)).size !== trees.length) throw corrupt('a tree is there twice')
  return trees
}

function decodeTree(value: unknown): AnnouncedTree {
  const [
    tree,
    completeSequence,
    completeSnapshot,
    isFetching,
    fetchingSnapshot,
    missingBytes,
    reason,
    checkouts,
    alsoComplete = [],
    isFiltered,
    runs,
    heldBack,
    verified = [],
  ] = list(value, 'tree', 64)
  const name = treeName(text(tree, 'tree name', 600))
  const shown = list(verified, 'verified copies', MAX_VERIFIED).map(decodeVerified)
  const held = orNull(heldBack, (found) => decodeHeldBack(name, found))
  const complete = runs === undefined ? undefined : decodeRuns(runs)
  return {
    tree: name,
    completeSequence: orNull(completeSequence, (found) => count(found, 'sequence')),
    completeSnapshot: orNull(completeSnapshot, (found) => (checkCid(found) as Cid).toString()),
    isFetching: isFetching === true,
    fetchingSnapshot: orNull(fetchingSnapshot, (found) => checkCid(found).toString()),
    missingBytes: orNull(missingBytes, (found) => count(found, 'missing bytes')),
    reason: text(reason, 'reason', MAX_REASON_CHARACTERS),
    checkouts: list(checkouts, 'check-outs', MAX_CHECKOUTS).map((pair) => {
      const [path, sequence, versions] = list(pair, 'check-out', 8)
      return {
        path: text(path, 'check-out path', MAX_PATH_CHARACTERS),
        sequence: orNull(sequence, (found) => count(found, 'check-out sequence')),
        ...(versions === undefined ? {} : { versions: count(versions, 'check-out versions') }),
      }
    }),
    alsoComplete: list(alsoComplete, 'sequences', MAX_ALSO_COMPLETE).map((found) => count(found, 'sequence')),
    ...(isFiltered === true ? { isFiltered: true } : {}),
    ...(complete === undefined || (complete.length === 0 && held === null) ? {} : { completeRuns: complete }),
    ...(held === null ? {} : { heldBack: held }),
    ...(shown.length === 0 ? {} : { verified: shown }),
  }
}

function decodeRuns(value: unknown): [from: number, to: number][] {
  const numbers = list(value, 'runs of sequences', 2 * MAX_RUNS).map((found) => count(found, 'sequence'))
  if (numbers.length % 2 !== 0) throw corrupt('a run of sequences has no end')
  const runs: [from: number, to: number][] = []
  for (let i = 0; i < numbers.length; i += 2) runs.push([numbers[i]!, numbers[i + 1]!])
  return runs
}
