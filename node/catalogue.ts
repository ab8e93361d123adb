/** The trees as the gateway serves them, out of the records and of what is complete here. */
import type { Cid } from '../src/block/cid.ts'
import type { TreeState } from '../src/record/mesh-state.ts'
import type { CompleteSnapshots } from '../src/replica/holdings/complete-snapshots.ts'
import type { Ledger } from '../src/replica/records/ledger.ts'
import type { Catalogue } from './gateway/version.ts'

export function createCatalogue({
  ledger,
  complete,
  isGone = () => false,
}: {
  ledger: Pick<Ledger, 'state'>
  complete: Pick<CompleteSnapshots, 'has' | 'viewOf'>
  /** A takedown means it: it is served no more. */
  isGone?: (tree: string, snapshot: Cid) => boolean
}): Catalogue {
  return {
    names: () =>
      [...ledger.state().trees.values()].filter((tree) => !tree.body.removed).map((tree) => tree.name),
    isPrivate(name) {
      const tree = ledger.state().trees.get(name)
      return tree === undefined || tree.body.removed ? undefined : isPrivate(tree)
    },
    tree(name) {
      const tree = ledger.state().trees.get(name)
      if (tree === undefined || tree.body.removed) return undefined
      return {
        name,
        isPrivate: isPrivate(tree),
        versions: tree.history.filter(({ snapshot }) => !isGone(name, snapshot)),
        tags: new Map(
          [...tree.tags]
            .filter(([, { body }]) => !isGone(name, body.snapshot))
            .map(
              ([
                tag,
                {
                  body: { sequence, snapshot },
                  origin: { timeMs },
                },
              ]) => [tag, { sequence, snapshot, timeMs }],
            ),
        ),
        isComplete: (snapshot) =>
          complete.has(name, snapshot) || complete.viewOf(name, snapshot) !== undefined,
        filterOf: (snapshot) => complete.viewOf(name, snapshot)?.filter,
      }
    },
  }
}

/** What is not said to be for all members is not for everybody. */
function isPrivate({ body }: Pick<TreeState, 'body'>): boolean {
  const readers: string = body.readers
  return readers !== 'members'
}
