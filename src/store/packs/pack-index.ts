/**
 * What the index says about packs: where each block lies, and how far into each pack that knowledge reaches. One
 * batch moves both, so behind `coveredBytes` of a pack lies exactly what a crash kept from being published.
 *
 * A block keeps the first place it was given: a second copy is wasted space, never a change. But a place in a pack takes
 * over from one in a file outside of the store, which others may change.
 */
import { Semaphore } from '../../base/semaphore.ts'
import { cidKeyOfBytes } from '../../block/cid.ts'
import type { PackedEntry } from '../block-store.ts'
import type { Index, IndexOperation, IndexRange, PackPlace, Place } from '../index/index.ts'
import {
  ALL_BLOCKS,
  ALL_DOOMED,
  ALL_PACKS,
  blockIndexKey,
  blockIndexKeys,
  blocksAfter,
  decodeCount,
  decodePlace,
  doomedIndexKey,
  encodeCount,
  encodePlace,
  encodePlaces,
  isSamePlace,
  metaIndexKey,
  ownerMarkKey,
  packIdOfKey,
  packIndexKey,
} from '../index/index.ts'
import type { Claim } from '../leases.ts'
import { admission, dropMarks, markFor, markOwner, mergeOwners, withOwner } from '../owners.ts'

export interface PlacedEntry extends PackedEntry, PackPlace {
  readonly encoding: PackPlace['encoding']
}

export interface PackIndex {
  /** How many blocks are published. */
  readonly blocks: number
  find(keys: readonly Uint8Array[]): Promise<(Place | undefined)[]>
  coveredBytes(): Promise<Map<number, number>>
  /** @param coveredBytes by pack: everything before it is in `entries` or was published earlier */
  publish(
    entries: readonly PlacedEntry[],
    coveredBytes: ReadonlyMap<number, number>,
    options: { readonly sync: boolean },
  ): Promise<void>
  /**
   * These came through `owner` as well (absent: they are everybody's). What is not published yet is passed over.
   * @param marks keys that get a mark, whether or not they are published
   */
  admit(keys: readonly Uint8Array[], owner: number | undefined, marks: readonly Uint8Array[]): Promise<void>
  /** Which of these came through the tree beside their owner. */
  areMarked(keys: readonly Uint8Array[], tree: number): Promise<boolean[]>
  /** Drops a block whose copy at `place` is damaged, unless it was given another place meanwhile. */
  forget(key: Uint8Array, place: Place): Promise<void>
  /**
   * Drops every block that reaches beyond the given size of its pack, and the packs of size 0 altogether.
   * @returns for each pack the end of its last block that stays
   */
  cutPacks(sizes: ReadonlyMap<number, number>): Promise<Map<number, number>>
  /** Up to `limit` blocks in order of their keys, from the one after `after` on. */
  slice(after: Uint8Array | undefined, limit: number): Promise<PlacedBlock[]>
  /**
   * Drops blocks that lie where they are said to, durably.
   * @param claim asked for those at the last instant before the write; what it keeps back stays
   * @returns for each block whether it was dropped
   */
  remove(blocks: readonly PlacedBlock[], claim: (keys: readonly Uint8Array[]) => Claim): Promise<boolean[]>
  /** Moves blocks that still lie at `from` to a place that is synced, durably; and `coveredBytes` as in `publish`. */
  move(moves: readonly BlockMove[], coveredBytes: ReadonlyMap<number, number>): Promise<void>
  /** Notes, durably, that these packs go: no block of theirs is published, and none will be. */
  doomPacks(packIds: readonly number[]): Promise<void>
  doomedPacks(): Promise<number[]>
  /** They are gone. */
  clearDoomed(packIds: readonly number[], options: { readonly sync: boolean }): Promise<void>
  /**
   * One batch, for what else changes places of blocks (backing-index.ts): nobody else changes any between the plan and
   * the batch.
   */
  change(plan: () => Promise<PlaceChange>, options: { readonly sync: boolean }): Promise<void>
  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>
  entries(range: IndexRange): AsyncIterable<[key: Uint8Array, value: Uint8Array]>
}

export interface PlaceChange {
  readonly operations: IndexOperation[]
  /** Blocks that there are more, or less, after it. */
  readonly addedBlocks: number
}

export interface PlacedBlock {
  readonly key: Uint8Array
  readonly place: Place
}

/** One that lies in a pack. */
export interface PackedBlock extends PlacedBlock {
  readonly place: PackPlace
}

export interface BlockMove {
  readonly key: Uint8Array
  readonly from: PackPlace
  readonly to: PackPlace
}

export async function createPackIndex(index: Index): Promise<PackIndex> {
  const [count] = await index.getMany([metaIndexKey('blocks')])
  let blocks = count === undefined ? 0 : decodeCount(count)
  const turn = new Semaphore(1)
  /** A batch of deletions failed: it may have left its mark in the log, and take effect when that is read again. */
  let isInDoubt = false

  async function find(keys: readonly Uint8Array[]): Promise<(Place | undefined)[]> {
    return findAt(blockIndexKeys(keys))
  }

  /** By keys of the index. */
  async function findAt(indexKeys: readonly Uint8Array[]): Promise<(Place | undefined)[]> {
    const values = await index.getMany(indexKeys)
    return values.map((value) => (value === undefined ? undefined : decodePlace(value)))
  }

  async function write(operations: IndexOperation[], change: number, sync: boolean): Promise<void> {
    operations.push({ type: 'put', key: metaIndexKey('blocks'), value: encodeCount(blocks + change) })
    await index.batch(operations, { sync })
    blocks += change
  }

  /** A write after one that failed shows what became of that (level-index.ts). */
  async function settle(): Promise<void> {
    if (!isInDoubt) return
    await write([], 0, true)
    isInDoubt = false
  }

  return {
    get blocks() {
      return blocks
    },
    find,
    async coveredBytes() {
      const covered = new Map<number, number>()
      for await (const [key, value] of index.entries(ALL_PACKS))
        covered.set(packIdOfKey(key), decodeCount(value))
      return covered
    },
    publish: (entries, coveredBytes, { sync }) =>
      turn.run(async () => {
        const indexKeys = blockIndexKeys(entries.map(({ key }) => key))
        const known = await findAt(indexKeys)
        const operations: IndexOperation[] = []
        const added = new Set<string>()
        const placed: { readonly key: Uint8Array; readonly place: Place }[] = []
        let taken = 0
        for (let i = 0; i < entries.length; i++) {
          const entry = entries[i]!
          const name = cidKeyOfBytes(entry.key)
          const place = known[i]
          if (added.has(name)) continue
          if (place !== undefined) {
            operations.push(...(await admission(index, entry.key, place, entry.owner)))
            if (place.encoding !== 'file') continue
            taken += 1
          }
          added.add(name)
          const owner = place === undefined ? entry.owner : mergeOwners(place.owner, entry.owner)
          placed.push({ key: indexKeys[i]!, place: withOwner(entry, owner) })
        }
        const values = encodePlaces(placed.map(({ place }) => place))
        for (let i = 0; i < placed.length; i++)
          operations.push({ type: 'put', key: placed[i]!.key, value: values[i]! })
        for (const [packId, bytes] of coveredBytes) {
          operations.push({ type: 'put', key: packIndexKey(packId), value: encodeCount(bytes) })
        }
        await write(operations, added.size - taken, sync)
      }),
    admit: (keys, owner, marks) =>
      turn.run(async () => {
        const known = await find(keys)
        const operations = owner === undefined ? [] : marks.map((key) => markFor(key, owner))
        for (const [i, key] of keys.entries()) {
          const place = known[i]
          if (place !== undefined) operations.push(...(await admission(index, key, place, owner)))
        }
        if (operations.length > 0) await write(operations, 0, false)
      }),
    async areMarked(keys, tree) {
      const values = await index.getMany(keys.map((key) => ownerMarkKey(key, tree)))
      return values.map((value) => value !== undefined)
    },
    forget: (key, place) =>
      turn.run(async () => {
        const [now] = await find([key])
        if (now === undefined || !isSamePlace(now, place)) return
        // Not synced: a forgotten block that comes back with a crash is found damaged again.
        await write([{ type: 'del', key: blockIndexKey(key) }, ...markOwner(key, now)], -1, false)
      }),
    cutPacks: (sizes) =>
      turn.run(async () => {
        const ends = new Map<number, number>()
        let operations: IndexOperation[] = []
        let dropped = 0
        for await (const [key, value] of index.entries(ALL_BLOCKS)) {
          const place = decodePlace(value)
          if (place.encoding === 'file') continue
          const size = sizes.get(place.packId)
          if (size === undefined) continue
          const end = place.offset + place.storedBytes
          if (end <= size) {
            ends.set(place.packId, Math.max(end, ends.get(place.packId) ?? 0))
            continue
          }
          operations.push({ type: 'del', key }, ...markOwner(key.slice(1), place))
          dropped += 1
          if (operations.length >= 10_000) {
            await write(operations, -dropped, false)
            operations = []
            dropped = 0
          }
        }
        for (const packId of sizes.keys()) {
          const end = ends.get(packId)
          operations.push(
            end === undefined
              ? { type: 'del', key: packIndexKey(packId) }
              : { type: 'put', key: packIndexKey(packId), value: encodeCount(end) },
          )
        }
        await write(operations, -dropped, true)
        return ends
      }),
    change: (plan, { sync }) =>
      turn.run(async () => {
        const { operations, addedBlocks } = await plan()
        await write(operations, addedBlocks, sync)
      }),
    getMany: (keys) => index.getMany(keys),
    entries: (range) => index.entries(range),
    async slice(after, limit) {
      const found: PlacedBlock[] = []
      const range = after === undefined ? { ...ALL_BLOCKS, limit } : blocksAfter(after, limit)
      for await (const [key, value] of index.entries(range)) {
        found.push({ key: key.slice(1), place: decodePlace(value) })
      }
      return found
    },
    remove: (candidates, claim) =>
      turn.run(async () => {
        await settle()
        const known = await find(candidates.map(({ key }) => key))
        const isThere = candidates.map(({ place }, i) => liesAt(known[i], place))
        const claimed = claim(candidates.flatMap(({ key }, i) => (isThere[i] === true ? [key] : [])))
        let at = 0
        const isDropped = isThere.map((is) => is && claimed.mayGo[at++] === true)
        const operations = candidates.flatMap(({ key }, i): IndexOperation[] =>
          isDropped[i] === true ? [{ type: 'del', key: blockIndexKey(key) }] : [],
        )
        const dropped = operations.length
        for (const [i, { key }] of candidates.entries())
          if (isDropped[i] === true && known[i]?.owner !== undefined)
            operations.push(...(await dropMarks(index, key)))
        try {
          // Synced: the places of packs that are removed afterwards must not come back with a power loss.
          if (operations.length > 0) await write(operations, -dropped, true)
          claimed.end()
          return isDropped
        } catch (error) {
          isInDoubt = true
          await settle().then(claimed.end, claimed.fail)
          throw error
        }
      }),
    move: (moves, coveredBytes) =>
      turn.run(async () => {
        const known = await find(moves.map(({ key }) => key))
        const operations: IndexOperation[] = []
        for (const [i, { key, from, to }] of moves.entries()) {
          if (!liesAt(known[i], from)) continue
          const place = withOwner(to, known[i]?.owner)
          operations.push({ type: 'put', key: blockIndexKey(key), value: encodePlace(place) })
        }
        for (const [packId, bytes] of coveredBytes) {
          operations.push({ type: 'put', key: packIndexKey(packId), value: encodeCount(bytes) })
        }
        await write(operations, 0, true)
      }),
    doomPacks: (packIds) =>
      turn.run(() =>
        index.batch(
          packIds.flatMap((packId): IndexOperation[] => [
            { type: 'del', key: packIndexKey(packId) },
            { type: 'put', key: doomedIndexKey(packId), value: new Uint8Array(0) },
          ]),
          { sync: true },
        ),
      ),
    async doomedPacks() {
      const packIds: number[] = []
      for await (const [key] of index.entries(ALL_DOOMED)) packIds.push(packIdOfKey(key))
      return packIds
    },
    clearDoomed: (packIds, { sync }) =>
      turn.run(() =>
        index.batch(
          packIds.map((packId): IndexOperation => ({ type: 'del', key: doomedIndexKey(packId) })),
          { sync },
        ),
      ),
  }
}

function liesAt(now: Place | undefined, place: Place): boolean {
  return now !== undefined && isSamePlace(now, place)
}
