/**
 * Carries out the scheduler's requests: sends them over one channel a peer, hands what arrives on to be verified against
 * its page and stored (arrivals.ts), and reports each block's fate.
 */
import type { Clock } from '../../base/clock.ts'
import { isMirrorError, MirrorError } from '../../base/errors.ts'
import type { IndexPage } from '../../dag/block-index.ts'
import type { BlockAnswer, BlockChannel } from '../../net/ports.ts'
import type { BlockStore } from '../../store/block-store.ts'
import type { FetchNetwork } from '../fetch-network.ts'
import type { HeldUp } from '../scheduler/held-up.ts'
import type { FailureReason, SchedulerCommand, SchedulerEvent } from '../scheduler/types.ts'
import type { Traffic } from '../traffic.ts'
import type { Arrival } from './arrivals.ts'
import { createArrivals } from './arrivals.ts'

export interface FetchRequestsComponents {
  readonly network: FetchNetwork
  readonly blocks: BlockStore
  readonly traffic: Traffic
  readonly clock: Clock
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

/** One that is under way. */
interface OpenRequest {
  readonly number: number
  readonly page: number
  readonly abort: AbortController
  isCancelled: boolean
  /** Asked for, and no answer yet. */
  readonly due: Set<number>
  /** Answers whose fate is not known yet; called when there are none left. */
  inHand: number
  onSettled: (() => void) | undefined
}

export function createFetchRequests(
  { network, blocks, traffic, clock, heldUp }: FetchRequestsComponents,
  { tree, signal, page, onEvents, onError }: FetchRequestsOptions,
): FetchRequests {
  const channels = new Map<string, BlockChannel>()
  const open = new Map<number, OpenRequest>()
  const arrivals = createArrivals<OpenRequest>(
    { blocks, clock, heldUp },
    {
      signal,
      onStored(stored) {
        const nowMs = clock.monotonicMs()
        onEvents(
          stored.map(({ request, offset, atMs }) => ({
            kind: 'received',
            request: request.number,
            page: request.page,
            offset,
            handledMs: nowMs - atMs,
          })),
        )
        settle(stored)
      },
      onCorrupt(corrupt) {
        const wanted = corrupt.filter(({ request }) => !request.isCancelled)
        if (wanted.length > 0)
          onEvents(wanted.map(({ request, offset }) => failed(request, offset, 'corrupt')))
        settle(corrupt)
      },
      onLeftAside: settle,
      onError,
    },
  )

  function settle(settled: readonly Arrival<OpenRequest>[]): void {
    for (const { request } of settled) if (--request.inHand === 0) request.onSettled?.()
  }

  function channelTo(peer: string): BlockChannel {
    const known = channels.get(peer)
    if (known !== undefined) return known
    const channel = network.openBlocks(peer)
    channels.set(peer, channel)
    return channel
  }

  function fail(request: OpenRequest, reason: FailureReason): void {
    const events = [...request.due].map((offset) => failed(request, offset, reason))
    request.due.clear()
    if (events.length > 0) onEvents(events)
  }

  async function carryOut(command: Extract<SchedulerCommand, { kind: 'request' }>): Promise<void> {
    const { peer, page: number, offsets } = command
    const indexPage = page(number)
    if (indexPage === undefined) throw new MirrorError('internal', `page ${number} is asked for but not read`)
    const request: OpenRequest = {
      number: command.request,
      page: number,
      abort: new AbortController(),
      isCancelled: false,
      due: new Set(offsets),
      inHand: 0,
      onSettled: undefined,
    }
    open.set(request.number, request)
    const onAnswers = (answers: readonly BlockAnswer[]): void => {
      const refused: SchedulerEvent[] = []
      const atMs = clock.monotonicMs()
      for (const { offset, status, bytes, zstdOfBytes } of answers) {
        if (request.isCancelled || !request.due.delete(offset)) continue
        if (status !== 'have' || bytes === undefined) {
          refused.push(failed(request, offset, status === 'busy' ? 'busy' : 'missing'))
          continue
        }
        traffic.receivedBlock(peer, bytes.length, zstdOfBytes)
        request.inHand++
        const { cid, lengthBytes } = indexPage.blocks[offset]!
        const encoding = zstdOfBytes === undefined ? 'plain' : 'zstd'
        const block = { encoding, bytes, lengthBytes: zstdOfBytes ?? bytes.length } as const
        arrivals.push({ request, offset, cid, lengthBytes, block, atMs })
      }
      if (refused.length > 0) onEvents(refused)
    }
    // Nothing crosses the network that would find no room here, try after try.
    await blocks.claimSpace(
      offsets.reduce((sum, offset) => sum + (indexPage.blocks[offset]?.lengthBytes ?? 0), 0),
    )
    if (signal.aborted || request.isCancelled) return
    const channel = channelTo(peer)
    try {
      await channel.request({ tree, page: indexPage.cid, offsets }, onAnswers, request.abort.signal)
      await settled(request)
      fail(request, 'missing')
    } catch (error) {
      if (signal.aborted || request.isCancelled) return
      await settled(request)
      if (channels.get(peer) === channel) channels.delete(peer)
      channel.close()
      fail(request, isMirrorError(error, 'busy') ? 'busy' : 'broken')
    } finally {
      open.delete(request.number)
    }
  }

  function cancel(request: OpenRequest, why: string): void {
    request.isCancelled = true
    request.abort.abort(new MirrorError('aborted', why))
    open.delete(request.number)
  }

  function closeChannel(peer: string): void {
    channels.get(peer)?.close()
    channels.delete(peer)
  }

  return {
    send(command) {
      carryOut(command).catch(onError)
    },
    cancel(number) {
      const request = open.get(number)
      if (request !== undefined) cancel(request, 'no longer wanted')
    },
    drop: closeChannel,
    close() {
      for (const request of [...open.values()]) cancel(request, 'the fetch ended')
      for (const peer of [...channels.keys()]) closeChannel(peer)
    },
  }
}

function failed(
  { number, page }: OpenRequest,
  offset: number,
  reason: FailureReason,
): Extract<SchedulerEvent, { kind: 'failed' }> {
  return { kind: 'failed', request: number, page, offset, reason }
}

/** Every answer that came has met its fate. Never, where the fetch ends first. */
function settled(request: OpenRequest): Promise<void> | undefined {
  if (request.inHand === 0) return undefined
  return new Promise((resolve) => {
    request.onSettled = resolve
  })
}
