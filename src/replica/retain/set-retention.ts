/**
 * Which sets of deltas stay at this site: those of which both snapshots stay, the newest first, as long as they take no more
 * than their share of the tree. Pure; whoever has none of a set loses nothing by its being named.
 */
import type { Cid } from '../../block/cid.ts'
import { cidKey } from '../../block/cid.ts'
import type { TreeState } from '../../record/mesh-state.ts'
import type { RetentionPlan } from './retention.ts'

export interface SetRetentionOptions {
  /** Of the bytes of a tree's newest snapshot; a tenth by default. */
  readonly maxDeltaShare?: number
}

export interface TreesWithDeltas {
  readonly trees: ReadonlyMap<string, Pick<TreeState, 'encodings' | 'newest'>>
}

export function planSets(
  { trees }: TreesWithDeltas,
  { kept }: Pick<RetentionPlan, 'kept'>,
  { maxDeltaShare = 0.1 }: SetRetentionOptions = {},
): Cid[] {
  const sets: Cid[] = []
  for (const [name, held] of Map.groupBy(kept, ({ tree }) => tree)) {
    const tree = trees.get(name)
    if (tree === undefined) continue
    const stays = new Set(held.map(({ snapshot }) => cidKey(snapshot)))
    const counts = tree.newest?.counts
    let leftBytes = maxDeltaShare * (counts?.blockBytes ?? counts?.bytes ?? Number.POSITIVE_INFINITY)
    const candidates = held
      .flatMap(({ snapshot }) => tree.encodings.get(snapshot.toString()) ?? [])
      .filter(({ body }) => body.set !== null && stays.has(cidKey(body.base)))
      .toSorted((a, b) => b.body.sequence - a.body.sequence || b.baseSequence - a.baseSequence)
    for (const { body } of candidates) {
      leftBytes -= body.bytes
      if (leftBytes < 0) break
      sets.push(body.set!)
    }
  }
  return sets
}
