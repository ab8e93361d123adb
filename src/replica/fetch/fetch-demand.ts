/**
 * What readers wait for of a snapshot that is being fetched. A block that a reader claims is got by whoever claims it, at
 * once and beside the scheduler's order; the scheduler asks nobody for it meanwhile, and is told when it is stored. What it
 * has asked for already is waited for a moment. Of pages that are not read yet the scheduler learns when it comes to them:
 * what is stored then is not fetched again.
 */
import type { Clock } from '../../base/clock.ts'
import type { Cid } from '../../block/cid.ts'
import type { BlockStore } from '../../store/block-store.ts'
import type { BlockState, SchedulerEvent } from '../scheduler/types.ts'

export interface FetchDemand {
  claim(page: Cid, offset: number): DemandClaim
}

export interface DemandClaim {
  /** True: it is stored now. At once when nobody is asked for it, else after `patienceMs` at most. */
  arrives(patienceMs: number, signal: AbortSignal): Promise<boolean>
  /** Stores it for good. */
  keep(cid: Cid, bytes: Uint8Array): Promise<void>
  /** In any case, in the end: what was not kept is the scheduler's again. */
  release(): void
}

export interface FetchDemandComponents {
  readonly blocks: Pick<BlockStore, 'put'>
  readonly clock: Clock
  /** The number of an active page. */
  readonly pageNumber: (page: Cid) => number | undefined
  readonly stateOf: (page: number, offset: number) => BlockState | undefined
  readonly dispatch: (events: readonly SchedulerEvent[]) => void
  /** A block is stored that came in none of the fetch's own ways. */
  readonly onKept: (page: number, offset: number) => void
}

export interface FetchDemandSide extends FetchDemand {
  /** These were stored. */
  arrived(page: number, offsets: readonly number[]): void
}

export function createFetchDemand({
  blocks,
  clock,
  pageNumber,
  stateOf,
  dispatch,
  onKept,
}: FetchDemandComponents): FetchDemandSide {
  const waiting = new Map<string, Set<() => void>>()

  function wait(key: string, patienceMs: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const waiters = waiting.get(key) ?? new Set()
      const finish = (isHere: boolean): void => {
        cancel()
        signal.removeEventListener('abort', onAbort)
        waiters.delete(onArrival)
        if (waiters.size === 0) waiting.delete(key)
        resolve(isHere)
      }
      const onArrival = (): void => finish(true)
      const onAbort = (): void => finish(false)
      const cancel = clock.after(patienceMs, onAbort)
      waiting.set(key, waiters.add(onArrival))
      signal.addEventListener('abort', onAbort, { once: true })
      if (signal.aborted) onAbort()
    })
  }

  return {
    claim(page, offset) {
      const number = pageNumber(page)
      const isComing = number !== undefined && stateOf(number, offset) === 'asked'
      let isOurs = number !== undefined && !isComing
      if (isOurs) dispatch([{ kind: 'withhold', page: number!, offsets: [offset] }])
      return {
        arrives: async (patienceMs, signal) =>
          isComing && (await wait(`${number} ${offset}`, patienceMs, signal)),
        async keep(cid, bytes) {
          await blocks.put([{ cid, bytes }], { verified: true })
          isOurs = false
          // It may have become active meanwhile.
          const known = number ?? pageNumber(page)
          if (known !== undefined && stateOf(known, offset) !== 'stored') onKept(known, offset)
        },
        release() {
          if (isOurs) dispatch([{ kind: 'release', page: number!, offsets: [offset] }])
          isOurs = false
        },
      }
    },
    arrived(page, offsets) {
      if (waiting.size === 0) return
      for (const offset of offsets) for (const tell of [...(waiting.get(`${page} ${offset}`) ?? [])]) tell()
    },
  }
}
