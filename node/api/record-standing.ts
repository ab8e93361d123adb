/** Whether what a record says is what the mesh goes by now. */
import type { MeshState, Origin } from '../../src/record/mesh-state.ts'
import type { VerifiedRecord } from '../../src/record/record.ts'

/**
 * False when a later version has taken its place, a concurrent one has won over it, or it never counted. Null for kinds of which
 * each record stands for itself.
 */
export function isInForce(
  state: MeshState,
  { content, id }: Pick<VerifiedRecord, 'content' | 'id'>,
): boolean | null {
  const isIt = (found: { readonly origin: Origin } | undefined): boolean =>
    found?.origin.record.equals(id) === true
  switch (content.kind) {
    case 'tree':
      return isIt(state.trees.get(content.body.name))
    case 'tag': {
      const tree = state.trees.get(content.body.tree)
      return isIt(tree?.tags.get(content.body.tag) ?? tree?.removedTags.get(content.body.tag))
    }
    case 'pin':
      return isIt(state.pins.get(content.body.name) ?? state.removedPins.get(content.body.name))
    case 'site':
      return isIt(state.sites.get(content.body.site))
    case 'topology':
      return isIt(state.topology)
    case 'grant':
      return [...state.grants.values()].some((grants) => grants.some(isIt))
    default:
      return null
  }
}
