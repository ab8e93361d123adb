/**
 * What a site says of itself to the whole mesh, now and then in whole, and in between as deltas (announcement-delta.ts):
 * short-lived, never stored with the records. Authenticated by the layer that carries it (gossip messages are signed by their author's key), so
 * there is no signature inside.
 *
 *   dag-cbor map, at most 32 KiB (the network's limit), version 1:
 *     v  1
 *     t  time of sending, ms since 1970, by the sender's clock
 *     n  version of the program, <= 64 characters
 *     a  addresses, <= 32 strings of <= 256 characters
 *     r  trees, <= 512 lists of [tree, completeSequence|null, completeSnapshot CID|null, isFetching,
 *        fetchingSnapshot CID|null, missingBytes|null, reason, [[checkout path, sequence|null, versions?], ...],
 *        [other complete sequences, newest first, <= 8],
 *        isFiltered?: what is complete is so under a path filter,
 *        [from, to, from, to, ...]?: when more are complete than the list before can name, all that are, as runs of
 *        sequences, newest first, <= 32 numbers (empty: none),
 *        [snapshot CID, CID of the head's record, its sequence, files, bytes, files before|null, bytes before|null,
 *        since, until (ms since 1970), problem]|null?: of its publisher, what it holds back for what it drops; then the runs
 *        are always there,
 *        [[sequence, mark, time], ...]?: copies that others have shown the sender (copies/copy-challenger.ts), newest first,
 *        <= 16: of which snapshot, who (8 bytes, markOf), when by the sender's clock, ms since 1970]
 *     s  [bytesSent, bytesReceived] since the start of the program
 *     w  address of its gateway as clients know it, <= 256 characters; absent when it has none
 *     f  optional: bytes left on the disk of its store
 *     k  optional: takedowns that are carried out there, <= 64 strings of 16 characters
 *
 *     j  optional: newcomers that asked here to join, <= 8 lists of [PeerId, code, site|null, region|null, address,
 *        ms since 1970]
 *     l  optional: sites that it lost and suspects to be gone, <= 64 keys of 32 bytes
 *     u  optional: 1 when it contradicts at once who suspects it (site-agent/suspicions.ts)
 *     p  optional: fetches that are paused there, <= 64 lists of [tree, by whom, ms since 1970]
 *
 * Fields that a reader does not know are ignored: fields are only ever added within a version.
 */

import { hex, printableText } from '../../base/bytes.ts'
import { MirrorError } from '../../base/errors.ts'
import { isSegment, isTreeName } from '../../base/names.ts'
import { MAX_WEB_URL_CHARACTERS, readWebUrl } from '../../base/web-url.ts'
import { type Cid, checkCid, parseCid } from '../../block/cid.ts'
import { decodeCbor, encodeCbor } from '../../block/codec.ts'
import { isPeerId, KEY_BYTES, peerIdOf, publicKeyOf } from '../../record/key.ts'
import { isJoinCode } from '../../record/request-code.ts'
import { type FetchPause, MAX_PAUSED_BY } from '../fetch-pauses.ts'
import type { HeldBack } from '../publish/held-back.ts'
import type { PendingRequest } from '../records/join-requests.ts'

export const MAX_ANNOUNCEMENT_BYTES = 32 * 1024
export const MAX_ANNOUNCED_TREES = 512
const MAX_ADDRESSES = 32
const MAX_TAKEDOWNS = 64
const MAX_CHECKOUTS = 16
export const MAX_ALSO_COMPLETE = 8
export const MAX_RUNS = 16
export const MAX_VERIFIED = 16
const MARK_CHARACTERS = 16
const MAX_REQUESTS = 8
const MAX_PAUSES = 64
const MAX_SUSPECTS = 64
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

export interface SiteAnnouncement {
  readonly timeMs: number
  readonly version: string
  readonly addresses: readonly string[]
  readonly trees: readonly AnnouncedTree[]
  readonly bytesSent: number
  readonly bytesReceived: number
  /** Of its gateway, as clients know it (readWebUrl). */
  readonly url?: string
  readonly freeBytes?: number | undefined
  readonly takedownsDone?: readonly string[]
  readonly requests?: readonly PendingRequest[]
  readonly pauses?: readonly AnnouncedPause[]
  /** PeerIds. */
  readonly suspects?: readonly string[]
  readonly contradicts?: boolean
}

export interface AnnouncedPause extends FetchPause {
  readonly tree: string
}

/** Encodes within the limits: what does not fit is cut, trees that are not complete come first. */
export function encodeAnnouncement(announcement: SiteAnnouncement): Uint8Array {
  let trees = announcement.trees
    .toSorted((a, b) => Number(a.reason === '') - Number(b.reason === ''))
    .slice(0, MAX_ANNOUNCED_TREES)
  for (;;) {
    const bytes = encodeCbor({
      v: 1,
      t: announcement.timeMs,
      n: announcement.version.slice(0, 64),
      a: announcement.addresses.slice(0, MAX_ADDRESSES),
      r: trees.map(encodeTree),
      s: [announcement.bytesSent, announcement.bytesReceived],
      ...(announcement.url === undefined ? {} : { w: announcement.url }),
      ...(announcement.freeBytes === undefined ? {} : { f: announcement.freeBytes }),
      ...(announcement.takedownsDone === undefined
        ? {}
        : { k: announcement.takedownsDone.slice(0, MAX_TAKEDOWNS) }),
      ...(announcement.requests === undefined || announcement.requests.length === 0
        ? {}
        : { j: announcement.requests.slice(0, MAX_REQUESTS).map(encodeRequest) }),
      ...(announcement.suspects === undefined ? {} : { l: encodeSuspects(announcement.suspects) }),
      ...(announcement.contradicts === true ? { u: 1 } : {}),
      ...(announcement.pauses === undefined
        ? {}
        : {
            p: announcement.pauses.slice(0, MAX_PAUSES).map(({ tree, by, sinceMs }) => [tree, by, sinceMs]),
          }),
    })
    if (bytes.length <= MAX_ANNOUNCEMENT_BYTES || trees.length === 0) return bytes
    // What a site holds itself is told before what others hold.
    if (trees.some(({ verified }) => verified !== undefined)) trees = trees.map(withoutVerified)
    else trees = trees.slice(0, Math.floor(trees.length / 2))
  }
}

/** @throws MirrorError `corrupt`, `limit` or `unsupported` (a newer version) */
export function decodeAnnouncement(bytes: Uint8Array): SiteAnnouncement {
  const value = decodeCbor(bytes, 'a site announcement', MAX_ANNOUNCEMENT_BYTES)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw corrupt('not a map')
  const { v, t, n, a, r, s, w, f, j, k, l, p, u } = value as Record<string, unknown>
  if (typeof v === 'number' && v > 1) {
    throw new MirrorError('unsupported', `a site announcement of version ${v}, this node knows version 1`)
  }
  if (v !== 1) throw corrupt('no version')
  const [bytesSent, bytesReceived] = list(s, 'traffic', 2)
  return {
    timeMs: count(t, 'time'),
    version: text(n, 'version', 64),
    addresses: list(a, 'addresses', MAX_ADDRESSES).map((address) => text(address, 'address', 256)),
    trees: decodeTrees(r),
    bytesSent: count(bytesSent, 'bytes sent'),
    bytesReceived: count(bytesReceived, 'bytes received'),
    ...(w === undefined ? {} : { url: webUrl(w) }),
    ...(f === undefined ? {} : { freeBytes: count(f, 'free bytes') }),
    ...(k === undefined
      ? {}
      : { takedownsDone: list(k, 'takedowns', MAX_TAKEDOWNS).map((id) => text(id, 'takedown', 16)) }),
    ...(j === undefined ? {} : { requests: list(j, 'requests to join', MAX_REQUESTS).map(decodeRequest) }),
    ...(l === undefined ? {} : { suspects: decodeSuspects(l) }),
    ...(u === 1 ? { contradicts: true } : {}),
    ...(p === undefined ? {} : { pauses: list(p, 'pauses', MAX_PAUSES).map(decodePause) }),
  }
}

export function encodeSuspects(peers: readonly string[]): Uint8Array[] {
  return peers.slice(0, MAX_SUSPECTS).map(publicKeyOf)
}

export function decodeSuspects(value: unknown): string[] {
  return list(value, 'suspects', MAX_SUSPECTS).map((key) => {
    if (!(key instanceof Uint8Array) || key.length !== KEY_BYTES) throw corrupt('a suspect is no key')
    return peerIdOf(key)
  })
}

function decodePause(value: unknown): AnnouncedPause {
  const [tree, by, sinceMs] = list(value, 'pause', 8)
  return {
    tree: treeName(text(tree, 'tree name', 600)),
    by: text(by, 'who paused', MAX_PAUSED_BY),
    sinceMs: count(sinceMs, 'time'),
  }
}

function encodeRequest({ peer, code, site, region, address, sinceMs }: PendingRequest): unknown[] {
  return [peer, code, site, region, address, sinceMs]
}

/** It is shown to admins, and what they approve is the key. */
function decodeRequest(value: unknown): PendingRequest {
  const [peer, code, site, region, address, sinceMs] = list(value, 'request to join', 16)
  const key = text(peer, 'PeerId', 64)
  if (!isPeerId(key)) throw corrupt('a PeerId is none')
  if (!isJoinCode(text(code, 'code', 16))) throw corrupt('a code is none')
  for (const name of [site, region]) if (name !== null && !isSegment(name)) throw corrupt('a name is none')
  return {
    peer: key,
    code: code as string,
    site: site as string | null,
    region: region as string | null,
    address: text(address, 'address', 64),
    sinceMs: count(sinceMs, 'time'),
  }
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

function withoutVerified({ verified: _, ...rest }: AnnouncedTree): AnnouncedTree {
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

function treeName(name: unknown): string {
  if (isTreeName(name)) return name
  throw corrupt("a tree's name is none")
}

export function list(value: unknown, what: string, max: number): unknown[] {
  if (!Array.isArray(value)) throw corrupt(`${what} is not a list`)
  if (value.length > max) throw new MirrorError('limit', `a site announcement: ${what} has over ${max} items`)
  return value
}

/** For people to read: controls are escaped. */
export function text(value: unknown, what: string, max: number): string {
  return printableText(bareText(value, what, max))
}

function bareText(value: unknown, what: string, max: number): string {
  if (typeof value !== 'string') throw corrupt(`${what} is not text`)
  if (value.length > max)
    throw new MirrorError('limit', `a site announcement: ${what} is over ${max} characters`)
  return value
}

/** It is handed out to clients of every site. */
function webUrl(value: unknown): string {
  const url = readWebUrl(bareText(value, 'address of the gateway', MAX_WEB_URL_CHARACTERS))
  if (url === undefined) throw corrupt('the address of the gateway is none')
  return url
}

export function count(value: unknown, what: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw corrupt(`${what} is not a count`)
  return value as number
}

function orNull<T>(value: unknown, read: (value: unknown) => T): T | null {
  return value === null || value === undefined ? null : read(value)
}

function corrupt(why: string): MirrorError {
  return new MirrorError('corrupt', `not a site announcement: ${why}`)
}
