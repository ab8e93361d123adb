/** What a publisher says of the deltas that it made. No more than a shape: the answers of the API are of it, and the console reads those. */
export interface DeltaReport {
  /** Of the head whose snapshot the deltas need. */
  readonly baseSequence: number
  /** Plain bytes of the blocks that the base lacks. */
  readonly newBytes: number
  readonly deltas: number
  readonly deltaBytes: number
  /** Of the blocks that the deltas give: plain, and as they would travel without. */
  readonly targetBytes: number
  readonly zstdBytes: number
  readonly seconds: number
  /** Why they are not all that there could be. */
  readonly endedBy?: string
}
