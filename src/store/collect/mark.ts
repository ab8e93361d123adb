/**
 * What stays: goes through the indexes of snapshots, and of sets of encodings, and adds their blocks to the live set. Nodes
 * that several of them share are read once.
 *
 * What must be whole and is not stops the collection before anything is deleted: a hole in an index says that the disk
 * lost something, and a collection that goes on would take all that the lost node lists.
 */
import { isMirrorError, MirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import { cidToKeyBytes, RAW } from '../../block/cid.ts'
import { linksOf } from '../../block/links.ts'
import { decodeIndexNode } from '../../dag/block-index.ts'
import { closure } from '../../dag/closure.ts'
import { decodeEncodings, isEncodings } from '../../dag/encodings.ts'
import { createFingerprintSet } from '../../dag/fingerprint-set.ts'
import { decodeSnapshot } from '../../dag/snapshot.ts'
import type { BlockReader } from '../block-store.ts'

export interface Marker {
  /**
   * A snapshot that counts as complete.
   * @throws MirrorError `corrupt` when it cannot be read in full
   */
  whole(snapshot: Cid): Promise<void>
  /**
   * A snapshot that counts as complete under a path filter, as its view shows it.
   * @throws MirrorError `corrupt` when what the view needs cannot be read in full
   */
  view(snapshot: Cid, view: Cid): Promise<void>
  /** A snapshot, or a set of encodings, of which some may be missing: what is here of it, and what its pages here list, stays. */
  partial(root: Cid): Promise<void>
  /** Any block: it stays, and all that is here of what it leads to, link by link. */
  below(root: Cid): Promise<void>
}

export function createMarker(
  { blocks, keep }: { readonly blocks: BlockReader; readonly keep: (key: Uint8Array) => void },
  { signal }: { readonly signal?: AbortSignal | undefined },
): Marker {
  // Apart: a node that was read for a partial snapshot may have missing nodes below it.
  const whole = createFingerprintSet()
  const partial = createFingerprintSet()
  const linked = createFingerprintSet()

  async function markView(snapshot: Cid, viewCid: Cid): Promise<void> {
    keep(cidToKeyBytes(snapshot))
    keep(cidToKeyBytes(viewCid))
    await read(snapshot, snapshot, true)
    const view = decodeSnapshot(viewCid, (await read(viewCid, snapshot, true))!)
    const stack = [view.index]
    const seen = createFingerprintSet()
    for (let cid = stack.pop(); cid !== undefined; cid = stack.pop()) {
      if (!seen.add(cid)) continue
      keep(cidToKeyBytes(cid))
      const node = decodeIndexNode(cid, (await read(cid, snapshot, true))!)
      if (node.kind === 'branch') for (const child of node.children) stack.push(child.cid)
      else for (const block of node.page.blocks) if (block.cid.code !== RAW) keep(cidToKeyBytes(block.cid))
    }
    const source = { get: (cid: Cid) => read(cid, snapshot, true) }
    for await (const { cid } of closure(source, view.root, signal)) keep(cidToKeyBytes(cid))
  }

  async function mark(snapshot: Cid, isWhole: boolean): Promise<void> {
    keep(cidToKeyBytes(snapshot))
    const bytes = await read(snapshot, snapshot, isWhole)
    const index = bytes === undefined ? undefined : indexOf(snapshot, bytes, isWhole)
    if (index === undefined) return
    const stack = [index]
    for (let cid = stack.pop(); cid !== undefined; cid = stack.pop()) {
      if (!(isWhole ? whole : partial).add(cid)) continue
      keep(cidToKeyBytes(cid))
      const nodeBytes = await read(cid, snapshot, isWhole)
      if (nodeBytes === undefined) continue
      const at = cid
      const node = decoded(() => decodeIndexNode(at, nodeBytes), isWhole)
      if (node === undefined) continue
      if (node.kind === 'branch') for (const child of node.children) stack.push(child.cid)
      else for (const block of node.page.blocks) keep(cidToKeyBytes(block.cid))
    }
  }

  function indexOf(root: Cid, bytes: Uint8Array, isWhole: boolean): Cid | undefined {
    if (isWhole || !isEncodings(bytes)) return decoded(() => decodeSnapshot(root, bytes), isWhole)?.index
    const set = decoded(() => decodeEncodings(root, bytes), isWhole)
    for (const node of set?.plan ?? []) keep(cidToKeyBytes(node))
    return set?.index
  }

  async function read(cid: Cid, snapshot: Cid, isWhole: boolean): Promise<Uint8Array | undefined> {
    signal?.throwIfAborted()
    const bytes = await blocks.get(cid, signal)
    if (bytes !== undefined || !isWhole) return bytes
    throw new MirrorError(
      'corrupt',
      `snapshot ${snapshot.toString()} counts as complete, and block ${cid.toString()} that it needs is missing: nothing is collected`,
      {
        facts: { snapshot: snapshot.toString(), cid: cid.toString() },
        hint: 'A copy on disk was damaged. It is fetched again from a site that has it; check the disk.',
      },
    )
  }

  async function markBelow(root: Cid): Promise<void> {
    const stack = [root]
    for (let cid = stack.pop(); cid !== undefined; cid = stack.pop()) {
      keep(cidToKeyBytes(cid))
      if (cid.code === RAW || !linked.add(cid)) continue
      const bytes = await read(cid, root, false)
      const links = bytes === undefined ? undefined : decoded(() => linksOf(bytes), false)
      for (const link of links ?? []) {
        if (link.code === RAW) keep(cidToKeyBytes(link))
        else stack.push(link)
      }
    }
  }

  return {
    below: markBelow,
    whole: (snapshot) => mark(snapshot, true),
    view: markView,
    partial: (root) => mark(root, false),
  }
}

/** A malformed node of a snapshot that is being fetched lists nothing: the fetch will say what is wrong with it. */
function decoded<T>(decode: () => T, isWhole: boolean): T | undefined {
  try {
    return decode()
  } catch (error) {
    if (isWhole || !isMirrorError(error)) throw error
    return undefined
  }
}
