/**
 * File-backed blocks over the index and the packs (block-backings.ts). Evacuation copies first, has the copies synced
 * and published, and only then drops: a kill in between leaves both, and the next run finds what is left to do.
 */
import { decodeUtf8 } from '../../base/bytes.ts'
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import { MAX_BLOCK_BYTES } from '../../block/block.ts'
import type { Cid } from '../../block/cid.ts'
import { cidFromKeyBytes, cidKeyOfBytes, isKeyBytes } from '../../block/cid.ts'
import type {
  BackedFile,
  BackingCheck,
  BackingPaths,
  BackingSize,
  BlockBackings,
  CommitOptions,
  CommittedFile,
  FileIdentity,
} from '../block-backings.ts'
import type { BlockPlace } from '../block-store.ts'
import type { FileOps } from '../files.ts'
import type { FilePlace, Place } from '../index/index.ts'
import { isSamePlace } from '../index/index.ts'
import type { KeyedBytes } from '../packs/pack-writer.ts'
import type { BackingIndex, HeldBlock } from './backing-index.ts'
import type { BackingReader } from './backing-reader.ts'
import { absolutePath } from './backing-reader.ts'
import type { StoredFile } from './backing-values.ts'

export interface BackingsCollaborators {
  readonly files: FileOps
  readonly index: BackingIndex
  readonly reader: BackingReader
  readonly nowMs: () => number
  readonly find: (cids: readonly Cid[]) => Promise<(Place | undefined)[]>
  /** Takes blocks into packs, whatever else is known of them. Published, durably, by `flush`. */
  readonly copy: (blocks: readonly KeyedBytes[]) => Promise<void>
  readonly flush: () => Promise<void>
  /** A copy cannot be used: it is reported and forgotten. */
  readonly lose: (block: HeldBlock, why: { readonly reason: string; readonly path: string }) => Promise<void>
}

export interface OwnedBackings extends BlockBackings {
  /** @param owner the private tree that the blocks are imported for; absent for everybody's */
  commit(
    backingId: number,
    files: readonly BackedFile[],
    options?: CommitOptions,
    owner?: number,
  ): Promise<BackingSize>
}

/** Some file systems keep times in steps of two seconds. */
const RACY_NS = 2_000_000_000n
const MAX_LISTED = 100
const MAX_TEXT_BYTES = 0xffff
const RUN_FILES = 1024
const COPY_BYTES = 8 * 1024 * 1024

export function createBackings({
  files,
  index,
  reader,
  nowMs,
  find,
  copy,
  flush,
  lose,
}: BackingsCollaborators): OwnedBackings {
  /** A change this short before the look could be followed by one that the times do not show. */
  const isRacy = ({ mtimeNs, ctimeNs }: FileIdentity): boolean => {
    const limit = BigInt(Math.floor(nowMs())) * 1_000_000n - RACY_NS
    return mtimeNs >= limit || ctimeNs >= limit
  }

  /** Commits, some of which wait for a sync, by backing. */
  const committing = new Map<number, Set<Promise<BackingSize>>>()

  async function inLine(backingId: number, commit: () => Promise<BackingSize>): Promise<BackingSize> {
    const others = committing.get(backingId) ?? new Set()
    committing.set(backingId, others)
    const done = commit()
    others.add(done)
    try {
      return await done
    } finally {
      others.delete(done)
      if (others.size === 0) committing.delete(backingId)
    }
  }

  /** @returns the bytes of the blocks that are sound; the others are lost */
  async function readRun(run: readonly HeldBlock[], lost: Tally): Promise<KeyedBytes[]> {
    const sound: KeyedBytes[] = []
    for (const block of run) {
      const bytes = await reader.read(cidFromKeyBytes(block.key), block.place)
      if (bytes instanceof Uint8Array) {
        sound.push({ key: block.key, name: cidKeyOfBytes(block.key), bytes, owner: block.place.owner })
        continue
      }
      // It may have been given another place since it was looked up, as when its check-out moves on.
      const [now] = await find([cidFromKeyBytes(block.key)])
      if (now === undefined || !isSamePlace(now, block.place)) continue
      await lose(block, bytes)
      lost.add(block.place)
    }
    return sound
  }

  /** @returns whether the file is still what its blocks need */
  async function checkFile(backingId: number, stored: StoredFile, lost: Tally): Promise<boolean> {
    const before = lost.size().blocks
    const now = reader.open(backingId, stored)
    try {
      const identity = now?.identity()
      if (identity !== undefined && isSameFile(identity, stored.identity) && !stored.isRacy) return true
      // What is open from before may be what was there before.
      reader.forget(backingId)
      for await (const run of index.held(backingId, stored.fileId)) await readRun(run, lost)
      if (identity !== undefined)
        await index.updateFile(backingId, { ...stored, identity, isRacy: isRacy(identity) })
      if (identity !== undefined) return lost.size().blocks === before
      // Of a check-out that has moved on meanwhile nothing is registered before it goes.
      return (await index.file(backingId, stored.fileId)) === undefined
    } finally {
      now?.close()
    }
  }

  function checkMoves(from: number, to: number): void {
    for (const id of [from, to]) {
      const purpose = index.backings.get(id)?.purpose
      if (purpose === undefined) throw unknown(id)
      if (purpose !== 'check-out' || from === to)
        throw new MirrorError('invalid', 'only a check-out hands files over, and to another', {
          facts: { from, to },
        })
    }
  }

  return {
    async create(backing) {
      checkPaths(backing)
      checkTexts(backing.label, backing.mark)
      return index.create(backing)
    },

    list: () => [...index.backings.values()].map(({ nextFileId: _, ...backing }) => backing),

    async commit(backingId, backed, { isSynced = false } = {}, owner) {
      const backing = index.backings.get(backingId)
      if (backing === undefined) throw unknown(backingId)
      for (const file of backed) checkFileEntry(file)
      if (backed.every(({ blocks }) => blocks.length === 0)) return { blocks: 0, bytes: 0 }
      return inLine(backingId, async () => {
        try {
          if (!isSynced) await files.syncForeign(backing.path)
        } catch (error) {
          throw asMirrorError(error, 'sync the file system of a backing')
        }
        return index.commit(backingId, backed, isRacy, owner)
      })
    },

    async setPaths(backingId, paths, mark) {
      checkPaths(paths)
      checkTexts(index.backings.get(backingId)?.label ?? '', mark)
      await index.setPaths(backingId, paths, mark)
      reader.forget(backingId)
    },

    async *files(backingId) {
      if (!index.backings.has(backingId)) throw unknown(backingId)
      let run: CommittedFile[] = []
      for await (const { fileId, below, identity } of index.files(backingId)) {
        run.push({ fileId, below, identity })
        if (run.length < RUN_FILES) continue
        yield run
        run = []
      }
      if (run.length > 0) yield run
    },

    async transfer(from, to, fileIds) {
      checkMoves(from, to)
      const keys = await index.move(from, to, fileIds)
      reader.forget(from)
      return keys
    },

    async absorb(into, from) {
      checkMoves(from, into)
      // Until none is left: a drop forgets what still lies there.
      for (let isEmpty = false; !isEmpty; ) {
        isEmpty = true
        let run: number[] = []
        for await (const { fileId } of index.files(from)) {
          isEmpty = false
          run.push(fileId)
          if (run.length < RUN_FILES) continue
          await index.move(from, into, run)
          run = []
        }
        if (run.length > 0) await index.move(from, into, run)
      }
      reader.forget(from)
      await index.drop(from)
    },

    async measure(backingId) {
      if (!index.backings.has(backingId)) throw unknown(backingId)
      const size = createTally()
      for await (const run of index.held(backingId)) for (const { place } of run) size.add(place)
      return size.size()
    },

    async evacuate(backingId, isNeeded, signal) {
      if (!index.backings.has(backingId)) throw unknown(backingId)
      const moved = createTally()
      const forgotten = createTally()
      const lost = createTally()
      for await (const run of index.held(backingId)) {
        signal?.throwIfAborted()
        const answers = await isNeeded(run.map(({ key }) => cidFromKeyBytes(key)))
        const needed = run.filter((_, i) => answers[i] !== false)
        for (const [i, { place }] of run.entries()) if (answers[i] === false) forgotten.add(place)
        for (const part of partsOf(needed)) {
          signal?.throwIfAborted()
          const sound = await readRun(part, lost)
          await copy(sound)
          for (const { bytes } of sound) moved.add({ lengthBytes: bytes.length })
        }
      }
      await flush()
      reader.forget(backingId)
      await index.drop(backingId)
      return { moved: moved.size(), forgotten: forgotten.size(), lost: lost.size() }
    },

    async drop(backingId) {
      reader.forget(backingId)
      await index.drop(backingId)
    },

    async dropUnused(backingId) {
      const before = committing.get(backingId)
      if (before !== undefined) await Promise.allSettled(before)
      return index.dropUnused(backingId)
    },

    async check(backingId, signal): Promise<BackingCheck> {
      if (!index.backings.has(backingId)) throw unknown(backingId)
      const lost = createTally()
      const first: Uint8Array[] = []
      let count = 0
      let looked = 0
      for await (const file of index.files(backingId)) {
        signal?.throwIfAborted()
        looked += 1
        if (await checkFile(backingId, file, lost)) continue
        count += 1
        if (first.length < MAX_LISTED) first.push(file.below)
      }
      return { files: looked, changed: { count, first }, lost: lost.size() }
    },

    async areBorrowed(cids) {
      const isForeign = (id: number): boolean => index.backings.get(id)?.purpose !== 'check-out'
      if (![...index.backings.keys()].some(isForeign)) return cids.map(() => false)
      return (await find(cids)).map((place) => place?.encoding === 'file' && isForeign(place.backingId))
    },
  }
}

/** For threads that read with sync calls; undefined for a path that is not text: they ask then. */
export async function locateBacked(
  index: BackingIndex,
  places: readonly FilePlace[],
): Promise<(BlockPlace | undefined)[]> {
  const paths = new Map<string, Pick<BlockPlace, 'path' | 'root'> | undefined>()
  const located: (BlockPlace | undefined)[] = []
  for (const { backingId, fileId, offset, lengthBytes } of places) {
    const name = `${backingId}/${fileId}`
    if (!paths.has(name)) paths.set(name, await pathOf(index, backingId, fileId))
    const where = paths.get(name)
    located.push(where && { ...where, offset, storedBytes: lengthBytes, lengthBytes, encoding: 'plain' })
  }
  return located
}

async function pathOf(
  index: BackingIndex,
  backingId: number,
  fileId: number,
): Promise<Pick<BlockPlace, 'path' | 'root'> | undefined> {
  const backing = index.backings.get(backingId)
  const file = backing && (await index.file(backingId, fileId))
  if (backing === undefined || file === undefined) return undefined
  const path = decodeUtf8(absolutePath(backing.path, file.below))
  const root = decodeUtf8(backing.path)
  return path === undefined || root === undefined ? undefined : { path, root }
}

interface Tally {
  add(block: { readonly lengthBytes: number }): void
  size(): BackingSize
}

function createTally(): Tally {
  let blocks = 0
  let bytes = 0
  return {
    add({ lengthBytes }) {
      blocks += 1
      bytes += lengthBytes
    },
    size: () => ({ blocks, bytes }),
  }
}

/** Parts of a run whose bytes are held in memory at one time. */
function* partsOf(run: readonly HeldBlock[]): Generator<HeldBlock[], void, undefined> {
  let part: HeldBlock[] = []
  let bytes = 0
  for (const block of run) {
    part.push(block)
    bytes += block.place.lengthBytes
    if (bytes < COPY_BYTES) continue
    yield part
    part = []
    bytes = 0
  }
  if (part.length > 0) yield part
}

function isSameFile(a: FileIdentity, b: FileIdentity): boolean {
  return (
    a.dev === b.dev &&
    a.ino === b.ino &&
    a.sizeBytes === b.sizeBytes &&
    a.mtimeNs === b.mtimeNs &&
    a.ctimeNs === b.ctimeNs
  )
}

function checkPaths({ path, alternative }: BackingPaths): void {
  for (const each of [path, ...(alternative === undefined ? [] : [alternative])]) {
    if (each[0] !== 0x2f || each.includes(0) || each.length > MAX_TEXT_BYTES)
      throw new MirrorError('invalid', 'the path of a backing must be absolute')
  }
}

function checkTexts(label: string, mark = ''): void {
  if (Buffer.byteLength(label + mark) > MAX_TEXT_BYTES)
    throw new MirrorError('invalid', 'the label is too long')
}

function checkFileEntry({ below, blocks }: BackedFile): void {
  const isSound =
    below[0] !== 0x2f &&
    !below.includes(0) &&
    below.length <= MAX_TEXT_BYTES &&
    blocks.every(
      ({ key, offset, lengthBytes }) =>
        isKeyBytes(key) &&
        Number.isSafeInteger(offset) &&
        offset >= 0 &&
        offset < 2 ** 48 &&
        Number.isInteger(lengthBytes) &&
        lengthBytes >= 0 &&
        lengthBytes <= MAX_BLOCK_BYTES,
    )
  if (!isSound) throw new MirrorError('invalid', 'an entry of a backed file is malformed')
}

function unknown(backingId: number): MirrorError {
  return new MirrorError('not-found', `there is no backing ${backingId}`, { facts: { backingId } })
}
