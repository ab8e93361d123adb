/**
 * A check-out as the storage of its blocks: the files that were written hold them, and their copies in packs become
 * garbage. So a tree that moves on must not take along what a retained snapshot still needs.
 *
 *   beforeSwitch   what was written, still in its staging place, becomes a backing; it and the tree that it replaces
 *                  name both places, so that blocks are found wherever a kill leaves the two
 *   afterSwitch    each names the place where it is now
 *   beforeRemoval  what is needed of a tree, and lies nowhere else, is copied into packs; then it may go
 *
 * Of an update most files are those of the tree before, under a second name. They stay in its backing, which is of both
 * trees from then on: its mark names both, and whichever of the two goes, it is found in the other. What is not in the
 * new tree leaves it before (carried-files.ts), for a backing of the old tree alone; what is new gets one of its own,
 * which the first takes in after the switch. Each step is whole by itself: a kill leaves some backings more, each of a
 * tree that is there, and the next check-out gathers them. One that is given up may have taken blocks of files that stay:
 * the next registers all.
 *
 * Where two renames stand in for an exchange the old tree lies at a third place for a while: `find` looks beside.
 * Local changes in a check-out make blocks missing, like a fault of the disk.
 */
import { isMirrorError, MirrorError } from '../../base/errors.ts'
import type { Entry } from '../../dag/entry.ts'
import type { Backing, IsNeeded } from '../../store/block-backings.ts'
import type { BlockStore } from '../../store/block-store.ts'
import { rootIdentity } from '../manifest/checkout-marker.ts'
import { commitFiles } from './backed-files.ts'
import {
  backingsAbout,
  backingsAt,
  checkouts,
  findBeside,
  firstTreeOf,
  isIncomplete,
  isInPlace,
  markOfBoth,
  markOfOne,
  placeBeside,
} from './backed-trees.ts'
import type { LeftBlocks } from './carried-files.ts'
import { leaveBehind } from './carried-files.ts'
import type { WrittenFile } from './written-files.ts'

export interface FinishedTree {
  readonly root: Entry
  readonly staging: Buffer
  readonly dest: Buffer
  /** Those of it that hold blocks. */
  readonly files: Iterable<WrittenFile>
  /** Most of its files were taken over from the tree at `dest`: what is registered of them stays so. */
  readonly isUpdate?: boolean
  /** Whether something else is there than the snapshot's entry: the users' own. */
  readonly isLocal?: (path: Uint8Array, type: Entry['type']) => boolean
  /** What the backing is said to be of, such as the tree's name. */
  readonly label?: string
  readonly signal?: AbortSignal | undefined
}

export interface CheckoutStorage {
  /** The tree at `staging` is written and synced. */
  beforeSwitch(finished: FinishedTree): Promise<void>
  /** @param old where the replaced tree lies now */
  afterSwitch(switched: { readonly dest: Buffer; readonly old: Buffer | undefined }): Promise<void>
  /**
   * Of a replaced tree, of a staging place that is given up, of what a killed check-out left.
   * @throws MirrorError when blocks could not be copied: the tree must stay
   */
  beforeRemoval(target: Buffer, signal?: AbortSignal): Promise<void>
  /** After a kill, before anything is read: trees that are at neither of the places they name. */
  find(): Promise<void>
}

export function createCheckoutStorage(
  { blocks }: { readonly blocks: BlockStore },
  {
    isNeeded = async (cids) => cids.map(() => true),
    registers = true,
  }: {
    readonly isNeeded?: IsNeeded
    /** False: a new check-out becomes no storage; those that are it already are looked after. */
    readonly registers?: boolean
  } = {},
): CheckoutStorage {
  const { backings } = blocks

  /** The backings of the tree at `path` name it, and nothing else. */
  async function settle(path: Buffer): Promise<Backing[]> {
    const identity = rootIdentity(path)
    for (const each of backingsAt(backings, path)) {
      const mark = markOfOne(each, identity!)
      if (each.alternative !== undefined || each.mark !== mark || !path.equals(each.path))
        await backings.setPaths(each.id, { path }, mark)
    }
    return backingsAt(backings, path)
  }

  /** All that is registered of the tree at `path` is in one backing: the oldest, which has most of it. */
  async function gather(path: Buffer): Promise<Backing | undefined> {
    const [first, ...others] = (await settle(path)).toSorted((a, b) => a.id - b.id)
    for (const { id, label } of others) if (label === first!.label) await backings.absorb(first!.id, id)
    return first
  }

  /** What cannot be gathered now stands in nobody's way: the next check-out does it. */
  async function tryGather(path: Buffer): Promise<void> {
    try {
      await gather(path)
    } catch (error) {
      if (!isMirrorError(error)) throw error
    }
  }

  /** @returns what has left, for which a file that stays may be needed */
  async function carryOver(
    before: Backing,
    { staging, dest, isLocal, signal }: FinishedTree,
  ): Promise<LeftBlocks> {
    let left: number | undefined
    return leaveBehind(
      { blocks, backings },
      {
        from: before.id,
        to: async () => (left ??= await backings.create({ ...before, path: dest, alternative: staging })),
        staging,
        isLocal: (below) => isLocal?.(below, 'file') === true,
        signal,
      },
    )
  }

  return {
    async beforeSwitch(finished) {
      const {
        root,
        staging,
        dest,
        files,
        isUpdate = false,
        isLocal = () => false,
        label = '',
        signal,
      } = finished
      const before = await gather(dest)
      for (const { id } of backingsAt(backings, dest))
        await backings.setPaths(id, { path: dest, alternative: staging })
      if (root.type === 'symlink' || !registers) return
      const mark = rootIdentity(staging)
      if (mark === undefined) throw new MirrorError('internal', 'a check-out was lost before its switch')
      const isKept = isUpdate && before?.label === label && !isIncomplete(before)
      const kept = isKept ? before : undefined
      const left = kept && (await carryOver(kept, finished))
      let id: number | undefined
      const backing = async (): Promise<number> =>
        (id ??= await backings.create({
          purpose: 'check-out',
          label,
          mark,
          path: staging,
          alternative: dest,
        }))
      // Without files as well: a check-out is seen to be its blocks' storage.
      if (kept === undefined) await backing()
      await commitFiles(
        { blocks, backings },
        { backing, files: registered(files, left, (below) => isLocal(below, 'file')), dir: staging, signal },
      )
      if (kept === undefined) return
      await backings.setPaths(
        kept.id,
        { path: dest, alternative: staging },
        markOfBoth(firstTreeOf(kept), mark),
      )
    },

    async afterSwitch({ dest, old }) {
      // First what is of both trees: from then on it is of the new one.
      await settle(dest)
      if (old !== undefined) await settle(old)
      await tryGather(dest)
    },

    async beforeRemoval(target, signal) {
      const about = backingsAbout(backings, target)
      const places = about.map((each) => placeBeside(each, target))
      const goes = places.some((place) => place === undefined)
      const staying = new Map<string, Buffer>()
      for (const [i, each] of about.entries()) {
        const place = places[i]
        if (place === undefined) continue
        // What is copied into packs below may be of files that it holds too.
        const isGivenUp = goes && place.mark === firstTreeOf(each)
        await backings.setPaths(each.id, { path: place.path }, markOfOne(each, place.mark, isGivenUp))
        staying.set(place.path.toString('latin1'), place.path)
      }
      for (const [i, each] of about.entries()) {
        if (places[i] !== undefined) continue
        // Gone from both places is as well: what can be saved is, and the rest is reported.
        if (!target.equals(each.path))
          await backings.setPaths(each.id, { path: target, alternative: each.path })
        await backings.evacuate(each.id, isNeeded, signal)
      }
      for (const path of staying.values()) await tryGather(path)
    },

    async find() {
      for (const each of checkouts(backings)) {
        if (isInPlace(each)) continue
        const path = findBeside(each)
        if (path !== undefined) await backings.setPaths(each.id, { path })
      }
    },
  }
}

/** What is to be committed: what is there for the first time, and what holds a block that left its other file. */
async function* registered(
  files: Iterable<WrittenFile>,
  left: LeftBlocks | undefined,
  isLocal: (below: Uint8Array) => boolean,
): AsyncGenerator<WrittenFile, void, undefined> {
  for (const file of files) {
    if (isLocal(file.below)) continue
    if (left === undefined || !file.isTaken || (await left.isHeldBy(file))) yield file
  }
}
