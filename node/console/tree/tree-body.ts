/**
 * The bodies of a tree's records, as the command line makes them: what nobody wants otherwise stays as the record before
 * said it.
 */
import type { TreeDocument } from '../../api/answers.ts'
import type { TakedownPlan } from '../../api/routes/takedown-routes.ts'
import { getJson, Problem } from '../api.ts'
import { compareBytes, linkOf, publicKeyOf, type Value } from '../signing/encode.ts'
import { treePath } from './address.ts'

export type TreeSettings = Pick<TreeDocument, 'kind' | 'readers' | 'gate' | 'keep'>

export const PLAIN: TreeSettings = { kind: 'simple', readers: 'members', gate: null, keep: null }

export function treeBody(
  tree: TreeSettings & Pick<TreeDocument, 'tree' | 'publishers'>,
  version: number,
  { isRemoved = false }: { readonly isRemoved?: boolean } = {},
): Value {
  const { kind, gate, keep } = tree
  return {
    name: tree.tree,
    readers: tree.readers,
    publishers: tree.publishers.map((each) => publicKeyOf(each)).toSorted(compareBytes),
    ...(kind === 'simple' ? {} : { kind }),
    ...(gate === null ? {} : { gate: { ...gate } }),
    ...(keep === null ? {} : { keep: { ...keep } }),
    version,
    removed: isRemoved,
  }
}

export interface NewEpoch {
  readonly tree: string
  readonly epoch: number
  /** CID of the epoch before; null for the first. */
  readonly previous: string | null
  readonly publisher: string
  /** CID of the head that it goes on from; null when there is none. */
  readonly base: string | null
}

export function epochBody({ tree, epoch, previous, publisher, base }: NewEpoch): Value {
  return {
    tree,
    epoch,
    previous: previous === null ? null : linkOf(previous),
    publisher: publicKeyOf(publisher),
    base: base === null ? null : linkOf(base),
  }
}

export function takedownBody(plan: TakedownPlan, reason: string, isLift: boolean): Value {
  return {
    name: plan.name,
    tree: plan.tree,
    snapshots: plan.snapshots.map(linkOf).toSorted((a, b) => compareBytes(a.bytes, b.bytes)),
    path: plan.path,
    through: plan.through,
    reason,
    version: plan.version,
    removed: isLift,
  }
}

/** @param orRemoved one that was deleted, too */
export async function findTree(name: string, orRemoved = false): Promise<TreeDocument | undefined> {
  try {
    return await getJson<TreeDocument>(treePath(name, '', orRemoved ? { removed: 'true' } : {}))
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return undefined
    throw error
  }
}

/**
 * The tree as it is now, when it still is as the user saw it: what is signed must not undo what somebody else has just
 * changed.
 * @throws Error in words for the user
 */
export async function readAgain(seen: TreeDocument): Promise<TreeDocument> {
  const now = await findTree(seen.tree)
  const isSame =
    now !== undefined &&
    now.version === seen.version &&
    now.epoch?.id === seen.epoch?.id &&
    now.isForked === seen.isForked
  if (isSame) return now
  throw new Error(
    `somebody else has changed ${seen.tree} since this was opened: nothing was done, look at it again`,
  )
}
