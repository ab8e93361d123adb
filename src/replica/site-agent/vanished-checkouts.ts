/**
 * A check-out that somebody removed, or whose disk is a new one, took the blocks along that lay in it alone. The store learns of each when
 * it is read, and a check-out that is made again would fail at one after the other: so all are looked for at once, and fetched as one.
 */
import fs from 'node:fs'
import { equalBytes, utf8 } from '../../base/bytes.ts'
import { MirrorError } from '../../base/errors.ts'
import type { Backing } from '../../store/block-backings.ts'
import type { BlockStore } from '../../store/block-store.ts'
import type { ReplicaLog } from '../fetch-network.ts'

/**
 * Before a check-out at `path` is made, or a version of one below it.
 * @throws MirrorError `not-found` when blocks went with what lay there: what needs them is to be fetched first
 */
export async function forgetVanished(
  { blocks, logger }: { readonly blocks: Pick<BlockStore, 'backings'>; readonly logger: ReplicaLog },
  { tree, path, signal }: { readonly tree: string; readonly path: string; readonly signal: AbortSignal },
): Promise<void> {
  const { backings } = blocks
  let lost = 0
  for (const backing of backings.list()) {
    if (backing.purpose !== 'check-out' || !liesAt(backing, utf8(path)) || isThere(backing)) continue
    const found = await backings.check(backing.id, signal)
    lost += found.lost.blocks
    // Nothing is in it any more: it would be looked at again each time.
    if ((await backings.measure(backing.id)).blocks === 0) await backings.drop(backing.id)
  }
  if (lost === 0) return
  logger.warn({ tree, path, blocks: lost }, 'checkout.vanished')
  throw new MirrorError('not-found', `the check-out at ${path} was removed, and ${lost} blocks with it`, {
    facts: { tree, path, blocks: lost },
    hint: 'They are fetched again, and then it is made anew.',
  })
}

/** At the place, or a version in the folder there. */
function liesAt({ path }: Backing, place: Uint8Array): boolean {
  const isBelow = path.length > place.length && path[place.length] === 0x2f
  return (isBelow || path.length === place.length) && equalBytes(path.subarray(0, place.length), place)
}

/** In doubt it is: what cannot be looked at is not gone. */
function isThere({ path, alternative }: Backing): boolean {
  return [path, ...(alternative === undefined ? [] : [alternative])].some((each) => {
    try {
      return fs.lstatSync(Buffer.from(each), { throwIfNoEntry: false }) !== undefined
    } catch {
      return true
    }
  })
}
