/** The trees as the gateway serves them, out of the records and of what is complete here. */
import type { CompleteSnapshots } from '../src/replica/complete-snapshots.ts'
import type { Ledger } from '../src/replica/ledger.ts'
import type { Catalogue } from './gateway/version.ts'

export function createCatalogue({
  ledger,
  complete,
}: {
  ledger: Pick<Ledger, 'state'>
  complete: Pick<CompleteSnapshots, 'has'>
}): Catalogue {
  return {
    names: () =>
      [...ledger.state().trees.values()].filter((tree) => !tree.body.removed).map((tree) => tree.name),
    tree(name) {
      const tree = ledger.state().trees.get(name)
      if (tree === undefined || tree.body.removed) return undefined
      return {
        name,
        versions: tree.history,
        tags: new Map(
          [...tree.tags].map(
            ([
              tag,
              {
                body: { sequence, snapshot },
                origin: { timeMs },
              },
            ]) => [tag, { sequence, snapshot, timeMs }],
          ),
        ),
        isComplete: (snapshot) => complete.has(name, snapshot),
      }
    },
  }
}
