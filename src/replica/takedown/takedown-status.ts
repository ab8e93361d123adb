/** What the status document says of takedowns: which there are, and which sites have carried them out. */
import type { MeshState } from '../../record/mesh-state.ts'
import type { StatusDocument, TakedownStatus } from '../status/status.ts'
import { takedownId } from './takedown-keeper.ts'

/** The same document, with the takedowns in force, newest first. */
export function withTakedowns(status: StatusDocument, state: MeshState): StatusDocument {
  const takedowns = [...state.takedowns.values()]
    .filter(({ body }) => !body.removed)
    .toSorted((a, b) => b.origin.timeMs - a.origin.timeMs)
    .map((takedown): TakedownStatus => {
      const { name, tree, path, reason, snapshots } = takedown.body
      const history = state.trees.get(tree)?.history ?? []
      const id = takedownId(takedown)
      return {
        ...{ name, tree, path, reason, record: takedown.origin.record.toString() },
        issuer: takedown.origin.issuer,
        timeMs: takedown.origin.timeMs,
        sequences: history
          .filter(({ snapshot }) => snapshots.some((each) => each.equals(snapshot)))
          .map(({ sequence }) => sequence),
        sites: status.sites.map(({ site, takedownsDone }) => ({
          site,
          state: takedownsDone === undefined ? 'unknown' : takedownsDone.includes(id) ? 'done' : 'pending',
        })),
      }
    })
  return takedowns.length === 0 ? status : { ...status, takedowns }
}
