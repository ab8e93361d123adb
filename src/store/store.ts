/**
 * The store of one node: blocks, records and small values, with one lifetime and one folder:
 *
 *   lock          held while the store is open; names the holder's pid
 *   packs/        the blocks
 *   index/        LevelDB: where blocks lie, and the small values. Rebuilt from packs when it is lost
 *   records.log   signed records, apart from the index because nothing could rebuild them
 */
import type { Clock } from '../base/clock.ts'
import type { ErrorFacts } from '../base/errors.ts'
import { asMirrorError, isMirrorError, MirrorError } from '../base/errors.ts'
import type { BlockStore, CorruptBlock } from './block-store.ts'
import type { Collect } from './collect/collection.ts'
import type { Scrub } from './collect/scrub.ts'
import { openFileRecordLog } from './file-record-log.ts'
import type { FileOps } from './files.ts'
import { systemFiles } from './files.ts'
import type { Index } from './index/index.ts'
import { decodeCount, encodeCount, metaIndexKey } from './index/index.ts'
import { createIndexValues } from './index/index-values.ts'
import type { KeyValue } from './index/key-value.ts'
import { openLevelIndex } from './index/level-index.ts'
import { lockStore } from './lock.ts'
import { loadOwners, OWNED_FORMAT } from './owners.ts'
import type { PackStoreOptions } from './pack-store.ts'
import { openPackStore } from './pack-store.ts'
import { createPackIndex } from './packs/pack-index.ts'
import type { RecordLog } from './record-log.ts'

export interface Store {
  readonly blocks: BlockStore
  readonly records: RecordLog
  /** Values under a name of their own: two namespaces never see each other's keys. Names are `[a-z0-9-]{1,32}`. */
  values(namespace: string): KeyValue
  stats(): StoreStats
  /** Drops the blocks that nothing needs, and gives their space back: see collection.ts. */
  readonly collect: Collect
  /** Reads every block again: see scrub.ts. */
  readonly scrub: Scrub
  /** Flushes, then gives everything back. Other calls must have ended. */
  close(): Promise<void>
}

export interface StoreStats {
  readonly blocks: number
  readonly packs: number
  readonly packBytes: number
  readonly recordBytes: number
}

export interface StoreCollaborators {
  /** Made when it does not exist. */
  readonly dir: string
  readonly clock: Clock
  readonly log?: (event: string, facts: ErrorFacts) => void
  /** Told of every damaged copy that is found. The block is missing from then on, so a fetch heals it. */
  readonly onCorrupt?: (damage: CorruptBlock) => void
  readonly files?: FileOps
}

export type StoreOptions = Omit<PackStoreOptions, 'dir'>

/** 2: places with encoding 1. What 1 wrote is read as it is. 3: places with owners, written with the first of them. */
const INDEX_FORMAT = 2
const MAX_INDEX_FORMAT = OWNED_FORMAT

/**
 * Opens the store, first making good whatever the last run left undone.
 * @throws MirrorError `busy` when another process (or this one) has it open, `unsupported` when it was written by a
 *   later version, `corrupt` when the record log's header is damaged
 */
export async function openStore(
  { dir, clock, log = () => undefined, onCorrupt = () => undefined, files = systemFiles }: StoreCollaborators,
  options: StoreOptions = {},
): Promise<Store> {
  // Given back in the opposite order, by close or when opening fails half-way.
  const closers: (() => void | Promise<void>)[] = []

  async function closeAll(): Promise<void> {
    const failures: unknown[] = []
    for (let close = closers.pop(); close !== undefined; close = closers.pop()) {
      try {
        await close()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw asMirrorError(failures[0], `close the store ${dir}`)
  }

  try {
    files.makeDir(`${dir}/packs`)
    closers.push(lockStore(`${dir}/lock`))
    const index = await openIndex(files, `${dir}/index`, log)
    closers.push(() => index.close())
    await checkFormat(index)
    const packIndex = await createPackIndex(index)
    const owners = await loadOwners(index)
    const collaborators = { files, index: packIndex, owners, clock, log, onCorrupt }
    const blocks = await openPackStore(collaborators, { ...options, dir: `${dir}/packs` })
    closers.push(() => blocks.close())
    const records = await openFileRecordLog({ files, log, onCorrupt }, { dir })
    closers.push(() => records.close())
    await files.syncDir(dir)
    return {
      blocks,
      records,
      values: (namespace) => createIndexValues(index, namespace),
      collect: blocks.collect,
      scrub: blocks.scrub,
      stats: () => ({ ...blocks.stats(), recordBytes: records.sizeBytes }),
      close: closeAll,
    }
  } catch (error) {
    await closeAll().catch(() => undefined)
    throw asMirrorError(error, `open the store ${dir}`)
  }
}

/** A damaged index is moved aside: an empty one takes its place, and recovery fills it from the packs. */
async function openIndex(
  files: FileOps,
  dir: string,
  log: (event: string, facts: ErrorFacts) => void,
): Promise<Index> {
  try {
    return await openLevelIndex(dir)
  } catch (error) {
    if (!isMirrorError(error, 'corrupt')) throw error
    log('store.index.damaged', { dir, movedTo: `${dir}.damaged`, reason: error.message })
    files.remove(`${dir}.damaged`)
    files.rename(dir, `${dir}.damaged`)
    return openLevelIndex(dir)
  }
}

async function checkFormat(index: Index): Promise<void> {
  const [value] = await index.getMany([metaIndexKey('format')])
  const found = value === undefined ? 0 : decodeCount(value)
  if (found > MAX_INDEX_FORMAT) {
    throw new MirrorError(
      'unsupported',
      `the index has format ${found}: this program reads ${MAX_INDEX_FORMAT}`,
      {
        hint: 'Run the newer mirrormesh that wrote this store.',
      },
    )
  }
  if (found >= INDEX_FORMAT) return
  const now = { type: 'put', key: metaIndexKey('format'), value: encodeCount(INDEX_FORMAT) } as const
  await index.batch([now], { sync: true })
}
