/**
 * How a tree that has no snapshot yet is cut. Sites upgrade one by one: as long as one that was heard of reads no snapshots
 * whose small files lie in their directories, new trees are as it knows them. A tree that has a snapshot goes on as that was cut.
 */
import { type ChunkerParams, DEFAULT_CHUNKER } from '../../block/chunker.ts'
import { SNAPSHOT_VERSION } from '../../dag/snapshot.ts'

/** What a site says, as far as it matters here. */
interface HeardVersion {
  readonly announcement: { readonly version: string; readonly snapshotVersion?: number }
}

/** @param heard by peer, sites that went away included: they come back as they were */
export function chunkerOfNewTrees(heard: ReadonlyMap<string, HeardVersion>): ChunkerParams {
  for (const { announcement } of heard.values()) {
    // Of a site of which only changes were heard so far nothing is known: it is asked for the rest at that moment.
    if (announcement.version === '') continue
    if ((announcement.snapshotVersion ?? 1) < SNAPSHOT_VERSION) return { ...DEFAULT_CHUNKER, inlineBytes: 0 }
  }
  return DEFAULT_CHUNKER
}
