/**
 * The check-outs of pins at this site: moves them, tells what lies at their places, and removes the trees that they
 * replaced once their time has come.
 *
 * A check-out is the storage of its blocks, so that a site holds a tree and its check-out in the space of one: the
 * copies in packs become garbage. Not for trees that are published here: until others have a snapshot this is its only
 * copy, and whoever can write to a check-out could spoil it.
 */
import type { Clock } from '../base/clock.ts'
import { asMirrorError, MirrorError } from '../base/errors.ts'
import type { Semaphore } from '../base/semaphore.ts'
import type { Cid } from '../block/cid.ts'
import { decodeSnapshot } from '../dag/snapshot.ts'
import type { BlockStore } from '../store/block-store.ts'
import { checkOut } from '../tree/checkout.ts'
import { readMarker, rootIdentity } from '../tree/checkout-marker.ts'
import { createCheckoutStorage } from '../tree/checkout-storage.ts'
import { clearLeftovers, isOldTreeDue } from '../tree/retire.ts'
import type { ReplicaLog } from './fetch-network.ts'

export interface CheckoutKeeperComponents {
  readonly blocks: BlockStore
  readonly isPublishedHere: (tree: string) => boolean
  readonly checkoutSlots: Semaphore
  readonly clock: Clock
  readonly logger: ReplicaLog
}

export interface CheckoutKeeperOptions {
  /** Threads of a check-out; its own choice when absent. */
  readonly checkoutWorkers?: number
  /** This site agrees to device nodes in its check-outs. */
  readonly checkoutDevices?: boolean
  /** How long a tree that a check-out replaced stays beside it. */
  readonly keepOldSeconds?: number
  /** Blocks that lie in a check-out stay there alone. */
  readonly checkoutsAreStorage?: boolean
}

export interface CheckoutMove {
  readonly tree: string
  readonly snapshot: Cid
  readonly path: string
  readonly signal: AbortSignal
}

export interface CheckoutKeeper {
  move(request: CheckoutMove): Promise<void>
  /** By the marker beside it: what was killed in the middle of a switch does not count and is made again. */
  checkedOut(tree: string, path: string): string | undefined
  /** Also those that were kept before a restart. */
  removeOldTrees(paths: readonly string[], signal: AbortSignal): Promise<void>
}

export function createCheckoutKeeper(
  { blocks, isPublishedHere, checkoutSlots, clock, logger }: CheckoutKeeperComponents,
  {
    checkoutWorkers,
    checkoutDevices = false,
    keepOldSeconds = 0,
    checkoutsAreStorage = true,
  }: CheckoutKeeperOptions,
): CheckoutKeeper {
  const storing = createCheckoutStorage({ blocks })
  // What an earlier check-out stored is looked after, whatever holds for the new one.
  const leaving = createCheckoutStorage({ blocks }, { registers: false })

  return {
    async move({ tree, snapshot: cid, path, signal }) {
      using _lease = blocks.lease({ purpose: `check out ${tree} at ${path}`, roots: [cid] })
      const bytes = await blocks.get(cid, signal)
      if (bytes === undefined) {
        throw new MirrorError('not-found', `the snapshot block ${cid.toString()} is not stored any more`)
      }
      const { root, counts } = decodeSnapshot(cid, bytes)
      const storage = checkoutsAreStorage && !isPublishedHere(tree) ? storing : leaving
      const { notRestored, overridden, dropped } = await checkOut(
        { blocks, clock, storage },
        {
          root,
          dest: path,
          replace: true,
          devices: checkoutDevices,
          label: { tree, snapshot: cid.toString() },
          counts,
          keepOldSeconds,
          ...(checkoutWorkers === undefined ? {} : { workers: checkoutWorkers }),
          signal,
        },
      )
      for (const [event, { count, first }] of [
        ['checkout.overridden', overridden],
        ['checkout.dropped', dropped],
        ['checkout.not-restored', notRestored],
      ] as const) {
        if (count > 0) logger.warn({ tree, path, count, first: first.slice(0, 5) }, event)
      }
    },

    checkedOut(tree, path) {
      const marker = readMarker(path)
      if (marker?.tree !== tree || marker.roots.length !== 1) return undefined
      return marker.roots[0] === rootIdentity(Buffer.from(path)) ? marker.snapshot : undefined
    },

    async removeOldTrees(paths, signal) {
      for (const path of paths) {
        try {
          if (!isOldTreeDue(path, clock.nowMs())) continue
          await checkoutSlots.run(
            async () => void (await clearLeftovers(Buffer.from(path), { clock, storage: leaving }, signal)),
            1,
            signal,
          )
        } catch (error) {
          if (signal.aborted) return
          logger.warn({ path, err: asMirrorError(error, 'remove an old tree') }, 'checkout.old-tree-stays')
        }
      }
    },
  }
}
