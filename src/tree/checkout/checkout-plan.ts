/**
 * The batches of one check-out, in phases: directories and contents in walk order, then hard links and what their files
 * look like, then the metadata of directories, innermost first, then the manifest and one sync. A phase starts when
 * everything of the one before is written. Memory: one batch, one leaf for each open directory, and some hard-link groups;
 * the rest waits in temporary files.
 */
import fs from 'node:fs'
import { MirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import { RAW } from '../../block/cid.ts'
import type { Entry, FileEntry } from '../../dag/entry.ts'
import { isDevice } from '../../dag/entry.ts'
import type { FilePart } from '../../dag/file.ts'
import { holesWithin } from '../../dag/holes.ts'
import { createReadAhead, fileParts, walk } from '../../dag/reader.ts'
import type { Xattr } from '../../dag/xattrs.ts'
import { loadXattrs } from '../../dag/xattrs.ts'
import type { BlockStore } from '../../store/block-store.ts'
import type { LocalPaths } from '../local/local-paths.ts'
import type { ManifestHead } from '../manifest/checkout-manifest.ts'
import { joinPath, parentPath } from '../path-bytes.ts'
import { groupKey } from '../spool/group-key.ts'
import { createRecordWriter } from '../spool/record-bytes.ts'
import { NO_XATTRS } from '../spool/xattr-records.ts'
import { createZeroTest } from '../zero-chunks.ts'
import type { AheadFiles, PlaceAhead } from './ahead-places.ts'
import { canBeAhead } from './ahead-units.ts'
import type { WriteBatch } from './checkout-threads.ts'
import { createLarge } from './create-large.ts'
import type { FirstNames } from './first-names.ts'
import { laterPhases, NO_RECORD } from './later-phases.ts'
import { createEntryDigest, noteName } from './manifest-notes.ts'
import type { Candidate, Refused, ReusePlan } from './reuse-plan.ts'
import { NO_SLOT, writeWaiting } from './waiting-records.ts'
import { createWriteBatchBuilder, partsOfSmall, taskMetadata, wholeFileTask } from './write-batch-builder.ts'
import { noteContent } from './written-files.ts'

/** A file over this is written in pieces, by all threads; so is every file with holes. */
const PIECE_BYTES = 8 * 1024 * 1024
/** A file whose times moved is read and compared up to this size, since one thread does it; over it, it is written. */
const MAX_COMPARED_BYTES = 1024 * 1024 * 1024

export interface CheckoutLimits {
  /** Entries of the tree and sum of the file sizes: a DAG may name one directory in many places. */
  readonly entries: number
  readonly bytes: number
}

export interface Outstanding {
  begin(): void
  end(): void
  /** Resolves when none is left; rejects once `giveUp` was called. */
  settled(): Promise<void>
  giveUp(): void
}

export interface CheckoutPlanOptions {
  readonly root: Entry
  readonly staging: Buffer
  /** For records that wait. */
  readonly temporaryFds: {
    readonly links: number
    readonly pieced: number
    readonly directories: number
    readonly names: number
    readonly contents: number
  }
  /** Of hard-link groups. */
  readonly firstNames: FirstNames
  /** Where the manifest is written, and its head. */
  readonly manifest: { readonly path: Buffer; readonly head: ManifestHead } | undefined
  /** What stays as it is in the old tree: nothing is written there. */
  readonly local: LocalPaths
  readonly reuse: ReusePlan
  /** Makes the directories, with what was written ahead of each. */
  readonly placeAhead: PlaceAhead | undefined
  readonly limits: CheckoutLimits | undefined
  /** Make device nodes. */
  readonly devices: boolean
  readonly signal: AbortSignal | undefined
  /** Batches that are being written. */
  readonly outstanding: Outstanding
}

export async function* planCheckout(
  { blocks }: { blocks: BlockStore },
  {
    root,
    staging,
    temporaryFds,
    firstNames,
    manifest,
    local,
    reuse,
    placeAhead,
    limits,
    devices,
    signal,
    outstanding,
  }: CheckoutPlanOptions,
): AsyncGenerator<WriteBatch, void, undefined> {
  const batch = createWriteBatchBuilder(blocks)
  const links = createRecordWriter(temporaryFds.links)
  /** Large files, to be sealed once all of their pieces are written. */
  const pieced = createRecordWriter(temporaryFds.pieced)
  const directories = createRecordWriter(temporaryFds.directories)
  const names = createRecordWriter(temporaryFds.names)
  const contents = createRecordWriter(temporaryFds.contents)
  const digestOf = createEntryDigest()
  /** Each record of a directory says where the one before it starts. */
  let lastDirectory = NO_RECORD
  /** Path below the root of the open directory at each depth. */
  const open: Buffer[] = []
  /** Which files of the open directory at each depth were written ahead. */
  const ahead: (AheadFiles | undefined)[] = []
  const isZeroChunk = createZeroTest()
  const nodes = createReadAhead(blocks, (entry) => nodeOf(entry, !reuse.mayFind))
  let entries = 0
  let bytes = 0
  let slots = 0
  let batches = 0

  /** Counted before it is yielded: a generator with a caller waiting goes on before the first caller has its batch. */
  async function handOut(): Promise<WriteBatch> {
    const id = ++batches
    reuse.handOut(id)
    const built = await batch.build(id)
    outstanding.begin()
    return built
  }

  function checkLimits(entry: Entry): void {
    entries += 1
    if (entry.type === 'file') bytes += entry.sizeBytes
    if (limits !== undefined && (entries > limits.entries || bytes > limits.bytes)) {
      throw new MirrorError('corrupt', 'the tree is larger than its snapshot says', {
        facts: { entries: limits.entries, bytes: limits.bytes },
      })
    }
  }

  async function* writeLarge(
    path: Buffer,
    entry: FileEntry,
    xattrs: readonly Xattr[],
    slot: number,
  ): AsyncGenerator<WriteBatch, void, undefined> {
    const { holes = [] } = entry
    // Its directory may wait in a batch.
    if (path.length > 0) {
      await fs.promises.mkdir(joinPath(staging, parentPath(path)), { recursive: true, mode: 0o700 })
    }
    await createLarge(
      joinPath(staging, path),
      path.length === 0 ? 'r+' : 'wx',
      holes.length > 0 ? entry.sizeBytes : 0,
    )
    // Sealed once all of its pieces are written.
    writeWaiting(pieced, path, NO_PATH, entry, xattrs, { slot })
    let parts: FilePart[] = []
    let pieceHoles: number[] = []
    let offset = 0
    let pieceBytes = 0
    const cut = (): void => {
      if (parts.length === 0) return
      const task = {
        kind: 'file',
        pathBytes: path.length,
        parts: parts.length,
        offset,
        isPiece: true,
        ...(pieceHoles.length === 0 ? {} : { holes: pieceHoles }),
        slot,
        isUnsure: false,
        metadata: taskMetadata(entry, NO_XATTRS),
      } as const
      batch.add(task, [path], parts)
      pieceBytes = 0
      pieceHoles = []
      parts = []
    }
    for await (const part of fileParts(blocks, entry, undefined, signal)) {
      const { lengthBytes } = part
      const within = holes.length === 0 ? [] : holesWithin(holes, part.offset, part.offset + lengthBytes)
      // The content has the last word: only zeros may be left out.
      if (within[1] === lengthBytes && isZeroChunk(part)) {
        cut()
        continue
      }
      if (parts.length === 0) offset = part.offset
      parts.push(part)
      pieceHoles.push(...within)
      pieceBytes += lengthBytes
      if (pieceBytes < PIECE_BYTES) continue
      cut()
      yield await handOut()
    }
    cut()
  }

  function addWhole(
    { path, metadata, slot }: Omit<Candidate, 'state'>,
    parts: readonly FilePart[],
    old?: Buffer,
  ): void {
    const task = wholeFileTask(path, metadata, { slot, parts: parts.length, isUnsure: old !== undefined })
    batch.add(task, old === undefined ? [path] : [path, old], parts)
  }

  /** @param old the state of a file of the old tree that may have this content */
  async function* writeFile(
    file: Omit<Candidate, 'state'>,
    old?: Buffer,
  ): AsyncGenerator<WriteBatch, void, undefined> {
    const { path, entry, metadata, slot } = file
    const hasHoles = entry.holes !== undefined
    // The content does not tell whether the holes are what they were.
    const isCompared = old !== undefined && entry.sizeBytes <= MAX_COMPARED_BYTES && !hasHoles
    if ((entry.sizeBytes > PIECE_BYTES && !isCompared) || hasHoles || path.length === 0) {
      yield* writeLarge(path, entry, metadata.xattrs, slot)
      return
    }
    addWhole(file, partsOfSmall(entry) ?? (await readParts(entry)), isCompared ? old : undefined)
  }

  async function readParts(entry: FileEntry): Promise<FilePart[]> {
    const parts: FilePart[] = []
    for await (const part of fileParts(nodes, entry, undefined, signal)) parts.push(part)
    return parts
  }

  async function* writeRefused(): AsyncGenerator<WriteBatch, void, undefined> {
    for (
      let next: Refused | undefined = reuse.takeRefused();
      next !== undefined;
      next = reuse.takeRefused()
    ) {
      yield* writeFile(next, next.isUnsure ? next.state : undefined)
      if (batch.isFull) yield await handOut()
    }
  }

  /** True when the entry is another name of one that was met before. */
  function isLinked(path: Buffer, entry: Entry, xattrs: readonly Xattr[], slot: number): boolean {
    if (entry.type === 'directory' || entry.link === undefined) return false
    // What is not made cannot be linked: each name is reported.
    if (isDevice(entry) && !devices) return false
    const first = firstNames.meet(groupKey(entry), path, slot)
    if (first === undefined) return false
    writeWaiting(links, first.path, path, entry, xattrs, { slot, firstSlot: first.slot })
    return true
  }

  async function readSet(entry: Entry): Promise<readonly Xattr[]> {
    return (await loadXattrs(blocks, entry, signal)).xattrs
  }

  for await (const { path: parents, entry } of walk(nodes, root, signal)) {
    checkLimits(entry)
    const depth = parents.length
    const path = joinPath(depth === 0 ? Buffer.alloc(0) : open[depth - 1]!, entry.name)
    if (entry.type === 'directory') open[depth] = path
    if (local.wins(path, entry.type)) continue
    const digest = entry.type === 'file' ? digestOf(entry) : undefined
    noteName(names, entry.type, path, digest)
    const slot = entry.type === 'file' ? slots++ : NO_SLOT
    const xattrs = entry.xattrBlock === undefined ? (entry.xattrs ?? NO_XATTRS) : await readSet(entry)
    const metadata = taskMetadata(entry, xattrs)
    if (entry.type === 'directory') {
      // The root's is the staging place itself.
      if (placeAhead !== undefined) ahead[depth] = await placeAhead(path, entry.directory)
      else if (depth > 0) batch.add({ kind: 'mkdir', pathBytes: path.length }, [path])
      const startByte = directories.position
      directories.whole(lastDirectory)
      lastDirectory = startByte
      writeWaiting(directories, path, NO_PATH, entry, xattrs)
    } else if (isLinked(path, entry, xattrs, slot)) {
      // Linked once its first name is written.
    } else if (entry.type === 'symlink') {
      const targetBytes = entry.target.length
      batch.add({ kind: 'symlink', pathBytes: path.length, targetBytes, metadata }, [path, entry.target])
    } else if (entry.type !== 'file') {
      const { major, minor } = isDevice(entry) ? entry : NO_DEVICE
      batch.add({ kind: 'special', pathBytes: path.length, type: entry.type, major, minor, metadata }, [path])
    } else {
      const state = reuse.find(path, digest!)
      const { sizeBytes } = entry
      const file = { path, entry, metadata, slot }
      const isAhead = canBeAhead(entry) && ahead[depth - 1]?.(entry.name) === true
      const isNew = !isAhead && state === undefined
      const isWhole = isNew && sizeBytes <= PIECE_BYTES && entry.holes === undefined && path.length > 0
      const parts = isWhole ? (partsOfSmall(entry) ?? (await readParts(entry))) : undefined
      noteContent(contents, path, entry, slot, parts)
      if (isAhead) {
        batch.add({ kind: 'ahead', pathBytes: path.length, slot, sizeBytes, metadata }, [path])
        reuse.add({ ...file, state: undefined })
      } else if (parts !== undefined) addWhole(file, parts)
      else if (state === undefined) yield* writeFile(file)
      else {
        batch.add({ kind: 'reuse', pathBytes: path.length, slot, sizeBytes, metadata }, [path, state])
        reuse.add({ ...file, state })
      }
    }
    if (reuse.hasRefused) yield* writeRefused()
    if (batch.isFull) yield await handOut()
  }
  do {
    yield* writeRefused()
    if (!batch.isEmpty) yield await handOut()
    await outstanding.settled()
  } while (reuse.hasRefused)

  for (const each of [pieced, links, directories]) each.flush()
  const phases = laterPhases({
    local,
    pieced: { fd: temporaryFds.pieced, endByte: pieced.position },
    links: { fd: temporaryFds.links, endByte: links.position },
    directories: { fd: temporaryFds.directories, endByte: directories.position, lastByte: lastDirectory },
    firstNames,
    withStates: manifest !== undefined,
  })
  for (const { tasks, isInOrder } of phases) {
    for (const [task, strings] of tasks) {
      batch.add(task, strings)
      if (!batch.isFull) continue
      yield await handOut()
      if (isInOrder === true) await outstanding.settled()
    }
    if (!batch.isEmpty) yield await handOut()
    await outstanding.settled()
  }

  contents.flush()
  if (manifest !== undefined) {
    names.flush()
    const { path, head } = manifest
    const namesBytes = names.position
    batch.add({ kind: 'manifest', pathBytes: path.length, namesBytes, head }, [path])
  }
  batch.add({ kind: 'sync', pathBytes: 0 }, [])
  yield await handOut()
}

const NO_DEVICE = { major: 0, minor: 0 }
const NO_PATH = new Uint8Array()

/** What the plan is going to read of an entry. A file that is taken over needs no look at its blocks. */
function nodeOf(entry: Entry, withFiles: boolean): Cid | undefined {
  if (entry.type === 'directory') return entry.directory
  if (!withFiles || entry.type !== 'file' || entry.holes !== undefined) return undefined
  return entry.content?.code !== RAW && entry.sizeBytes <= PIECE_BYTES ? entry.content : undefined
}
