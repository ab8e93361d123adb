/**
 * Makes a snapshot's blocks of deltas and of the base's blocks, and stores them: each is checked against its CID in the
 * snapshot's index first (apply-delta.ts). The base is leased as long as this is open. How much is worked on at a time is
 * bounded, in bytes of frames, windows and targets.
 */
import { Semaphore } from '../../base/semaphore.ts'
import type { Cid } from '../../block/cid.ts'
import type { IndexedBlock } from '../../dag/block-index.ts'
import { createIndexPositions } from '../../dag/index-positions.ts'
import type { Snapshot } from '../../dag/snapshot.ts'
import { decodeSnapshot } from '../../dag/snapshot.ts'
import type { NodeSource } from '../../dag/source.ts'
import { getBlock } from '../../dag/source.ts'
import type { BlockStore } from '../../store/block-store.ts'
import { applyStored } from './apply-stored.ts'
import type { PlannedDelta } from './delta-plan.ts'

export interface DeltaMaker {
  readonly baseBlocks: number
  /** Those of which some target is missing here; of a part, where they can be made and give more of it than of the rest. */
  isWanted(deltas: readonly PlannedDelta[]): Promise<boolean[]>
  /**
   * Stores what is missing of the delta's targets. Returns these, or undefined when a block that they need is gone.
   * @throws MirrorError `corrupt` when the delta does not give what its plan says
   */
  make(delta: PlannedDelta): Promise<readonly IndexedBlock[] | undefined>
  close(): void
}

const MAX_BYTES = 24 * 1024 * 1024

/** @throws MirrorError `not-found` when the base's snapshot is not here */
export async function openDeltaMaker(
  { blocks }: { readonly blocks: BlockStore },
  {
    tree,
    base: baseCid,
    target,
    objects,
    signal,
    isPart,
  }: {
    readonly tree: string
    readonly base: Cid
    readonly target: Snapshot
    /** Of the target's index. */
    readonly objects: NodeSource
    readonly signal: AbortSignal
    /** What is fetched of the target, where that is not all: the base is here in part as well then. */
    readonly isPart?: (cid: Cid) => boolean
  },
): Promise<DeltaMaker> {
  const lease = blocks.lease({ purpose: `base of deltas of ${tree}`, roots: [baseCid] })
  const bytesAtWork = new Semaphore(MAX_BYTES)
  let before: Snapshot
  try {
    before = decodeSnapshot(baseCid, await getBlock(blocks, baseCid, 'base of deltas', signal))
  } catch (error) {
    lease.close()
    throw error
  }
  const base = createIndexPositions(blocks, before.index)
  const targets = createIndexPositions(objects, target.index)

  async function apply(delta: PlannedDelta, wanted: readonly IndexedBlock[]): Promise<boolean> {
    const window = await base.blocks(delta.entry.base, signal)
    let bytes = delta.lengthBytes
    for (const { lengthBytes } of [...wanted, ...window]) bytes += lengthBytes
    const release = await bytesAtWork.acquire(bytes, signal)
    try {
      const frame = await blocks.get(delta.cid, signal)
      if (frame === undefined) return false
      const isStored = await applyStored(
        blocks,
        { frame, targets: wanted, base: window },
        async (made) => {
          signal.throwIfAborted()
          const kept = isPart === undefined ? made : made.filter(({ cid }) => isPart(cid))
          await blocks.put(kept, { verified: true })
          return true
        },
        signal,
      )
      return isStored === true
    } finally {
      release()
    }
  }

  async function missingOf(listed: readonly IndexedBlock[]): Promise<IndexedBlock[]> {
    const has = await blocks.has(listed.map(({ cid }) => cid))
    return listed.filter(({ cid }, at) => has[at] !== true && isPart?.(cid) !== false)
  }

  /** Of a delta that gives more than the part: what of it is left out was paid for as well. */
  async function pays(
    entry: PlannedDelta['entry'],
    listed: readonly IndexedBlock[],
    missing: readonly IndexedBlock[],
  ): Promise<boolean> {
    if (2 * bytesOf(missing) < bytesOf(listed)) return false
    const window = await base.blocks(entry.base, signal)
    return !(await blocks.has(window.map(({ cid }) => cid))).includes(false)
  }

  return {
    baseBlocks: before.counts.blocks,
    async isWanted(deltas) {
      const wanted: boolean[] = []
      for (const { entry } of deltas) {
        const listed = await targets.blocks(entry.targets, signal)
        const missing = await missingOf(listed)
        wanted.push(missing.length > 0 && (isPart === undefined || (await pays(entry, listed, missing))))
      }
      return wanted
    },
    async make(delta) {
      const listed = await targets.blocks(delta.entry.targets, signal)
      const missing = await missingOf(listed)
      return missing.length === 0 || (await apply(delta, listed)) ? missing : undefined
    },
    close: () => lease.close(),
  }
}

function bytesOf(listed: readonly IndexedBlock[]): number {
  return listed.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0)
}
