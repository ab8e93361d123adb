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
 *     b  optional: latest version of snapshots that it reads; 1 when absent
 *
 * Fields that a reader does not know are ignored: fields are only ever added within a version.
 */

import { MirrorError } from '../../base/errors.ts'
import { isSegment } from '../../base/names.ts'
import { MAX_WEB_URL_CHARACTERS, readWebUrl } from '../../base/web-url.ts'
import { decodeCbor, encodeCbor } from '../../block/codec.ts'
import { isPeerId, KEY_BYTES, peerIdOf, publicKeyOf } from '../../record/key.ts'
import { isJoinCode } from '../../record/request-code.ts'
import { type FetchPause, MAX_PAUSED_BY } from '../fetch-pauses.ts'
import type { PendingRequest } from '../records/join-requests.ts'
import { bareText, corrupt, count, list, text, treeName } from './announced-fields.ts'
import {
  type AnnouncedTree,
  decodeTrees,
  encodeTree,
  MAX_ANNOUNCED_TREES,
  withoutVerified,
} from './announced-tree.ts'

export const MAX_ANNOUNCEMENT_BYTES = 32 * 1024
const MAX_ADDRESSES = 32
const MAX_TAKEDOWNS = 64
const MAX_REQUESTS = 8
const MAX_PAUSES = 64
const MAX_SUSPECTS = 64

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
  /** The latest version of snapshots that it reads; 1 when absent. */
  readonly snapshotVersion?: number
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
      ...(announcement.snapshotVersion === undefined ? {} : { b: announcement.snapshotVersion }),
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
  const { v, t, n, a, b, r, s, w, f, j, k, l, p, u } = value as Record<string, unknown>
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
    ...(b === undefined ? {} : { snapshotVersion: count(b, 'version of snapshots') }),
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

/** It is handed out to clients of every site. */
function webUrl(value: unknown): string {
  const url = readWebUrl(bareText(value, 'address of the gateway', MAX_WEB_URL_CHARACTERS))
  if (url === undefined) throw corrupt('the address of the gateway is none')
  return url
}
