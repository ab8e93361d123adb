/**
 * Makes a delta's targets of what lies in the store: in delta-thread.ts, where all of the window lies in files; and whenever
 * nothing comes of that, of the base's blocks as the store verifies them, which tells who is at fault.
 */
import type { Block } from '../../block/block.ts'
import { cidToKeyBytes } from '../../block/cid.ts'
import { applyDelta, checkDelta, type DeltaParts } from '../../delta/apply-delta.ts'
import type { BlockPlace, BlockStore } from '../../store/block-store.ts'
import { makeInThread } from './delta-thread.ts'

/**
 * @param use has the targets, each verified, until it resolves: their memory is used again
 * @returns undefined when a block of the base is not here
 * @throws MirrorError `corrupt` when the delta does not give its targets
 */
export async function applyStored<T>(
  blocks: Pick<BlockStore, 'locate' | 'getMany'>,
  parts: DeltaParts,
  use: (made: readonly Block[]) => Promise<T>,
  signal?: AbortSignal,
): Promise<T | undefined> {
  checkDelta(parts)
  const places = await blocks.locate(parts.base.map(({ cid }) => cid))
  signal?.throwIfAborted()
  if (places.every((place, at): place is BlockPlace => place?.lengthBytes === parts.base[at]!.lengthBytes)) {
    const targets = parts.targets.map(({ cid, lengthBytes }) => ({ key: cidToKeyBytes(cid), lengthBytes }))
    const used = await makeInThread({ frame: parts.frame, window: places, targets }, async (made) => ({
      result: await use(cut(made, parts)),
    }))
    if (used !== undefined) return used.result
    signal?.throwIfAborted()
  }
  const made = await applyDelta(parts, (listed) =>
    blocks.getMany(
      listed.map(({ cid }) => cid),
      signal,
    ),
  )
  return made && use(made)
}

function cut(made: Uint8Array, { targets }: DeltaParts): Block[] {
  let at = 0
  return targets.map(({ cid, lengthBytes }) => {
    at += lengthBytes
    return { cid, bytes: made.subarray(at - lengthBytes, at) }
  })
}
