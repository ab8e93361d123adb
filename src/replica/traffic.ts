/**
 * Counts what this node gave to whom and got from whom, since it started: bytes of blocks and control objects as they
 * travelled, and beside them what they were before they were compressed.
 * Also how many blocks it gave more than once (of the pages in recent use), and how much it gave of snapshots that it
 * was still fetching itself.
 */
import type { Cid } from '../block/cid.ts'
import { cidKey } from '../block/cid.ts'
import { BitSet } from './bit-set.ts'

const MAX_PEERS = 2048
/** Pages whose blocks are told apart: 2 bits a block, so about 1 MiB in all. */
const MAX_PAGES = 4096

export interface PeerTally {
  /** As they travelled. */
  bytesSent: number
  bytesReceived: number
  /** The same blocks and objects, plain. */
  plainBytesSent: number
  plainBytesReceived: number
  blocksSent: number
  blocksReceived: number
  /** Bytes of blocks given to the peer while this node did not hold the whole snapshot itself. */
  bytesSentBeforeComplete: number
}

export interface TrafficTotals {
  readonly peers: ReadonlyMap<string, Readonly<PeerTally>>
  /** Blocks given, repeats included. */
  readonly blocksSent: number
  readonly blocksReceived: number
  /** Different blocks given at least once. */
  readonly distinctBlocksSent: number
  /** Different blocks given more than once, to whomever. */
  readonly blocksSentMoreThanOnce: number
  readonly bytesSent: number
  readonly bytesReceived: number
  readonly plainBytesSent: number
  readonly plainBytesReceived: number
  readonly bytesSentBeforeComplete: number
  /** Of the bytes received: deltas. */
  readonly deltaBytesReceived: number
  /** Plain bytes of the blocks that were made of deltas, and so not received. */
  readonly bytesMadeOfDeltas: number
}

export interface SentBlock {
  readonly offset: number
  /** As it travels. */
  readonly bytes: number
  /** Of the plain block; the same as `bytes` when left out. */
  readonly plainBytes?: number
}

export interface Traffic {
  /** Blocks of one page, that leave together. */
  sentBlocks(
    peer: string,
    from: {
      readonly tree: string
      readonly page: Cid
      /** This node is still fetching the snapshot. */
      readonly isIncomplete: boolean
    },
    blocks: readonly SentBlock[],
  ): void
  receivedBlock(peer: string, bytes: number, plainBytes?: number): void
  /** @param bytes as it travelled. @param plainBytes the same when left out */
  sentObject(peer: string, bytes: number, plainBytes?: number): void
  receivedObject(peer: string, bytes: number, plainBytes?: number): void
  /** Of the blocks received, one is a delta. */
  tookDelta(bytes: number): void
  madeOfDeltas(bytes: number): void
  totals(): TrafficTotals
}

export function createTraffic(): Traffic {
  const peers = new Map<string, PeerTally>()
  const pages = new Map<string, { once: BitSet; more: BitSet }>()
  let distinctBlocksSent = 0
  let blocksSentMoreThanOnce = 0
  let deltaBytesReceived = 0
  let bytesMadeOfDeltas = 0
  const sum = emptyTally()

  function tallies(peer: string): [PeerTally, PeerTally] {
    let tally = peers.get(peer)
    if (tally === undefined) {
      if (peers.size >= MAX_PEERS) peers.delete(peers.keys().next().value!)
      tally = emptyTally()
      peers.set(peer, tally)
    }
    return [tally, sum]
  }

  function countRepeats(tree: string, page: Cid, blocks: readonly SentBlock[]): void {
    const key = `${tree} ${cidKey(page)}`
    let seen = pages.get(key)
    if (seen === undefined) {
      if (pages.size >= MAX_PAGES) pages.delete(pages.keys().next().value!)
      seen = { once: new BitSet(64), more: new BitSet(32) }
      pages.set(key, seen)
    }
    for (const { offset } of blocks) {
      if (seen.once.add(offset)) distinctBlocksSent++
      else if (seen.more.add(offset)) blocksSentMoreThanOnce++
    }
  }

  return {
    sentBlocks(peer, { tree, page, isIncomplete }, blocks) {
      if (blocks.length === 0) return
      countRepeats(tree, page, blocks)
      let [travelBytes, allPlainBytes] = [0, 0]
      for (const { bytes, plainBytes = bytes } of blocks) {
        travelBytes += bytes
        allPlainBytes += plainBytes
      }
      for (const tally of tallies(peer)) {
        tally.bytesSent += travelBytes
        tally.plainBytesSent += allPlainBytes
        tally.blocksSent += blocks.length
        if (isIncomplete) tally.bytesSentBeforeComplete += travelBytes
      }
    },
    receivedBlock(peer, bytes, plainBytes = bytes) {
      for (const tally of tallies(peer)) {
        tally.bytesReceived += bytes
        tally.plainBytesReceived += plainBytes
        tally.blocksReceived++
      }
    },
    sentObject(peer, bytes, plainBytes = bytes) {
      for (const tally of tallies(peer)) {
        tally.bytesSent += bytes
        tally.plainBytesSent += plainBytes
      }
    },
    receivedObject(peer, bytes, plainBytes = bytes) {
      for (const tally of tallies(peer)) {
        tally.bytesReceived += bytes
        tally.plainBytesReceived += plainBytes
      }
    },
    tookDelta(bytes) {
      deltaBytesReceived += bytes
    },
    madeOfDeltas(bytes) {
      bytesMadeOfDeltas += bytes
    },
    totals: () => ({
      ...sum,
      distinctBlocksSent,
      blocksSentMoreThanOnce,
      deltaBytesReceived,
      bytesMadeOfDeltas,
      peers: new Map([...peers].map(([peer, tally]) => [peer, { ...tally }])),
    }),
  }
}

function emptyTally(): PeerTally {
  return {
    bytesSent: 0,
    bytesReceived: 0,
    plainBytesSent: 0,
    plainBytesReceived: 0,
    blocksSent: 0,
    blocksReceived: 0,
    bytesSentBeforeComplete: 0,
  }
}
