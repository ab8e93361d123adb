import type { PathFilter } from '../../base/path-filter.ts'
import type { Cid } from '../../block/cid.ts'
import type { SnapshotEncodings } from '../../record/mesh-state.ts'
import type { CompleteSnapshots } from '../holdings/complete-snapshots.ts'
import type { Ledger } from '../records/ledger.ts'
import type { DeltaOffers } from './delta-feed.ts'

/** Of what a site says of itself what it holds: of each tree one that is complete, and the sequences of others, or runs of all. */
interface HeardTrees {
  readonly announcement: {
    readonly trees: readonly {
      readonly tree: string
      readonly completeSnapshot: string | null
      readonly alsoComplete: readonly number[]
      readonly completeRuns?: readonly (readonly [from: number, to: number])[]
    }[]
  }
}

/**
 * What the records offer for a snapshot: the set against the newest base that is complete here; and where there is none, those
 * against bases that others say they hold.
 */
export function createDeltaOffers(
  {
    ledger,
    complete,
    heard,
  }: {
    readonly ledger: Pick<Ledger, 'state' | 'subscribe'>
    readonly complete: Pick<CompleteSnapshots, 'holds'>
    readonly heard: () => ReadonlyMap<string, HeardTrees>
  },
  {
    tree,
    snapshot,
    filter,
  }: {
    readonly tree: string
    readonly snapshot: Cid
    /** What is fetched of it: a base is one of which as much is here. */
    readonly filter: PathFilter | undefined
  },
): DeltaOffers {
  const name = snapshot.toString()
  const known = (): readonly SnapshotEncodings[] => ledger.state().trees.get(tree)?.encodings.get(name) ?? []

  function holdersOf({ body: { base }, baseSequence }: SnapshotEncodings): ReadonlySet<string> {
    const holders = new Set<string>()
    for (const [peer, { announcement }] of heard()) {
      const said = announcement.trees.find((each) => each.tree === tree)
      if (said !== undefined && saysHolds(said, base.toString(), baseSequence)) holders.add(peer)
    }
    return holders
  }

  return {
    current: () => known().find(({ body }) => complete.holds(tree, body.base, filter))?.body,
    elsewhere: () => known().map((each) => ({ ...each.body, holders: holdersOf(each) })),
    onChange: (listener) =>
      ledger.subscribe(({ effects }) => {
        const isOurs = effects.some(
          (effect) => effect.kind === 'encodings' && effect.tree === tree && effect.snapshot === name,
        )
        if (isOurs) listener()
      }),
  }
}

/** A site that keeps a part of the tree says it of that part; who asks counts on those alone that want what it wants. */
function saysHolds(
  { completeSnapshot, alsoComplete, completeRuns = [] }: HeardTrees['announcement']['trees'][number],
  snapshot: string,
  sequence: number,
): boolean {
  return (
    completeSnapshot === snapshot ||
    alsoComplete.includes(sequence) ||
    completeRuns.some(([from, to]) => from <= sequence && sequence <= to)
  )
}
