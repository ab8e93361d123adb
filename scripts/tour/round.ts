/** One round of the tour: what was published, what moved, what was found. */
import type { Comparison } from './compare.ts'
import type { TrafficFacts } from './status.ts'

export interface Published {
  readonly sequence: number
  readonly snapshot: string
  readonly files: number
  readonly bytes: number
  readonly blocks: number
  readonly newBlocks: number
  readonly newBytes: number
  readonly seconds: number
  readonly uncaptured?: {
    readonly count: number
    readonly first: readonly { path: string; reason: string }[]
  }
}

export interface Check {
  readonly name: string
  readonly ok: boolean
  readonly detail: string
}

export interface Round extends TrafficFacts {
  readonly name: string
  readonly published: Published
  /** From the start of `publish` until every site was complete. */
  readonly seconds: number
  readonly copies: readonly (Comparison & {
    readonly site: string
    readonly checkout: string
    readonly seconds: number
  })[]
  readonly checks: readonly Check[]
}
