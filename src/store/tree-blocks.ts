/**
 * The store as one tree has it: every question is answered as if the blocks that came through other private trees alone were
 * not stored, and what is stored becomes this tree's. Made of the store's own parts, which know each block's owner by the
 * place that they look up in any case: for a public tree it costs nothing.
 */
import type { Cid } from '../block/cid.ts'
import { cidToKeyBytes } from '../block/cid.ts'
import type { OwnedBackings } from './backings/backings.ts'
import type { BlockStore, TreeOfBlocks } from './block-store.ts'
import type { Owners } from './owners.ts'

/** Who asks: undefined for the store itself, which sees everything. */
export interface Asker {
  /** The tree's number, once it has one. */
  readonly number: () => number | undefined
  /** Whether the blocks of that owner become the asker's when it asks for them. */
  readonly mayTakeFrom: (owner: number) => boolean
  /** They do. */
  readonly take: (cids: readonly Cid[]) => Promise<void>
}

/** The store's parts, each told who asks, or whose the blocks are that come. */
export interface OwnedBlocks {
  get(cid: Cid, signal: AbortSignal | undefined, asker: Asker | undefined): ReturnType<BlockStore['get']>
  has(cids: readonly Cid[], asker: Asker | undefined): ReturnType<BlockStore['has']>
  getMany(
    cids: readonly Cid[],
    signal: AbortSignal | undefined,
    asker: Asker | undefined,
  ): ReturnType<BlockStore['getMany']>
  getEncoded(
    cids: readonly Cid[],
    signal: AbortSignal | undefined,
    asker: Asker | undefined,
  ): ReturnType<BlockStore['getEncoded']>
  locate(cids: readonly Cid[], asker: Asker | undefined): ReturnType<BlockStore['locate']>
  put(
    blocks: Parameters<BlockStore['put']>[0],
    options: Parameters<BlockStore['put']>[1],
    owner: number | undefined,
  ): Promise<void>
  commitPacked(
    packId: number,
    entries: Parameters<BlockStore['commitPacked']>[1],
    owner: number | undefined,
  ): Promise<void>
  readonly backings: OwnedBackings
  /** Blocks that are stored came through `owner` as well. */
  admit(cids: readonly Cid[], owner: number | undefined): Promise<void>
}

type Rest = Pick<BlockStore, 'flush' | 'reservePack' | 'releasePack' | 'claimSpace' | 'lease' | 'leases'>

export function createTreeBlocks(parts: OwnedBlocks, rest: Rest, owners: Owners): BlockStore {
  const whole: BlockStore = {
    ...rest,
    get: (cid, signal) => parts.get(cid, signal, undefined),
    has: (cids) => parts.has(cids, undefined),
    getMany: (cids, signal) => parts.getMany(cids, signal, undefined),
    getEncoded: (cids, signal) => parts.getEncoded(cids, signal, undefined),
    locate: (cids) => parts.locate(cids, undefined),
    put: (blocks, options) => parts.put(blocks, options, undefined),
    commitPacked: (packId, entries) => parts.commitPacked(packId, entries, undefined),
    backings: parts.backings,
    of,
  }

  function of({ tree, isPrivate, mayTakeFrom = () => false }: TreeOfBlocks): BlockStore {
    const owner = async (): Promise<number | undefined> => (isPrivate() ? owners.register(tree) : undefined)
    const asker: Asker = {
      number: () => owners.find(tree),
      mayTakeFrom(number) {
        const name = owners.nameOf(number)
        return name !== undefined && mayTakeFrom(name)
      },
      take: async (cids) => parts.admit(cids, await owner()),
    }
    return {
      ...rest,
      get: (cid, signal) => parts.get(cid, signal, asker),
      has: (cids) => parts.has(cids, asker),
      getMany: (cids, signal) => parts.getMany(cids, signal, asker),
      getEncoded: (cids, signal) => parts.getEncoded(cids, signal, asker),
      locate: (cids) => parts.locate(cids, asker),
      put: async (blocks, options) => parts.put(blocks, options, await owner()),
      commitPacked: async (packId, entries) => parts.commitPacked(packId, entries, await owner()),
      backings: {
        ...parts.backings,
        commit: async (backingId, files, options) =>
          parts.backings.commit(backingId, files, options, await owner()),
      },
      of,
    }
  }

  return whole
}

/**
 * Which blocks the asker may have, by their owners; `areMarked` is asked about those that neither answer. With `isTaking` it gets
 * those that it may take over.
 */
export async function mayHave(
  cids: readonly Cid[],
  ownerOf: (at: number) => number | undefined,
  asker: Asker,
  isTaking: boolean,
  areMarked: (keys: readonly Uint8Array[], tree: number) => Promise<boolean[]>,
): Promise<boolean[]> {
  const may = await isOwnOrMarked(cids, ownerOf, asker.number(), areMarked)
  if (!isTaking) return may
  const takeable = new Map<number, boolean>()
  const taken = cids.filter((_, i) => {
    const owner = ownerOf(i)
    if (may[i] === true || owner === undefined) return false
    const is = takeable.get(owner) ?? asker.mayTakeFrom(owner)
    takeable.set(owner, is)
    if (is) may[i] = true
    return is
  })
  if (taken.length > 0) await asker.take(taken)
  return may
}

async function isOwnOrMarked(
  cids: readonly Cid[],
  ownerOf: (at: number) => number | undefined,
  number: number | undefined,
  areMarked: (keys: readonly Uint8Array[], tree: number) => Promise<boolean[]>,
): Promise<boolean[]> {
  const may = cids.map((_, i) => {
    const owner = ownerOf(i)
    return owner === undefined || owner === number
  })
  if (number === undefined) return may
  const asked = may.flatMap((is, i) => (is ? [] : [i]))
  if (asked.length === 0) return may
  const marked = await areMarked(
    asked.map((i) => cidToKeyBytes(cids[i]!)),
    number,
  )
  for (const [n, i] of asked.entries()) may[i] = marked[n] === true
  return may
}
