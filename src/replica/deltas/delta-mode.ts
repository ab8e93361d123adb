/** When the head goes out: after all deltas are made, while they are made, or before, with no word of them until they are. */
export const DELTA_MODES = ['before', 'along', 'after', 'off'] as const
export type DeltaMode = (typeof DELTA_MODES)[number]
