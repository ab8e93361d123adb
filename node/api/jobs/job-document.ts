/** A long job as the API shows it. Plain types: the CLI loads this file too. */

export type JobKind =
  | 'publish'
  | 'drop-versions'
  | 'roll-back'
  | 'wait'
  | 'checkout'
  | 'verify'
  | 'adopt'
  | 'drop-backing'
  | 'collect'
  | 'scrub'

export interface JobProgress {
  readonly phase: string
  readonly bytes: number
  readonly totalBytes?: number
  readonly files?: number
  readonly totalFiles?: number
  readonly note?: string
}

/** RFC 9457, with the code, the facts and the hint of the MirrorError. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: string
  readonly hint?: string
  readonly facts?: Readonly<Record<string, unknown>>
}

export interface JobDocument {
  readonly id: string
  readonly kind: JobKind
  readonly state: 'running' | 'done' | 'failed' | 'cancelled'
  readonly startedMs: number
  readonly endedMs?: number
  readonly progress?: JobProgress
  readonly result?: unknown
  readonly problem?: Problem
}
