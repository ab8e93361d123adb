/**
 * Carries out the scheduler's requests: sends them over one channel a peer, verifies each block against its page,
 * stores what is right in batches, and reports each block's fate. Wrong bytes go no further than here.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { isMirrorError, MirrorError } from '../base/errors.ts'
import { Semaphore } from '../base/semaphore.ts'
import type { Cid } from '../block/cid.ts'
import { verifyBlock } from '../block/cid.ts'
import { decodeBlockLater } from '../block/encoding.ts'
import type { IndexPage } from '../dag/block-index.ts'
import type { BlockAnswer, BlockChannel } from '../net/ports.ts'
import type { BlockStore, PutBlock } from '../store/block-store.ts'
import type { FetchNetwork } from './fetch-network.ts'
import type { HeldUp } from './held-up.ts'
import type { FailureReason, SchedulerCommand, SchedulerEvent } from './scheduler-types.ts'
import type { Traffic } from './traffic.ts'

/** Bytes given to the store in one call. */
const MAX_BATCH_BYTES = 8 * 1024 * 1024
/** Plain bytes of blocks that are being decoded. */
const MAX_UNPACKING_BYTES = 16 * 1024 * 1024

export interface FetchRequestsComponents {
  readonly network: FetchNetwork
  readonly blocks: BlockStore
  readonly traffic: Traffic
  readonly heldUp: HeldUp
}

export interface FetchRequestsOptions {
  readonly tree: string
  readonly signal: AbortSignal
  /** The page, as long as it is active. */
  readonly page: (number: number) => IndexPage | undefined
  /** What happened, for the scheduler. Blocks that were `received` are stored. */
  readonly onEvents: (events: readonly SchedulerEvent[]) => void
  /** The store failed. */
  readonly onError: (error: unknown) => void
}

export interface FetchRequests {
  send(command: Extract<SchedulerCommand, { kind: 'request' }>): void
  cancel(request: number): void
  /** Closes the channel to a peer that is gone or blamed. */
  drop(peer: string): void
  close(): void
}

interface Arrival extends PutBlock {
  readonly request: number
  readonly page: number
  readonly offset: number
}

export function createFetchRequests(
  { network, blocks, traffic, heldUp }: FetchRequestsComponents,
  { tree, signal, page, onEvents, onError }: FetchRequestsOptions,
): FetchRequests {
  const channels = new Map<string, BlockChannel>()
  const open = new Map<number, AbortController>()
  const arrivals: Arrival[] = []
  const unpackingBytes = new Semaphore(MAX_UNPACKING_BYTES)
  let isStoring = false

  async function store(): Promise<void> {
    if (isStoring) return
    isStoring = true
    try {
      while (arrivals.length > 0 && !signal.aborted) {
        // All that the network delivers in this turn of the loop: one plan and one announcement for many small blocks.
        await nextTurn()
        const batch = takeBatch()
        await heldUp.during(blocks.put(batch, { verified: true }))
        onEvents(
          batch.map(({ request, page: number, offset }) => ({
            kind: 'received',
            request,
            page: number,
            offset,
          })),
        )
      }
    } catch (error) {
      onError(error)
    } finally {
      isStoring = false
    }
  }

  function takeBatch(): Arrival[] {
    let bytes = 0
    let count = 0
    while (count < arrivals.length && bytes < MAX_BATCH_BYTES) bytes += arrivals[count++]!.bytes.length
    return arrivals.splice(0, count)
  }

  function channelTo(peer: string): BlockChannel {
    const known = channels.get(peer)
    if (known !== undefined) return known
    const channel = network.openBlocks(peer)
    channels.set(peer, channel)
    return channel
  }

  async function carryOut(command: Extract<SchedulerCommand, { kind: 'request' }>): Promise<void> {
    const { request, peer, page: number, offsets } = command
    const indexPage = page(number)
    if (indexPage === undefined) throw new MirrorError('internal', `page ${number} is asked for but not read`)
    const due = new Set(offsets)
    const abort = new AbortController()
    open.set(request, abort)
    const fail = (failed: readonly number[], reason: FailureReason): void => {
      for (const offset of failed) due.delete(offset)
      onEvents(failed.map((offset) => ({ kind: 'failed', request, page: number, offset, reason })))
    }
    const onAnswer = ({ offset, status, bytes, zstdOfBytes }: BlockAnswer): void => {
      if (!due.has(offset) || abort.signal.aborted) return
      if (status !== 'have' || bytes === undefined) {
        fail([offset], status === 'busy' ? 'busy' : 'missing')
        return
      }
      traffic.receivedBlock(peer, bytes.length, zstdOfBytes)
      if (zstdOfBytes === undefined) arrive(offset, bytes)
      else {
        const unpacking = unpack(offset, bytes, zstdOfBytes).finally(() => unpackings.delete(unpacking))
        unpackings.add(unpacking)
      }
    }
    /** In the thread pool, bounded by what the blocks say that they are: a frame of a few bytes may claim to be 4 MiB. */
    const unpackings = new Set<Promise<void>>()
    const unpack = async (offset: number, zstd: Uint8Array, lengthBytes: number): Promise<void> => {
      try {
        const both = AbortSignal.any([signal, abort.signal])
        const release = await unpackingBytes.acquire(lengthBytes, both)
        try {
          if (!due.has(offset)) return
          const bytes = await decodeBlockLater({ encoding: 'zstd', bytes: zstd, lengthBytes })
          if (due.has(offset) && !both.aborted) arrive(offset, bytes, zstd)
        } finally {
          release()
        }
      } catch (error) {
        if (signal.aborted || abort.signal.aborted) return
        if (isMirrorError(error, 'corrupt')) fail([offset], 'corrupt')
        else onError(error)
      }
    }
    const arrive = (offset: number, bytes: Uint8Array, zstd?: Uint8Array): void => {
      const { cid, lengthBytes } = indexPage.blocks[offset]!
      try {
        verifyBlock(cid, bytes)
      } catch {
        fail([offset], 'corrupt')
        return
      }
      if (bytes.length !== lengthBytes) {
        // Right bytes, so the page is wrong; and all that bounds what is in flight rests on the page.
        onError(wrongLength(cid, lengthBytes, bytes.length))
        return
      }
      due.delete(offset)
      const zstdToo = zstd === undefined ? {} : { zstd }
      arrivals.push({ cid, bytes, ...zstdToo, request, page: number, offset })
      void store()
    }
    // Nothing crosses the network that would find no room here, try after try.
    await blocks.claimSpace(
      offsets.reduce((sum, offset) => sum + (indexPage.blocks[offset]?.lengthBytes ?? 0), 0),
    )
    if (signal.aborted || abort.signal.aborted) return
    const channel = channelTo(peer)
    try {
      const both = AbortSignal.any([signal, abort.signal])
      await channel.request(
        { tree, page: indexPage.cid, offsets },
        (answers) => answers.forEach(onAnswer),
        both,
      )
      await Promise.all(unpackings)
      if (due.size > 0) fail([...due], 'missing')
    } catch (error) {
      await Promise.all(unpackings)
      if (signal.aborted || abort.signal.aborted) return
      if (channels.get(peer) === channel) channels.delete(peer)
      channel.close()
      fail([...due], isMirrorError(error, 'busy') ? 'busy' : 'broken')
    } finally {
      open.delete(request)
    }
  }

  function closeChannel(peer: string): void {
    channels.get(peer)?.close()
    channels.delete(peer)
  }

  return {
    send(command) {
      carryOut(command).catch(onError)
    },
    cancel(request) {
      open.get(request)?.abort(new MirrorError('aborted', 'no longer wanted'))
      open.delete(request)
    },
    drop: closeChannel,
    close() {
      for (const abort of open.values()) abort.abort(new MirrorError('aborted', 'the fetch ended'))
      open.clear()
      for (const peer of [...channels.keys()]) closeChannel(peer)
    },
  }
}

function wrongLength(cid: Cid, saidBytes: number, bytes: number): MirrorError {
  return new MirrorError(
    'corrupt',
    `the block index says that block ${cid.toString()} has ${saidBytes} bytes; it has ${bytes}`,
    { facts: { cid: cid.toString() }, hint: 'The publisher has to publish the tree again.' },
  )
}
