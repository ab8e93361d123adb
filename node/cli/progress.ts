/**
 * Progress of a long verb, on stderr: nothing for the first two seconds, then a bar on a terminal, or one plain line
 * each ten seconds elsewhere. It never writes to stdout.
 */
import type { Clock } from '../../src/base/clock.ts'
import { formatBytes, formatCount, formatSeconds } from './quantity.ts'
import type { Terminal } from './terminal.ts'

export interface ProgressState {
  /** What is being done now, for example `read`. */
  readonly phase: string
  readonly bytes: number
  readonly totalBytes?: number | undefined
  readonly files?: number | undefined
  readonly totalFiles?: number | undefined
  /** Replaces the sizes, for work that is not measured in bytes. */
  readonly note?: string | undefined
}

export interface Progress {
  update(state: ProgressState): void
  /** Clears the bar. */
  end(): void
}

const QUIET_MS = 2000
const REDRAW_MS = 100
const LINE_MS = 10_000
/** Below it a bar and the numbers of files do not both fit. */
const ROOMY_COLUMNS = 110
const MIN_CELLS = 8

export function createProgress(
  { terminal, clock }: { terminal: Terminal; clock: Clock },
  { title }: { title: string },
): Progress {
  const startMs = clock.monotonicMs()
  const { stream, isTty, columns } = terminal.err
  const isUnicode = /utf-?8/i.test(terminal.env.LC_ALL || terminal.env.LC_CTYPE || terminal.env.LANG || '')
  let state: ProgressState | undefined
  let isDrawn = false
  let rate = createRate(startMs, 0)
  const draw = (): void => {
    if (state !== undefined) {
      const bytesPerSecond = rate.at(clock.monotonicMs())
      if (isTty) stream.write(`\r\x1b[2K${drawBar(title, state, bytesPerSecond, columns, isUnicode)}`)
      else stream.write(`${title}: ${describe(state, bytesPerSecond, true)}\n`)
      isDrawn = true
    }
    cancel = clock.after(isTty ? REDRAW_MS : LINE_MS, draw)
  }
  let cancel = clock.after(isTty ? QUIET_MS : LINE_MS, draw)
  return {
    update(next) {
      // Each phase counts its own bytes, so each has its own rate.
      if (state !== undefined && state.phase !== next.phase)
        rate = createRate(clock.monotonicMs(), next.bytes)
      state = next
      rate.add(clock.monotonicMs(), next.bytes)
    },
    end() {
      cancel()
      if (isTty && isDrawn) stream.write('\r\x1b[2K')
      isDrawn = false
    },
  }
}

function describe(state: ProgressState, bytesPerSecond: number, hasFiles: boolean): string {
  const parts = [state.phase]
  if (state.note !== undefined) parts.push(state.note)
  const isSized = state.totalBytes !== undefined && state.totalBytes > 0
  if (isSized && !hasFiles) {
    // The bar needs the room, and the bytes say the same.
  } else if (state.totalFiles !== undefined && state.totalFiles > 0) {
    parts.push(`${formatCount(state.files ?? 0)} of ${formatCount(state.totalFiles)} files`)
  } else if (state.files !== undefined) {
    parts.push(`${formatCount(state.files)} files`)
  }
  if (state.totalBytes !== undefined && state.totalBytes > 0) {
    const share = Math.floor((100 * Math.min(state.bytes, state.totalBytes)) / state.totalBytes)
    parts.push(`${formatBytes(state.bytes)} of ${formatBytes(state.totalBytes)} (${share} %)`)
  } else if (state.bytes > 0) {
    parts.push(formatBytes(state.bytes))
  }
  if (bytesPerSecond > 0) {
    parts.push(`${formatBytes(bytesPerSecond)}/s`)
    const left = (state.totalBytes ?? 0) - state.bytes
    if (left > 0) parts.push(`${formatSeconds(left / bytesPerSecond)} left`)
  }
  return parts.join(', ')
}

/** Where it is narrow, the numbers of files go first, then the title, and the bar last. */
function drawBar(
  title: string,
  state: ProgressState,
  bytesPerSecond: number,
  columns: number,
  isUnicode: boolean,
): string {
  const { bytes, totalBytes = 0 } = state
  let text = `${title}: ${describe(state, bytesPerSecond, columns >= ROOMY_COLUMNS)}`
  if (text.length + MIN_CELLS + 4 > columns) text = describe(state, bytesPerSecond, false)
  const cells = Math.min(30, columns - text.length - 4)
  if (totalBytes <= 0 || cells < MIN_CELLS) return text.slice(0, columns - 1)
  const full = Math.round((cells * Math.min(bytes, totalBytes)) / totalBytes)
  const [on, off] = isUnicode ? ['█', '░'] : ['#', '-']
  return `[${on.repeat(full)}${off.repeat(cells - full)}] ${text}`
}

/** Mean rate over about the last five seconds. */
function createRate(
  startMs: number,
  startBytes: number,
): { add(nowMs: number, bytes: number): void; at(nowMs: number): number } {
  const samples: { ms: number; bytes: number }[] = [{ ms: startMs, bytes: startBytes }]
  return {
    add(nowMs, bytes) {
      const last = samples.at(-1)
      if (last !== undefined && samples.length > 1 && nowMs - last.ms < 250) return
      samples.push({ ms: nowMs, bytes })
      while (samples.length > 2 && nowMs - samples[0]!.ms > 5000) samples.shift()
    },
    at(nowMs) {
      const first = samples[0]!
      const last = samples.at(-1)!
      const seconds = (nowMs - first.ms) / 1000
      return seconds > 0.2 ? Math.max(0, last.bytes - first.bytes) / seconds : 0
    },
  }
}
