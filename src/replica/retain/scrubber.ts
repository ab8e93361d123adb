/**
 * Has the store scrubbed every so often, from where the last run of the program left off, and when it is asked to. One
 * scrub at a time: one that was asked for takes the place of the one in the background.
 */
import type { Clock } from '../../base/clock.ts'
import { sleep } from '../../base/clock.ts'
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import type { ScrubOptions } from '../../store/collect/scrub.ts'
import type { ScrubReport } from '../../store/collect/scrub-report.ts'
import type { Store } from '../../store/store.ts'
import type { ReplicaLog } from '../fetch-network.ts'

export interface ScrubberOptions {
  readonly bytesPerSecond: number
  /** From the end of one scrub to the begin of the next; 0 for never by itself. */
  readonly everyMs: number
}

export interface ScrubberRunOptions {
  readonly bytesPerSecond?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: { readonly doneBytes: number; readonly totalBytes: number }) => void
}

/** Where a scrub that was ended goes on. */
type ScrubFrom = Pick<ScrubOptions, 'fromPack' | 'fromFile'>

export interface ScrubberStatus {
  /** Since the start. */
  readonly bytes: number
  readonly damagedBlocks: number
  /** Wall clock, of the last that went through; kept over restarts. */
  readonly lastEndMs: number | undefined
}

export interface Scrubber {
  /** All of it. @throws MirrorError `busy` when one that was asked for runs */
  run(options?: ScrubberRunOptions): Promise<ScrubReport>
  status(): ScrubberStatus
  start(): Promise<void>
  stop(): Promise<void>
}

const LOOK_MS = 60_000
const FIRST_MS = 10 * 60_000

export function createScrubber(
  {
    store,
    clock,
    logger,
  }: {
    readonly store: Pick<Store, 'scrub' | 'values'>
    readonly clock: Clock
    readonly logger: ReplicaLog
  },
  { bytesPerSecond, everyMs }: ScrubberOptions,
): Scrubber {
  const stopped = new AbortController()
  const values = store.values('scrub')
  const totals = { bytes: 0, damagedBlocks: 0 }
  let lastEndMs: number | undefined
  let asked: Promise<unknown> | undefined
  let watching: Promise<void> | undefined
  /** Ends the scrub in the background. */
  let attempt = new AbortController()
  let inBackground: Promise<unknown> = Promise.resolve()

  async function readNumber(key: string): Promise<number | undefined> {
    const value = await values.get(key)
    return value === undefined ? undefined : Number(Buffer.from(value).toString('latin1'))
  }

  const write = (key: string, text: string): Promise<void> => values.put(key, Buffer.from(text, 'latin1'))

  async function readPosition(): Promise<ScrubFrom | undefined> {
    const value = await values.get('next')
    if (value === undefined) return undefined
    const [packId = 0, backingId, fileId = 0] = Buffer.from(value).toString('latin1').split('/').map(Number)
    return backingId === undefined ? { fromPack: packId } : { fromFile: { backingId, fileId } }
  }

  async function scrub(from: ScrubFrom, options: ScrubberRunOptions): Promise<ScrubReport> {
    const { signal = stopped.signal, onProgress } = options
    let seenBytes = 0
    const report = await store.scrub({
      ...from,
      bytesPerSecond: options.bytesPerSecond ?? bytesPerSecond,
      signal,
      onProgress(progress) {
        totals.bytes += progress.doneBytes - seenBytes
        seenBytes = progress.doneBytes
        onProgress?.(progress)
      },
      // Not synced: after a power loss some packs are read once more.
      onPack: (packId) => write('next', String(packId + 1)),
      onFile: ({ backingId, fileId }) => write('next', `0/${backingId}/${fileId}`),
    })
    totals.damagedBlocks += report.damagedBlocks
    lastEndMs = clock.nowMs()
    await values.batch([
      { type: 'delete', key: 'next' },
      { type: 'put', key: 'ended', value: Buffer.from(String(lastEndMs), 'latin1') },
    ])
    logger.info({ ...report }, 'scrub.done')
    return report
  }

  async function watch(signal: AbortSignal): Promise<void> {
    await sleep(clock, FIRST_MS, signal)
    for (;;) {
      try {
        const next = await readPosition()
        const isDue = lastEndMs === undefined || clock.nowMs() - lastEndMs >= everyMs
        if (asked === undefined && (next !== undefined || isDue)) {
          attempt = new AbortController()
          const running = scrub(next ?? {}, { signal: AbortSignal.any([signal, attempt.signal]) })
          inBackground = running.catch(() => undefined)
          await running
        }
      } catch (error) {
        if (signal.aborted) return
        if (!attempt.signal.aborted) logger.warn({ err: asMirrorError(error, 'scrub') }, 'scrub.failed')
      }
      await sleep(clock, LOOK_MS, signal)
    }
  }

  return {
    async run({ signal, ...options } = {}) {
      if (asked !== undefined) {
        throw new MirrorError('busy', 'a scrub is running already', { hint: 'Wait until it has ended.' })
      }
      const ends = signal === undefined ? stopped.signal : AbortSignal.any([stopped.signal, signal])
      const running = (async () => {
        attempt.abort(new MirrorError('aborted', 'another scrub takes its place'))
        await inBackground
        return await scrub({}, { ...options, signal: ends })
      })()
      asked = running
      try {
        return await running
      } finally {
        asked = undefined
      }
    },
    status: () => ({ ...totals, lastEndMs }),
    async start() {
      lastEndMs = await readNumber('ended')
      if (everyMs > 0) watching ??= watch(stopped.signal).catch(() => undefined)
    },
    async stop() {
      stopped.abort(new MirrorError('aborted', 'the node is stopping'))
      await Promise.allSettled([watching, asked])
    },
  }
}
