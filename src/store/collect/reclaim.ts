/**
 * Gives the space of collected blocks back to the disk: removes packs that hold nothing any more, and moves what is
 * left in packs that are mostly garbage into another pack, so that those can go too.
 *
 * The order makes a kill at any step harmless: a copy is synced before the index names it; a pack is doomed, durably,
 * in the batch that forgets it, and only once no entry of the index names it; then the file goes. What a kill leaves is
 * a copy too many, which the next run finds as garbage.
 *
 * Removing packs needs no space, and goes first. Moving needs some, and stops when there is none.
 */
import type { ErrorFacts } from '../../base/errors.ts'
import { asMirrorError, isMirrorError } from '../../base/errors.ts'
import { cidFromKeyBytes } from '../../block/cid.ts'
import type { CorruptBlock } from '../block-store.ts'
import type { FileOps } from '../files.ts'
import type { FreeSpace } from '../free-space.ts'
import { isSamePlace } from '../index/index.ts'
import { ENTRY_HEADER_BYTES, PACK_HEADER_BYTES } from '../pack.ts'
import type { PackFolder } from '../packs/pack-folder.ts'
import type { PackedBlock, PackIndex } from '../packs/pack-index.ts'
import { createPackMover } from '../packs/pack-mover.ts'
import type { PackReader } from '../packs/pack-reader.ts'
import { scanPack } from '../packs/pack-scan.ts'

export interface ReclaimComponents {
  readonly files: FileOps
  readonly index: PackIndex
  readonly folder: PackFolder
  readonly reader: PackReader
  readonly freeSpace: FreeSpace
  readonly log: (event: string, facts: ErrorFacts) => void
  readonly onCorrupt: (damage: CorruptBlock) => void
}

/** A pack that gets no more blocks. */
export interface ClosedPack {
  readonly packId: number
  readonly sizeBytes: number
  readonly liveBytes: number
}

export interface Reclaimed {
  readonly removedPacks: number
  readonly compactedPacks: number
  /** On disk, what was written meanwhile taken off. */
  readonly freedBytes: number
  /** Why packs with garbage were left as they are. */
  readonly leftFor?: string
}

/** Packs of which so much was moved are checked and removed together: the check goes through the whole index. */
const GROUP_BYTES = 1024 * 1024 * 1024
const BATCH_ENTRIES = 256
/** Entries that a scan did not find although the index names them: more than these, and the pack is left. */
const MAX_STRAGGLERS = 10_000
const SLICE = 4096

/** @param shrinkable packs worth compacting, in this order */
export async function reclaimPacks(
  components: ReclaimComponents,
  {
    empty,
    shrinkable,
    maxPackBytes,
    signal,
    onBytes,
  }: {
    readonly empty: readonly ClosedPack[]
    readonly shrinkable: readonly ClosedPack[]
    readonly maxPackBytes: number
    readonly signal?: AbortSignal | undefined
    readonly onBytes: (bytes: number) => void
  },
): Promise<Reclaimed> {
  const { files, index, folder, reader, log, onCorrupt } = components
  const mover = createPackMover(components, { maxPackBytes })
  const done = { removedPacks: 0, compactedPacks: 0, freedBytes: 0 }
  let leftFor: string | undefined

  async function removePacks(packs: readonly ClosedPack[]): Promise<void> {
    if (packs.length === 0) return
    const packIds = packs.map(({ packId }) => packId)
    await index.doomPacks(packIds)
    for (const packId of packIds) {
      reader.drop(packId)
      folder.remove(packId)
    }
    await folder.sync()
    await index.clearDoomed(packIds, { sync: false })
    for (const { sizeBytes } of packs) done.freedBytes += sizeBytes
    log('store.packs.removed', { packs: packs.length, first: packIds[0] })
  }

  async function moveOut({ packId }: ClosedPack): Promise<void> {
    const file = files.open(folder.pathOf(packId), 'read')
    try {
      let batch: PackedBlock[] = []
      const moveBatch = async (): Promise<void> => {
        signal?.throwIfAborted()
        const places = await index.find(batch.map(({ key }) => key))
        const live = batch.filter(({ place }, i) => places[i] !== undefined && isSamePlace(places[i], place))
        await mover.move(live)
        batch = []
      }
      for await (const item of scanPack(file, PACK_HEADER_BYTES)) {
        if (item.type !== 'entry') continue
        batch.push({ key: item.entry.key, place: { ...item.entry, packId } })
        onBytes(item.entry.storedBytes + ENTRY_HEADER_BYTES)
        if (batch.length >= BATCH_ENTRIES) await moveBatch()
      }
      await moveBatch()
      await mover.commit()
    } finally {
      file.close()
    }
  }

  /** Moves, or reports, what the index still names in these packs. @returns the packs that it did not name */
  async function settle(group: readonly ClosedPack[]): Promise<ClosedPack[]> {
    const wanted = new Set(group.map(({ packId }) => packId))
    const named = new Set<number>()
    let stragglers: PackedBlock[] = []
    for (let after: Uint8Array | undefined; ; ) {
      signal?.throwIfAborted()
      const slice = await index.slice(after, SLICE)
      after = slice.at(-1)?.key
      if (after === undefined) break
      const found = slice.filter(
        (block): block is PackedBlock => block.place.encoding !== 'file' && wanted.has(block.place.packId),
      )
      for (const { place } of found) named.add(place.packId)
      if (stragglers.length < MAX_STRAGGLERS) stragglers.push(...found)
    }
    if (stragglers.length >= MAX_STRAGGLERS) {
      log('store.compact.left', { packs: named.size, reason: 'too many damaged blocks' })
      stragglers = []
    }
    for (const block of stragglers) {
      const cid = cidFromKeyBytes(block.key)
      const read = await reader.read(cid, block.place)
      if ('plain' in read) {
        await mover.move([block])
        continue
      }
      const { packId, offset } = block.place
      onCorrupt({ cid, path: folder.pathOf(packId), offset, reason: read.reason })
      await index.forget(block.key, block.place)
    }
    await mover.commit()
    // What had stragglers goes in the next run, which will find it empty.
    return group.filter(({ packId }) => !named.has(packId))
  }

  async function endGroup(group: readonly ClosedPack[]): Promise<void> {
    const free = await settle(group)
    await removePacks(free)
    done.compactedPacks += free.length
  }

  try {
    await removePacks(empty)
    done.removedPacks += empty.length
    let group: ClosedPack[] = []
    let groupBytes = 0
    for (const pack of shrinkable) {
      await moveOut(pack)
      group.push(pack)
      groupBytes += pack.liveBytes
      if (groupBytes < GROUP_BYTES) continue
      await endGroup(group)
      group = []
      groupBytes = 0
    }
    if (group.length > 0) await endGroup(group)
  } catch (error) {
    if (!isMirrorError(error, 'no-space')) throw asMirrorError(error, 'reclaim packs')
    // What was moved is moved, and its packs go with the next run.
    leftFor = error.message
  } finally {
    mover.close()
  }
  done.freedBytes -= mover.writtenBytes()
  return { ...done, ...(leftFor === undefined ? {} : { leftFor }) }
}
