/** Which snapshot a reference means, and its documents. Everything is answered from this node's own records and disk. */
import { MirrorError } from '../../src/base/errors.ts'
import type { PathFilter } from '../../src/base/path-filter.ts'
import type { Cid } from '../../src/block/cid.ts'
import { decodeSnapshot, type Snapshot } from '../../src/dag/snapshot.ts'
import type { Head, TreeState } from '../../src/record/mesh-state.ts'
import type { SnapshotPlace } from './answers.ts'
import type { Services } from './services.ts'

export function findTree(
  { ledger }: Pick<Services, 'ledger'>,
  name: string,
  { orRemoved = false }: { readonly orRemoved?: boolean } = {},
): TreeState {
  const tree = ledger.state().trees.get(name)
  if (tree !== undefined && (orRemoved || !tree.body.removed)) return tree
  throw new MirrorError('not-found', `the mesh has no tree ${JSON.stringify(name.slice(0, 600))}`, {
    hint: 'See: mirrormesh tree list',
  })
}

/**
 * The head that `ref` names: a sequence, `head` for the newest, or a tag. Without one: the newest that is complete
 * here, or the newest of all when none is.
 * @param orBranch also the end of a branch of a tree in dispute, by the id of its snapshot: to be looked at only, for its
 *   sequence may be that of another
 */
export function findHead(
  services: Pick<Services, 'ledger' | 'complete'>,
  name: string,
  ref?: string,
  { orBranch = false }: { readonly orBranch?: boolean } = {},
): Head {
  const tree = findTree(services, name)
  const newest = tree.newest
  if (newest === undefined) {
    throw new MirrorError('not-found', `nothing has been published in ${name} yet`)
  }
  if (ref === undefined) {
    return tree.history.findLast((head) => isHere(services, head)) ?? newest
  }
  if (ref === 'head') return newest
  const tag = tree.tags.get(ref)?.body
  const found = /^\d{1,15}$/.test(ref)
    ? tree.history.find((head) => head.sequence === Number(ref))
    : tree.history.findLast((head) => tag !== undefined && head.snapshot.equals(tag.snapshot))
  if (found !== undefined) return found
  const tip = orBranch ? tree.fork?.tips.find(({ snapshot }) => snapshot.toString() === ref) : undefined
  if (tip !== undefined) return tip
  throw new MirrorError('not-found', `${name} has no ${/^\d+$/.test(ref) ? 'sequence' : 'tag'} ${ref}`, {
    hint: `Its newest sequence is ${newest.sequence}. See: mirrormesh tree history ${name}`,
  })
}

function isHere({ complete }: Pick<Services, 'complete'>, { tree, snapshot }: Head): boolean {
  return complete.has(tree, snapshot) || complete.viewOf(tree, snapshot) !== undefined
}

export interface FoundSnapshot {
  readonly head: Head
  readonly cid: Cid
  /** What is here of it: where a site keeps a part of the tree, its view. */
  readonly snapshot: Snapshot
  /** The snapshot itself. Of a site that keeps a part it has the shape, and not all contents. */
  readonly whole: Snapshot
  /** Which part; absent for all. */
  readonly filter?: PathFilter
  readonly place: SnapshotPlace
}

/**
 * The lease that keeps it whole ends with `held`: the signal of whoever reads it, which fires at the end of a request.
 * @throws MirrorError `degraded` when it is not complete here, so that nobody is shown half of it
 */
export async function findSnapshot(
  services: Pick<Services, 'ledger' | 'complete' | 'blocks'>,
  name: string,
  ref: string | undefined,
  held: AbortSignal,
  options: { readonly orBranch?: boolean } = {},
): Promise<FoundSnapshot> {
  held.throwIfAborted()
  const head = findHead(services, name, ref, options)
  if (!isHere(services, head)) {
    throw new MirrorError('degraded', `${name}@${head.sequence} is not complete at this site`, {
      hint: 'See `mirrormesh status` for where it is, and what is missing here.',
    })
  }
  // In the same breath as the question whether it is complete.
  const lease = services.blocks.lease({
    ...{ purpose: `read ${name}@${head.sequence}`, roots: [head.snapshot] },
    mayBeEnded: true,
  })
  held.addEventListener('abort', () => lease.close(), { once: true })
  const view = services.complete.viewOf(name, head.snapshot)
  const bytes = await services.blocks.get(head.snapshot)
  const viewBytes = view === undefined ? bytes : await services.blocks.get(view.cid)
  if (bytes === undefined || viewBytes === undefined) {
    throw new MirrorError(
      'corrupt',
      `the snapshot block of ${name}@${head.sequence} is missing on this disk`,
      {
        hint: `Check the disk. See: mirrormesh verify ${name}@${head.sequence}`,
      },
    )
  }
  const whole = decodeSnapshot(head.snapshot, bytes)
  return {
    ...{ head, cid: head.snapshot, whole, place: placeOf(head) },
    snapshot: view === undefined ? whole : decodeSnapshot(view.cid, viewBytes),
    ...(view === undefined ? {} : { filter: view.filter }),
  }
}

/**
 * As `findSnapshot`, and `pending` (where no tag is called so) is what this node holds back of the tree, as the head that it
 * would be. To look at, and for nothing else.
 */
export async function findShown(
  services: Pick<Services, 'ledger' | 'complete' | 'blocks' | 'heldBackOf'>,
  name: string,
  ref: string | undefined,
  held: AbortSignal,
): Promise<FoundSnapshot> {
  if (ref !== 'pending' || findTree(services, name).tags.has(ref))
    return findSnapshot(services, name, ref, held, { orBranch: true })
  const pending = services.heldBackOf(name)
  const before = findTree(services, name).newest
  if (pending === undefined || before?.id.equals(pending.previous) !== true)
    throw new MirrorError('not-found', `nothing is held back of ${name} at this site`, {
      hint: `It is shown where its publisher's node is. See: mirrormesh tree pending ${name}`,
    })
  held.throwIfAborted()
  const lease = services.blocks.lease({
    ...{ purpose: `read ${name}@pending`, roots: [pending.snapshot] },
    mayBeEnded: true,
  })
  held.addEventListener('abort', () => lease.close(), { once: true })
  const bytes = await services.blocks.get(pending.snapshot)
  if (bytes === undefined)
    throw new MirrorError(
      'corrupt',
      `the snapshot block of what is held back of ${name} is missing on this disk`,
    )
  const snapshot = decodeSnapshot(pending.snapshot, bytes)
  const head = { ...before, sequence: before.sequence + 1, snapshot: pending.snapshot }
  return { head, cid: pending.snapshot, snapshot, whole: snapshot, place: placeOf(head) }
}

export function placeOf({ tree, epoch, sequence, snapshot }: Head): SnapshotPlace {
  return { tree, epoch, sequence, snapshot: snapshot.toString() }
}
