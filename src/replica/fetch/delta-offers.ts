import type { PathFilter } from '../../base/path-filter.ts'
import type { Cid } from '../../block/cid.ts'
import type { CompleteSnapshots } from '../holdings/complete-snapshots.ts'
import type { Ledger } from '../records/ledger.ts'
import type { DeltaOffers } from './delta-feed.ts'

/** What the records offer for a snapshot: the set against the newest base that is complete here. */
export function createDeltaOffers(
  {
    ledger,
    complete,
  }: {
    readonly ledger: Pick<Ledger, 'state' | 'subscribe'>
    readonly complete: Pick<CompleteSnapshots, 'holds'>
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
  return {
    current() {
      const known = ledger.state().trees.get(tree)?.encodings.get(name)
      return known?.find(({ body }) => complete.holds(tree, body.base, filter))?.body
    },
    onChange: (listener) =>
      ledger.subscribe(({ effects }) => {
        const isOurs = effects.some(
          (effect) => effect.kind === 'encodings' && effect.tree === tree && effect.snapshot === name,
        )
        if (isOurs) listener()
      }),
  }
}
