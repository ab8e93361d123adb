/**
 * What changed of a site since it last announced all of itself (status-announcement.ts): deltas of one base do not build on
 * each other, so one that was lost is made up for by the next. A site of many trees says that it is alive in 60 bytes.
 *
 *   dag-cbor map, at most 32 KiB, version 2:
 *     v  2
 *     t  time of sending, ms since 1970, by the sender's clock
 *     b  time of the announcement that it is based on
 *     r  trees that are not as they were there, <= 512, as in an announcement
 *     g  names of trees that are no longer in it, <= 512
 *     s  [bytesSent, bytesReceived] since the start of the program
 *     f  optional: bytes left on the disk of its store
 *     l  optional: sites that it lost and suspects to be gone, <= 64 keys of 32 bytes
 *
 * Version 1 is the announcement itself: nodes that know no deltas pass these over, and hear the whole less often.
 */
import { MirrorError } from '../../base/errors.ts'
import { decodeCbor, encodeCbor } from '../../block/codec.ts'
import { count, list, text } from './announced-fields.ts'
import { type AnnouncedTree, decodeTrees, encodeTree, MAX_ANNOUNCED_TREES } from './announced-tree.ts'
import {
  decodeSuspects,
  encodeSuspects,
  MAX_ANNOUNCEMENT_BYTES,
  type SiteAnnouncement,
} from './status-announcement.ts'

export interface AnnouncementDelta {
  readonly timeMs: number
  readonly baseMs: number
  readonly trees: readonly AnnouncedTree[]
  readonly gone: readonly string[]
  readonly bytesSent: number
  readonly bytesReceived: number
  readonly freeBytes?: number
  readonly suspects?: readonly string[]
}

/** Undefined: more changed than a delta tells of. */
export function deltaBetween(base: SiteAnnouncement, now: SiteAnnouncement): AnnouncementDelta | undefined {
  if (headOf(base) !== headOf(now)) return undefined
  const known = new Map(base.trees.map((tree) => [tree.tree, tree]))
  const trees: AnnouncedTree[] = []
  for (const tree of now.trees) {
    const before = known.get(tree.tree)
    known.delete(tree.tree)
    if (before === undefined || !isSameTree(before, tree)) trees.push(tree)
  }
  if (trees.length > MAX_ANNOUNCED_TREES || known.size > MAX_ANNOUNCED_TREES) return undefined
  return {
    timeMs: now.timeMs,
    baseMs: base.timeMs,
    trees,
    gone: [...known.keys()],
    bytesSent: now.bytesSent,
    bytesReceived: now.bytesReceived,
    ...(now.freeBytes === undefined ? {} : { freeBytes: now.freeBytes }),
    ...(now.suspects === undefined ? {} : { suspects: now.suspects }),
  }
}

/** What only an announcement tells. */
function headOf({ version, addresses, url, takedownsDone, requests, pauses }: SiteAnnouncement): string {
  return JSON.stringify([version, addresses, url, takedownsDone, requests ?? [], pauses ?? []])
}

export function applyAnnouncementDelta(base: SiteAnnouncement, delta: AnnouncementDelta): SiteAnnouncement {
  const { baseMs: _, trees, gone, ...rest } = delta
  const all = new Map(base.trees.map((tree) => [tree.tree, tree]))
  for (const tree of trees) all.set(tree.tree, tree)
  for (const name of gone) all.delete(name)
  const { freeBytes: _free, suspects: _suspects, ...head } = base
  return { ...head, ...rest, trees: [...all.values()] }
}

/** Whether anything but counters and times differs. */
export function isSameTree(a: AnnouncedTree, b: AnnouncedTree): boolean {
  return textOf(a) === textOf(b)
}

/** By its fields, in one order, whoever made it. */
function textOf(tree: AnnouncedTree): string {
  return JSON.stringify([
    tree.completeSequence,
    tree.completeSnapshot,
    tree.isFetching,
    tree.fetchingSnapshot,
    tree.missingBytes,
    tree.reason,
    tree.checkouts.map(({ path, sequence, versions }) => [path, sequence, versions ?? null]),
    tree.alsoComplete,
    tree.isFiltered === true,
    tree.completeRuns ?? null,
    heldBackText(tree.heldBack),
    (tree.verified ?? []).map(({ sequence, mark, timeMs }) => [sequence, mark, timeMs]),
  ])
}

function heldBackText(held: AnnouncedTree['heldBack']): string | null {
  return held === undefined ? null : `${held.snapshot} ${held.previous} ${held.problem ?? ''}`
}

export function encodeDelta(delta: AnnouncementDelta): Uint8Array {
  return encodeCbor({
    v: 2,
    t: delta.timeMs,
    b: delta.baseMs,
    r: delta.trees.map(encodeTree),
    g: delta.gone,
    s: [delta.bytesSent, delta.bytesReceived],
    ...(delta.freeBytes === undefined ? {} : { f: delta.freeBytes }),
    ...(delta.suspects === undefined ? {} : { l: encodeSuspects(delta.suspects) }),
  })
}

/** Undefined for what is no delta: an announcement. @throws MirrorError `corrupt` | `limit` */
export function decodeDelta(bytes: Uint8Array): AnnouncementDelta | undefined {
  const value = decodeCbor(bytes, 'a delta of a site', MAX_ANNOUNCEMENT_BYTES)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new MirrorError('corrupt', 'a delta of a site is not a map')
  }
  const { v, t, b, r, g, s, f, l } = value as Record<string, unknown>
  if (v !== 2) return undefined
  const [bytesSent, bytesReceived] = list(s, 'traffic', 2)
  return {
    timeMs: count(t, 'time'),
    baseMs: count(b, 'time of the base'),
    trees: decodeTrees(r),
    gone: list(g, 'trees that are gone', MAX_ANNOUNCED_TREES).map((name) => text(name, 'tree name', 600)),
    bytesSent: count(bytesSent, 'bytes sent'),
    bytesReceived: count(bytesReceived, 'bytes received'),
    ...(f === undefined ? {} : { freeBytes: count(f, 'free bytes') }),
    ...(l === undefined ? {} : { suspects: decodeSuspects(l) }),
  }
}
