/** What a scrub has read and found. No more than a shape: the answer of the API is of it. */
export interface ScrubReport {
  readonly packs: number
  readonly bytes: number
  readonly blocks: number
  /** Copies that were wrong, reported and forgotten. */
  readonly damagedBlocks: number
  /** Packs that the disk could not read in full. */
  readonly unreadablePacks: number
  /** Folders outside of the store whose blocks were read. */
  readonly backings: number
  /** Of these, the ones that were not found or could not be read in full. */
  readonly unreadableBackings: number
}
