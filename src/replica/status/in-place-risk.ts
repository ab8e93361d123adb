/**
 * Which trees of a status document rest on somebody else's files at this site, and whether they are at risk: until
 * another site holds the newest head in full, whoever changes those files loses it for the whole mesh.
 */
import { printableName } from '../../base/bytes.ts'
import type { Backing } from '../../store/block-backings.ts'
import type { StatusDocument, TreeStatus } from './status.ts'

const MIN_COPIES_ELSEWHERE = 1

export function withInPlaceRisks(status: StatusDocument, backings: readonly Backing[]): StatusDocument {
  const paths = new Map(
    backings.filter(({ purpose }) => purpose === 'in-place').map(({ label, path }) => [label, path]),
  )
  if (paths.size === 0) return status
  const describe = (tree: TreeStatus): TreeStatus => {
    const path = paths.get(tree.tree)
    // Nothing is published yet that could be lost.
    if (path === undefined || tree.sequence === null) return tree
    const completeElsewhere = tree.sites.filter(
      ({ site, sequence, isFiltered }) =>
        isFiltered !== true &&
        site !== status.self.site &&
        sequence !== null &&
        tree.sequence !== null &&
        sequence >= tree.sequence,
    ).length
    const isAtRisk = completeElsewhere < MIN_COPIES_ELSEWHERE
    return { ...tree, inPlace: { path: printableName(path), completeElsewhere, isAtRisk } }
  }
  return { ...status, trees: status.trees.map(describe) }
}
