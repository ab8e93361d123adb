/**
 * The check-outs of pins at this site: moves them, tells what lies at their places, and removes the trees that they
 * replaced once their time has come.
 *
 * A check-out is the storage of its blocks, so that a site holds a tree and its check-out in the space of one: the
 * copies in packs become garbage. Not for trees that are published here: until others have a snapshot this is its only
 * copy, and whoever can write to a check-out could spoil it.
 */
import { resolve } from 'node:path'
import type { Clock } from '../../base/clock.ts'
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import type { Semaphore } from '../../base/semaphore.ts'
import type { Cid } from '../../block/cid.ts'
import { cidKey, parseCid } from '../../block/cid.ts'
import type { Snapshot } from '../../dag/snapshot.ts'
import { decodeSnapshot } from '../../dag/snapshot.ts'
import type { MeshState } from '../../record/mesh-state.ts'
import type { BlockStore } from '../../store/block-store.ts'
import { type CheckoutAhead, createCheckoutAhead } from '../../tree/checkout/ahead.ts'
import type { CheckoutResult } from '../../tree/checkout/checkout.ts'
import { checkOut } from '../../tree/checkout/checkout.ts'
import type { CheckoutStorage } from '../../tree/checkout/checkout-storage.ts'
import { createCheckoutStorage } from '../../tree/checkout/checkout-storage.ts'
import { clearLeftovers, isOldTreeDue } from '../../tree/checkout/retire.ts'
import { readMarker, rootIdentity } from '../../tree/manifest/checkout-marker.ts'
import { checkedOutVersion } from '../../tree/versions/version-folder.ts'
import type { KeptVersions } from '../../tree/versions/versions.ts'
import { checkOutVersion, hasDueVersions, pruneVersions } from '../../tree/versions/versions.ts'
import type { ReplicaLog } from '../fetch-network.ts'
import { forgetVanished } from './vanished-checkouts.ts'

export interface CheckoutKeeperComponents {
  readonly blocks: BlockStore
  /** The store as a tree has it, for what is not proven complete; the store itself by default. */
  readonly blocksOf?: (tree: string) => BlockStore
  readonly isPublishedHere: (tree: string) => boolean
  /** The block to read a snapshot from: where it is complete under a path filter, its view's. */
  readonly shown?: (snapshot: Cid) => Cid
  readonly state: () => Pick<MeshState, 'trees'>
  /** A takedown means it. */
  readonly isGone?: (tree: string, snapshot: Cid) => boolean
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
  /** A check-out is written ahead when its tree is fetched for longer than this: a short one gains less than a thread costs. */
  readonly aheadAfterMs?: number
  /** So many check-outs at a time are written while their trees are fetched; none with 0. */
  readonly maxAhead?: number
}

export interface CheckoutMove {
  readonly tree: string
  readonly snapshot: Cid
  readonly path: string
  /** It is a folder of versions, of which so many stay. */
  readonly versions: number | undefined
  /** What was written while the snapshot was on its way. */
  readonly ahead?: CheckoutAhead | undefined
  readonly signal: AbortSignal
}

/** Where a tree is checked out. */
export interface CheckoutPlace {
  readonly tree: string
  readonly path: string
  readonly versions: number | undefined
}

export interface CheckoutKeeper {
  /**
   * Begins to write the check-out at `path` while its tree is fetched. Undefined where that is not done: in a folder of
   * versions, and when as many are written as may be. Its caller closes it.
   */
  begin(request: Pick<CheckoutMove, 'tree' | 'path' | 'versions'>): CheckoutAhead | undefined
  move(request: CheckoutMove): Promise<void>
  /** By the marker beside it: what was killed in the middle of a switch does not count and is made again. */
  checkedOut(tree: string, path: string, versions: number | undefined): string | undefined
  /** Also those that were kept before a restart. */
  removeOldTrees(places: readonly CheckoutPlace[], signal: AbortSignal): Promise<void>
}

export function createCheckoutKeeper(
  {
    blocks,
    blocksOf = () => blocks,
    isPublishedHere,
    shown = (snapshot) => snapshot,
    state,
    isGone,
    checkoutSlots,
    clock,
    logger,
  }: CheckoutKeeperComponents,
  {
    checkoutWorkers,
    checkoutDevices = false,
    keepOldSeconds = 0,
    checkoutsAreStorage = true,
    aheadAfterMs = 0,
    maxAhead = 1,
  }: CheckoutKeeperOptions,
): CheckoutKeeper {
  const storing = createCheckoutStorage({ blocks })
  // What an earlier check-out stored is looked after, whatever holds for the new one.
  const leaving = createCheckoutStorage({ blocks }, { registers: false })
  /** Those that are being written ahead, by path. */
  const aheads = new Map<string, CheckoutAhead>()

  function keptOf(tree: string, versions: number): KeptVersions {
    const tags = state().trees.get(tree)?.tags
    const tagged = new Set([...(tags?.values() ?? [])].map(({ body }) => body.snapshot.toString()))
    return {
      ...{ versions, keepOldSeconds, isTagged: (snapshot) => tagged.has(snapshot) },
      isGone: (snapshot) => isGone?.(tree, parseCid(snapshot)) === true,
    }
  }

  function sequenceOf(tree: string, snapshot: Cid): number {
    const key = cidKey(snapshot)
    const head = state()
      .trees.get(tree)
      ?.history.findLast((each) => cidKey(each.snapshot) === key)
    if (head !== undefined) return head.sequence
    throw new MirrorError('not-found', `no head of ${tree} names the snapshot ${snapshot.toString()}`)
  }

  function sayStaying(tree: string, staying: readonly { readonly path: string; readonly reason: string }[]) {
    for (const { path, reason } of staying) logger.warn({ tree, path, reason }, 'checkout.version-stays')
  }

  async function write(
    { tree, snapshot, path, versions, ahead, signal }: CheckoutMove,
    { root, counts }: Pick<Snapshot, 'root' | 'counts'>,
    storage: CheckoutStorage,
  ): Promise<CheckoutResult | undefined> {
    const options = {
      root,
      devices: checkoutDevices,
      label: {
        tree,
        snapshot: snapshot.toString(),
        ...(shown(snapshot).equals(snapshot) ? {} : { view: shown(snapshot).toString() }),
      },
      counts,
      ...(checkoutWorkers === undefined ? {} : { workers: checkoutWorkers }),
      signal,
    }
    const ports = { blocks, clock, storage }
    if (versions === undefined) {
      return checkOut(ports, { ...options, dest: path, replace: true, keepOldSeconds, ahead })
    }
    const sequence = sequenceOf(tree, snapshot)
    const result = await checkOutVersion(ports, {
      ...options,
      ...keptOf(tree, versions),
      dir: path,
      sequence,
    })
    const { removed, staying } = result
    if (removed.length > 0) logger.info({ tree, path, sequences: removed }, 'checkout.versions-removed')
    sayStaying(tree, staying)
    return result.checkout
  }

  async function prune({ tree, path, versions = 1 }: CheckoutPlace, signal: AbortSignal): Promise<void> {
    const kept = keptOf(tree, versions)
    if (!hasDueVersions(path, kept, clock.nowMs())) return
    const ports = { clock, storage: leaving }
    await checkoutSlots.run(
      async () => {
        const { removed, staying } = await pruneVersions(ports, { dir: path, ...kept, signal })
        if (removed.length > 0) logger.info({ tree, path, sequences: removed }, 'checkout.versions-removed')
        sayStaying(tree, staying)
      },
      1,
      signal,
    )
  }

  return {
    begin({ tree, path, versions }) {
      if (versions !== undefined || aheads.has(path) || aheads.size >= maxAhead) return undefined
      const ahead = createCheckoutAhead(
        { blocks: blocksOf(tree), clock, storage: leaving },
        {
          dest: Buffer.from(resolve(path)),
          afterMs: aheadAfterMs,
          inTurn: (work, signal) => checkoutSlots.run(work, 1, signal),
          onStarted: () => logger.info({ tree, path }, 'checkout.ahead-started'),
          onGivenUp: (err) => logger.info({ tree, path, err }, 'checkout.ahead-given-up'),
          onClosed: () => void aheads.delete(path),
        },
      )
      aheads.set(path, ahead)
      return ahead
    },

    async move(request) {
      const { tree, snapshot: cid, path, signal } = request
      using _lease = blocks.lease({ purpose: `check out ${tree} at ${path}`, roots: [cid] })
      const shownCid = shown(cid)
      const bytes = await blocks.get(shownCid, signal)
      if (bytes === undefined) {
        throw new MirrorError('not-found', `the snapshot block ${cid.toString()} is not stored any more`)
      }
      await forgetVanished({ blocks, logger }, { tree, path, signal })
      const storage = checkoutsAreStorage && !isPublishedHere(tree) ? storing : leaving
      const result = await write(request, decodeSnapshot(shownCid, bytes), storage)
      if (result === undefined) return
      const { notRestored, overridden, dropped } = result
      for (const [event, { count, first }] of [
        ['checkout.overridden', overridden],
        ['checkout.dropped', dropped],
        ['checkout.not-restored', notRestored],
      ] as const) {
        if (count > 0) logger.warn({ tree, path, count, first: first.slice(0, 5) }, event)
      }
    },

    checkedOut(tree, path, versions) {
      if (versions !== undefined) return checkedOutVersion(Buffer.from(path), tree)
      const marker = readMarker(path)
      if (marker?.tree !== tree || marker.roots.length !== 1) return undefined
      if (marker.roots[0] !== rootIdentity(Buffer.from(path)) || marker.snapshot === undefined)
        return undefined
      // Under another filter it is another check-out.
      return shown(parseCid(marker.snapshot)).toString() === (marker.view ?? marker.snapshot)
        ? marker.snapshot
        : undefined
    },

    async removeOldTrees(places, signal) {
      for (const place of places) {
        const { path } = place
        try {
          if (place.versions !== undefined) {
            await prune(place, signal)
            continue
          }
          if (!isOldTreeDue(path, clock.nowMs())) continue
          await checkoutSlots.run(
            async () => {
              const except = aheads.get(path)?.place
              await clearLeftovers(Buffer.from(path), { clock, storage: leaving, except }, signal)
            },
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
