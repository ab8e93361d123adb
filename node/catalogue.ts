/**
 * The trees as the gateway serves them, out of the records and of what is complete here. A tree is put together once and
 * kept until anything has changed: with a long history that would cost more than all else that a request does.
 */
import type { TreeState } from '../src/record/mesh-state.ts'
import type { CompleteSnapshots } from '../src/replica/holdings/complete-snapshots.ts'
import type { Ledger } from '../src/replica/records/ledger.ts'
import type { TakedownKeeper } from '../src/replica/takedown/takedown-keeper.ts'
import type { Catalogue, ServedTree } from './gateway/version.ts'

export function createCatalogue({
  ledger,
  complete,
  takedowns,
}: {
  ledger: Pick<Ledger, 'state' | 'revision'>
  complete: Pick<CompleteSnapshots, 'has' | 'viewOf' | 'revision'>
  /** A takedown means it: it is served no more. */
  takedowns: Pick<TakedownKeeper, 'isGone' | 'revision'>
}): Catalogue {
  const revision = (): number => ledger.revision() + complete.revision() + takedowns.revision()
  const kept = new Map<string, ServedTree>()
  let keptRevision = -1

  function treeOf(name: string): ServedTree | undefined {
    const tree = ledger.state().trees.get(name)
    if (tree === undefined || tree.body.removed) return undefined
    const { isGone } = takedowns
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
      isComplete: (snapshot) => complete.has(name, snapshot) || complete.viewOf(name, snapshot) !== undefined,
      filterOf: (snapshot) => complete.viewOf(name, snapshot)?.filter,
    }
  }

  return {
    names: () =>
      [...ledger.state().trees.values()].filter((tree) => !tree.body.removed).map((tree) => tree.name),
    isPrivate(name) {
      const tree = ledger.state().trees.get(name)
      return tree === undefined || tree.body.removed ? undefined : isPrivate(tree)
    },
    tree(name) {
      const now = revision()
      if (now !== keptRevision) kept.clear()
      keptRevision = now
      const known = kept.get(name) ?? treeOf(name)
      // A name of no tree is not kept: clients make those up.
      if (known !== undefined) kept.set(name, known)
      return known
    },
    revision,
  }
}

/** What is not said to be for all members is not for everybody. */
function isPrivate({ body }: Pick<TreeState, 'body'>): boolean {
  const readers: string = body.readers
  return readers !== 'members'
}
