/** How far an import or a check-out has come, told at most ten times a second. */
import type { Clock } from '../base/clock.ts'

export interface TreeProgress {
  readonly phase: 'scan' | 'read' | 'write' | 'finish'
  readonly files: number
  readonly totalFiles?: number
  readonly bytes: number
  readonly totalBytes?: number
}

export type OnProgress = (progress: TreeProgress) => void

const INTERVAL_MS = 100

export interface Progress {
  /** More of the whole is known. */
  find(files: number, bytes: number): void
  add(phase: TreeProgress['phase'], files: number, bytes: number): void
  enter(phase: TreeProgress['phase']): void
  stop(): void
}

export function createProgress(clock: Clock, onProgress: OnProgress | undefined): Progress {
  const total = { files: 0, bytes: 0 }
  const done = { files: 0, bytes: 0 }
  let phase: TreeProgress['phase'] = 'scan'
  let cancel: (() => void) | undefined

  function tell(): void {
    cancel = undefined
    onProgress?.({
      phase,
      files: done.files,
      totalFiles: total.files,
      bytes: done.bytes,
      totalBytes: total.bytes,
    })
  }

  function tellSoon(): void {
    if (onProgress !== undefined) cancel ??= clock.after(INTERVAL_MS, tell)
  }

  return {
    find(files, bytes) {
      total.files += files
      total.bytes += bytes
      tellSoon()
    },
    add(newPhase, files, bytes) {
      phase = newPhase
      done.files += files
      done.bytes += bytes
      tellSoon()
    },
    enter(newPhase) {
      phase = newPhase
      cancel?.()
      if (onProgress !== undefined) tell()
    },
    stop() {
      cancel?.()
      cancel = undefined
    },
  }
}
