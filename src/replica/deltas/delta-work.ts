/** What is asked of the making of deltas, and what it answers. */
import type { Cid } from '../../block/cid.ts'
import type { NodeSource } from '../../dag/source.ts'
import type { MadeDelta } from '../../delta/delta.ts'
import type { EncodingsBody } from '../../record/kinds/encodings.ts'
import type { DeltaMode } from './delta-mode.ts'
import type { DeltaReport } from './delta-report.ts'

export type MakeDeltas = (
  components: { readonly source: NodeSource },
  options: {
    readonly target: Cid
    readonly base: Cid
    readonly signal?: AbortSignal
    readonly workers?: number
  },
) => AsyncIterable<MadeDelta>

export interface DeltaRequest {
  readonly tree: string
  readonly snapshot: Cid
  readonly base: Cid
  readonly baseSequence: number
  readonly mode: Exclude<DeltaMode, 'off'>
  readonly onProgress?: (progress: { readonly bytes: number; readonly totalBytes: number }) => void
}

export interface DeltaWork {
  /** Nothing, where there was too little to do. Never rejects but for what `before` waits for: see `start`. */
  readonly done: Promise<DeltaReport | undefined>
  /** What the record beside the head of this sequence says of them; undefined when it is not to say anything yet. */
  announcement(sequence: number): EncodingsBody | undefined
  /** That head is signed, and the record beside it: from now on others may be told of the deltas. */
  published(sequence: number): void
}
