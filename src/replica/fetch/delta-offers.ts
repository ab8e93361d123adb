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
    readonly complete: Pick<CompleteSnapshots, 'has'>
  },
  { tree, snapshot }: { readonly tree: string; readonly snapshot: Cid },
): DeltaOffers {
  const name = snapshot.toString()
  return {
    current() {
      const known = ledger.state().trees.get(tree)?.encodings.get(name)
      return known?.find(({ body }) => complete.has(tree, body.base))?.body
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
