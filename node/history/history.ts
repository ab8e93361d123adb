/**
 * Days of coarse numbers, so that a console draws without a monitoring system beside it: each 10 seconds for an hour, each
 * 5 minutes for 8 days.
 *
 * Two rings of slots among the store's values: a slot has a fixed key for its place in the ring and says which time it is of,
 * so what is older than the ring is overwritten, nothing is ever deleted, and the whole is bounded (2,664 slots). A coarse slot
 * is made of the fine ones when its time is over; a node that was killed in between makes it at the next start, as long as
 * the fine ones are there. Nothing is held in memory but the last status.
 */
import type { Clock } from '../../src/base/clock.ts'
import { asMirrorError, MirrorError } from '../../src/base/errors.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'
import type { KeyValue } from '../../src/store/index/key-value.ts'
import { merge, readValue, type Sample, sampleOf } from './sample.ts'

export interface HistoryComponents {
  readonly values: KeyValue
  readonly readStatus: () => StatusDocument
  readonly clock: Clock
  readonly log: { warn(fields: object, event: string): void }
}

export interface HistoryQuery {
  readonly series: readonly string[]
  readonly fromMs: number
  readonly toMs: number
  /** A multiple of 10 s; of 5 minutes for what is older than an hour. */
  readonly stepMs: number
}

export interface HistoryAnswer {
  /** Beginning of the first step. */
  readonly fromMs: number
  readonly stepMs: number
  /** A value a step; null where none is known. */
  readonly series: Readonly<Record<string, readonly (number | null)[]>>
}

export interface History {
  start(): Promise<void>
  /** Resolves when what is being written is written. */
  stop(): Promise<void>
  /** @throws MirrorError `invalid` for steps that are none, or more than can be answered */
  read(query: HistoryQuery): Promise<HistoryAnswer>
  /** Of which anything is known, by name. */
  names(): Promise<string[]>
}

interface Ring {
  readonly prefix: string
  readonly stepMs: number
  readonly slots: number
}

export const FINE: Ring = { prefix: 'f', stepMs: 10_000, slots: 360 }
export const COARSE: Ring = { prefix: 'c', stepMs: 300_000, slots: 8 * 288 }
const MAX_POINTS = 2_500
/** At most this share of the time goes into looking at the status. */
const MAX_SHARE = 0.01

interface Slot {
  readonly timeMs: number
  readonly sample: Sample
}

export function createHistory({ values, readStatus, clock, log }: HistoryComponents): History {
  let cancel = (): void => undefined
  let last: { status: StatusDocument; atMs: number } | undefined
  let notBeforeMs = Number.NEGATIVE_INFINITY
  let isStopped = false
  let writing: Promise<void> = Promise.resolve()

  function schedule(): void {
    if (isStopped) return
    cancel = clock.after(FINE.stepMs - (clock.nowMs() % FINE.stepMs), tick)
  }

  function tick(): void {
    const startedMs = clock.monotonicMs()
    if (startedMs >= notBeforeMs) {
      const [nowMs, status] = [clock.nowMs(), readStatus()]
      const elapsedMs = startedMs - (last?.atMs ?? startedMs)
      const sample = sampleOf(last?.status, status, { nowMs, elapsedMs })
      last = { status, atMs: startedMs }
      // A timer may fire a little early or late: it is the interval that has just ended.
      const timeMs = Math.round(nowMs / FINE.stepMs) * FINE.stepMs - FINE.stepMs
      writing = writing.then(() => keep(timeMs, sample))
      notBeforeMs = clock.monotonicMs() + (clock.monotonicMs() - startedMs) / MAX_SHARE - FINE.stepMs
    }
    schedule()
  }

  async function keep(timeMs: number, sample: Sample): Promise<void> {
    try {
      await put(FINE, timeMs, sample)
      const endMs = timeMs + FINE.stepMs
      if (endMs % COARSE.stepMs === 0) await close(endMs - COARSE.stepMs)
    } catch (error) {
      // A full disk, say. What is missing is shown as missing.
      log.warn({ err: asMirrorError(error, 'keep the history') }, 'history.not-kept')
    }
  }

  function put(ring: Ring, timeMs: number, sample: Sample): Promise<void> {
    return values.put(keyOf(ring, timeMs), Buffer.from(JSON.stringify({ t: timeMs, v: sample })))
  }

  async function slot(ring: Ring, timeMs: number): Promise<Slot | undefined> {
    const found = readSlot(await values.get(keyOf(ring, timeMs)))
    return found?.timeMs === timeMs ? found : undefined
  }

  /** Makes the coarse slot that begins then of the fine ones that are there. */
  async function close(fromMs: number): Promise<void> {
    const sample = await merged(fromMs)
    if (sample !== undefined) await put(COARSE, fromMs, sample)
  }

  async function merged(fromMs: number): Promise<Sample | undefined> {
    const samples: Sample[] = []
    for (let timeMs = fromMs; timeMs < fromMs + COARSE.stepMs; timeMs += FINE.stepMs) {
      const found = await slot(FINE, timeMs)
      if (found !== undefined) samples.push(found.sample)
    }
    return samples.length === 0 ? undefined : merge(samples)
  }

  async function* slots(ring: Ring): AsyncGenerator<Slot> {
    for await (const [, bytes] of values.entries({ gte: `${ring.prefix}/`, lt: `${ring.prefix}0` })) {
      const found = readSlot(bytes)
      if (found !== undefined) yield found
    }
  }

  return {
    async start() {
      const ringMs = FINE.stepMs * FINE.slots
      const nowMs = clock.nowMs()
      const openMs = nowMs - (nowMs % COARSE.stepMs)
      for (let fromMs = openMs - ringMs; fromMs < openMs; fromMs += COARSE.stepMs) {
        if ((await slot(COARSE, fromMs)) === undefined) await close(fromMs)
      }
      last = { status: readStatus(), atMs: clock.monotonicMs() }
      schedule()
    },
    async stop() {
      isStopped = true
      cancel()
      await writing
    },
    async read({ series, fromMs, toMs, stepMs }) {
      if (!(stepMs > 0) || stepMs % FINE.stepMs !== 0) {
        throw new MirrorError('invalid', 'step is a multiple of 10 seconds')
      }
      const firstMs = Math.floor(fromMs / stepMs) * stepMs
      const points = Math.max(0, Math.ceil((toMs - firstMs) / stepMs))
      if (points > MAX_POINTS) {
        throw new MirrorError('invalid', `these are ${points} steps; ${MAX_POINTS} are answered at most`, {
          hint: 'Ask for longer steps, or for less.',
        })
      }
      const ring = stepMs % COARSE.stepMs === 0 ? COARSE : FINE
      const steps: Sample[][] = Array.from({ length: points }, () => [])
      const add = (timeMs: number, sample: Sample): void => {
        steps[Math.floor((timeMs - firstMs) / stepMs)]?.push(sample)
      }
      for await (const { timeMs, sample } of slots(ring)) {
        if (timeMs >= firstMs && timeMs < toMs) add(timeMs, sample)
      }
      // The coarse slot whose time is not over yet.
      const openMs = Math.floor(clock.nowMs() / COARSE.stepMs) * COARSE.stepMs
      if (ring === COARSE && openMs >= firstMs && openMs < toMs) {
        const sample = await merged(openMs)
        if (sample !== undefined && (await slot(COARSE, openMs)) === undefined) add(openMs, sample)
      }
      const merging = steps.map((each) => (each.length > 1 ? merge(each) : each[0]))
      return {
        fromMs: firstMs,
        stepMs,
        series: Object.fromEntries(
          series.map((name) => [name, merging.map((each) => readValue(each, name))]),
        ),
      }
    },
    async names() {
      const found = new Set<string>()
      for (const ring of [FINE, COARSE]) {
        for await (const { sample } of slots(ring)) for (const name of Object.keys(sample)) found.add(name)
      }
      return [...found].toSorted()
    },
  }
}

function keyOf({ prefix, stepMs, slots }: Ring, timeMs: number): string {
  return `${prefix}/${String(Math.floor(timeMs / stepMs) % slots).padStart(5, '0')}`
}

/** Undefined for what is no slot: nothing else depends on it, and its time comes again. */
function readSlot(bytes: Uint8Array | undefined): Slot | undefined {
  if (bytes === undefined) return undefined
  try {
    const { t, v } = JSON.parse(Buffer.from(bytes).toString()) as { t?: unknown; v?: unknown }
    if (typeof t === 'number' && isSample(v)) return { timeMs: t, sample: v }
  } catch {
    // Damaged, or of another version.
  }
  return undefined
}

function isSample(value: unknown): value is Sample {
  return typeof value === 'object' && value !== null && Object.values(value).every(Number.isFinite)
}
