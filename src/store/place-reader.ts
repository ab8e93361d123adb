/**
 * Finds blocks and reads them where they lie: what is pending, what the index knows, what a collection moved meanwhile. A copy
 * that turns out damaged is reported and forgotten. Whoever asks for a tree is answered as tree-blocks.ts says.
 */
import type { Cid } from '../block/cid.ts'
import { cidKey, cidToKeyBytes } from '../block/cid.ts'
import type { BackingReader } from './backings/backing-reader.ts'
import type { CorruptBlock } from './block-store.ts'
import type { Place } from './index/index.ts'
import { isSamePlace } from './index/index.ts'
import type { Leases } from './leases.ts'
import type { PackFolder } from './packs/pack-folder.ts'
import type { PackIndex, PlacedEntry } from './packs/pack-index.ts'
import type { PackReader, ReadBlock } from './packs/pack-reader.ts'
import type { RecentBlocks } from './packs/recent-blocks.ts'
import type { Asker } from './tree-blocks.ts'
import { mayHave } from './tree-blocks.ts'

export interface PlacedBlock extends ReadBlock {
  readonly place: Place
}

/** A block by what the store knows it by: made once for all look-ups of a call. */
export interface KeyedBlock {
  /** As `cidToKeyBytes` gives it. */
  readonly key: Uint8Array
  /** As `cidKey` gives it. */
  readonly name: string
}

export interface PlaceReader {
  /** Where they lie, whoever may have them. Touches them: a collection that runs leaves what it finds. */
  find(cids: readonly Cid[]): Promise<(Place | undefined)[]>
  findKeyed(blocks: readonly KeyedBlock[]): Promise<(Place | undefined)[]>
  /** As `find`, of what the asker may have; with `isTaking`, and may take over, which it does then. */
  findFor(cids: readonly Cid[], asker: Asker | undefined, isTaking: boolean): Promise<(Place | undefined)[]>
  read(
    cid: Cid,
    signal: AbortSignal | undefined,
    asker: Asker | undefined,
    isTaking: boolean,
  ): Promise<PlacedBlock | undefined>
  /** With one look-up, and few reads. What lies in a file, was moved meanwhile or is damaged is read by itself. */
  readMany(
    cids: readonly Cid[],
    signal: AbortSignal | undefined,
    asker: Asker | undefined,
    isTaking: boolean,
  ): Promise<(PlacedBlock | undefined)[]>
}

export function createPlaceReader({
  index,
  pending,
  folder,
  reader,
  backingReader,
  leases,
  recent,
  onCorrupt,
}: {
  readonly index: Pick<PackIndex, 'find' | 'forget' | 'areMarked'>
  /** What is written and not published yet, by `cidKey`. */
  readonly pending: ReadonlyMap<string, PlacedEntry>
  readonly folder: Pick<PackFolder, 'pathOf'>
  readonly reader: PackReader
  readonly backingReader: BackingReader
  readonly leases: Pick<Leases, 'touch' | 'deleting'>
  readonly recent: Pick<RecentBlocks, 'delete'>
  readonly onCorrupt: (damage: CorruptBlock) => void
}): PlaceReader {
  /** What is read at the place, or why it is not the block, with the path where that says more. */
  async function readAt(
    cid: Cid,
    place: Place,
  ): Promise<ReadBlock | { readonly reason: string; readonly path: string }> {
    if (place.encoding === 'file') {
      const read = await backingReader.read(cid, place)
      return read instanceof Uint8Array ? { plain: read, stored: read } : read
    }
    const block = await reader.read(cid, place)
    return 'plain' in block ? block : { path: folder.pathOf(place.packId), ...block }
  }

  function find(cids: readonly Cid[]): Promise<(Place | undefined)[]> {
    return findKeyed(keyBlocks(cids))
  }

  async function findKeyed(blocks: readonly KeyedBlock[]): Promise<(Place | undefined)[]> {
    const keys = blocks.map(({ key }) => key)
    leases.touch(keys)
    const deletion = leases.deleting(keys)
    // Not awaited in vain: the look-up is on its way when this call returns.
    if (deletion !== undefined) await deletion
    const places: (Place | undefined)[] = []
    const asked: number[] = []
    for (let i = 0; i < blocks.length; i++) {
      const place = pending.size === 0 ? undefined : pending.get(blocks[i]!.name)
      places.push(place)
      if (place === undefined) asked.push(i)
    }
    if (asked.length === 0) return places
    const found = await index.find(asked.length === keys.length ? keys : asked.map((i) => keys[i]!))
    for (let n = 0; n < asked.length; n++) places[asked[n]!] = found[n]
    return places
  }

  async function findFor(
    cids: readonly Cid[],
    asker: Asker | undefined,
    isTaking: boolean,
  ): Promise<(Place | undefined)[]> {
    const places = await find(cids)
    if (asker === undefined || places.every((place) => place?.owner === undefined)) return places
    const may = await mayHave(cids, (i) => places[i]?.owner, asker, isTaking, index.areMarked)
    return places.map((place, i) => (may[i] === true ? place : undefined))
  }

  async function read(
    cid: Cid,
    signal: AbortSignal | undefined,
    asker: Asker | undefined,
    isTaking: boolean,
  ): Promise<PlacedBlock | undefined> {
    let [place] = await findFor([cid], asker, isTaking)
    while (place !== undefined) {
      signal?.throwIfAborted()
      const block = await readAt(cid, place)
      if ('plain' in block) return { ...block, place }
      // A collection may have moved the block, or have taken it, since it was looked up.
      const [now] = await find([cid])
      if (now === undefined || !isSamePlace(now, place)) {
        place = now
        continue
      }
      onCorrupt({ cid, offset: place.offset, ...block })
      recent.delete(cidKey(cid))
      await index.forget(cidToKeyBytes(cid), place)
      ;[place] = await find([cid])
      if (place !== undefined && isSamePlace(place, now)) return undefined
    }
    return undefined
  }

  async function readMany(
    cids: readonly Cid[],
    signal: AbortSignal | undefined,
    asker: Asker | undefined,
    isTaking: boolean,
  ): Promise<(PlacedBlock | undefined)[]> {
    const places = await findFor(cids, asker, isTaking)
    signal?.throwIfAborted()
    const packed = cids.flatMap((cid, i) => {
      const place = places[i]
      return place === undefined || place.encoding === 'file' ? [] : [{ i, cid, place }]
    })
    const blocks = await reader.readMany(packed)
    const found: (PlacedBlock | undefined)[] = cids.map(() => undefined)
    for (const [n, { i, place }] of packed.entries()) {
      const block = blocks[n]!
      if ('plain' in block) found[i] = { ...block, place }
    }
    for (const [i, cid] of cids.entries())
      if (found[i] === undefined && places[i] !== undefined)
        found[i] = await read(cid, signal, asker, isTaking)
    return found
  }

  return { find, findKeyed, findFor, read, readMany }
}

function keyBlocks(cids: readonly Cid[]): KeyedBlock[] {
  const keyed: KeyedBlock[] = []
  for (let i = 0; i < cids.length; i++) keyed.push({ key: cidToKeyBytes(cids[i]!), name: cidKey(cids[i]!) })
  return keyed
}
