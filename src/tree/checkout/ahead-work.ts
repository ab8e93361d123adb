/**
 * Writes whole directories' files into folders of their own, in batches: one is filled while the one before is written.
 * Which directories are closed, and may be taken, is kept in `written`; one that was begun and is not closed never is.
 */
import fs from 'node:fs'
import { formatBytes } from '../../base/byte-size.ts'
import { printableName } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { MirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import type { FileEntry } from '../../dag/entry.ts'
import type { FilePart } from '../../dag/file.ts'
import { createFingerprintSet } from '../../dag/fingerprint-set.ts'
import { fileParts } from '../../dag/reader.ts'
import type { SnapshotCounts } from '../../dag/snapshot.ts'
import type { BlockStore } from '../../store/block-store.ts'
import { joinPath } from '../path-bytes.ts'
import { NO_XATTRS } from '../spool/xattr-records.ts'
import type { AheadUnit } from './ahead-units.ts'
import type { WrittenAhead } from './ahead-written.ts'
import type { WriteBatch, WriteReport } from './checkout-threads.ts'
import { createWriteBatchBuilder, taskMetadata } from './write-batch-builder.ts'

/** What stays free on the disk beside what is still to be fetched. */
const SPARE_BYTES = 256 * 1024 * 1024
const GATHER_MS = 250
/** 25 to 50 bytes each. */
const MAX_ARRIVED = 500_000

export interface AheadWorkOptions {
  /** Where the folders are made. */
  readonly place: Buffer
  readonly written: WrittenAhead
  /** Of the snapshot: no more is written. */
  readonly counts: Pick<SnapshotCounts, 'files' | 'bytes'>
  /** Bytes that are still to be fetched, for which the disk must have room. */
  readonly neededBytes: () => number
  readonly write: (batch: WriteBatch) => Promise<WriteReport>
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly signal: AbortSignal
}

export interface AheadWork {
  /** A block came in this fetch. */
  note(cid: Cid): void
  add(unit: AheadUnit): Promise<void>
  /** Hands out what has been added. */
  flush(): Promise<void>
  /** The same, unless that was done a moment ago: a trickle of blocks is to make no trickle of batches. */
  flushInTime(): Promise<void>
  /** Resolves when nothing is being written. What was not handed out is forgotten. */
  end(): Promise<void>
}

/** Of a batch: directories of which it has files, those of which it has the last, and how much it is. */
interface Begun {
  readonly touches: Cid[]
  readonly closes: { readonly cid: Cid; readonly files: readonly FileEntry[] }[]
  files: number
  bytes: number
}

export function createAheadWork(
  blocks: BlockStore,
  { place, written, counts, neededBytes, write, clock, signal }: AheadWorkOptions,
): AheadWork {
  const batch = createWriteBatchBuilder(blocks)
  /** In an update. */
  const arrived = createFingerprintSet()
  const added = { files: 0, bytes: 0 }
  let begun = nothing()
  let batches = 0
  let flushedMs = Number.NEGATIVE_INFINITY
  let writing: Promise<void> = Promise.resolve()

  async function checkRoom(): Promise<void> {
    const { bavail, bsize } = await fs.promises.statfs(place)
    const freeBytes = bavail * bsize
    if (freeBytes - begun.bytes >= neededBytes() + SPARE_BYTES) return
    throw new MirrorError('no-space', `${formatBytes(freeBytes)} are free, and the fetch has to have room`, {
      facts: { path: printableName(place), freeBytes, neededBytes: neededBytes() },
    })
  }

  async function writeBatch(next: WriteBatch, { touches, closes, files, bytes }: Begun): Promise<void> {
    const { notRestored } = await write(next)
    // Whatever it is, the ordinary check-out says it: these are left to it.
    if (notRestored.count > 0) for (const cid of touches) written.spoil(cid)
    for (const unit of closes) written.close(unit.cid, unit.files)
    written.count(files, bytes)
  }

  async function flush(): Promise<void> {
    if (batch.isEmpty) return
    flushedMs = clock.monotonicMs()
    await checkRoom()
    const what = begun
    begun = nothing()
    const next = await batch.build(++batches)
    await writing
    writing = writeBatch(next, what)
    writing.catch(() => undefined)
  }

  function checkLimits(files: readonly FileEntry[]): void {
    added.files += files.length
    for (const { sizeBytes } of files) added.bytes += sizeBytes
    if (added.files <= counts.files && added.bytes <= counts.bytes) return
    throw new MirrorError('corrupt', 'the index has more files than its snapshot says', {
      facts: { files: counts.files, bytes: counts.bytes },
    })
  }

  /**
   * Of an update those whose content came now: the others are in the old tree, most likely. Of files that lie in their directory
   * nobody can tell, and they are written quickly.
   */
  function choose(files: readonly FileEntry[]): readonly FileEntry[] {
    if (!written.isUpdate) return files
    return files.filter(({ content }) => content !== undefined && arrived.has(content))
  }

  async function partsOf(entry: FileEntry): Promise<FilePart[]> {
    const parts: FilePart[] = []
    if (entry.content === undefined) return parts
    for await (const part of fileParts(blocks, entry, undefined, signal)) parts.push(part)
    return parts
  }

  async function addFiles(cid: Cid, files: readonly FileEntry[]): Promise<void> {
    const folder = folderName(cid)
    batch.add({ kind: 'mkdir', pathBytes: folder.length }, [folder])
    begun.touches.push(cid)
    for (const entry of files) {
      // Not after the last: its batch is the one that closes the directory.
      if (batch.isFull) {
        signal.throwIfAborted()
        await flush()
        begun.touches.push(cid)
      }
      const path = joinPath(folder, entry.name)
      const parts = await partsOf(entry)
      const task = {
        kind: 'file',
        pathBytes: path.length,
        parts: parts.length,
        offset: 0,
        isPiece: false,
        slot: 0,
        isUnsure: false,
        metadata: taskMetadata(entry, NO_XATTRS),
      } as const
      batch.add(task, [path], parts)
      begun.files += 1
      begun.bytes += entry.sizeBytes
    }
    begun.closes.push({ cid, files })
  }

  return {
    flush,
    async flushInTime() {
      if (clock.monotonicMs() - flushedMs >= GATHER_MS) await flush()
    },
    note(cid) {
      if (written.isUpdate && arrived.size < MAX_ARRIVED) arrived.add(cid)
    },
    async add({ cid, files: given }) {
      if (written.isKnown(cid)) return
      const files = choose(given)
      if (files.length === 0 || !written.hasRoomFor(files.length)) return
      checkLimits(files)
      let isAdded = false
      try {
        await addFiles(cid, files)
        isAdded = true
      } finally {
        if (!isAdded) written.spoil(cid)
      }
      if (batch.isFull) await flush()
    },
    async end() {
      arrived.close()
      for (const cid of begun.touches) written.spoil(cid)
      await writing
    },
  }
}

function nothing(): Begun {
  return { touches: [], closes: [], files: 0, bytes: 0 }
}

/** Of a directory, in the place of what is written ahead. */
export function folderName({ multihash: { digest } }: Cid): Buffer {
  return Buffer.from(Buffer.from(digest).toString('hex'))
}
