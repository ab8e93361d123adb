/**
 * From the spool of a scan and the results of reading, in walk order, to the DAG: file nodes, directory nodes, block
 * index. Collects what could not be captured, by path and reason.
 *
 * Blocks enter the index as `closure` of the DAG lists them: what an entry reaches before what follows it, a
 * directory's own nodes after all of its entries, the block of an entry's attributes before everything else of it.
 */
import { printableName } from '../../base/bytes.ts'
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import type { Block } from '../../block/block.ts'
import { cidFromDigest, cidOf, RAW } from '../../block/cid.ts'
import { blake3 } from '../../block/hash.ts'
import { createBlockIndexBuilder } from '../../dag/block-index.ts'
import { buildDirectory } from '../../dag/directory.ts'
import type { Entry, LinkableEntry, Metadata } from '../../dag/entry.ts'
import type { BuiltFile } from '../../dag/file.ts'
import { createFileBuilder } from '../../dag/file.ts'
import { holesWithin } from '../../dag/holes.ts'
import { LINK_BYTES, MAX_UNCAPTURED_LISTED } from '../../dag/limits.ts'
import type { Scratch } from '../../dag/scratch.ts'
import type { Snapshot } from '../../dag/snapshot.ts'
import type { Xattr } from '../../dag/xattrs.ts'
import { placeXattrs } from '../../dag/xattrs.ts'
import type { OwnerNames } from '../../posix/owners.ts'
import { joinPath } from '../path-bytes.ts'
import { reasonOfErrno } from '../reason.ts'
import type { EntryStack } from '../spool/entry-stack.ts'
import { readPart, readReadExtras, readReadHeader } from '../spool/read-results.ts'
import type { RecordReader } from '../spool/record-bytes.ts'
import type { Inode, LinkGroup, SpoolRecord } from '../spool/spool.ts'
import { NO_LINK, readSpoolRecord } from '../spool/spool.ts'
import type { GroupState, GroupStates } from './group-states.ts'

export interface TreeBuilder {
  /** The next batch of the scan. @param results its files, in order */
  add(records: RecordReader, results: RecordReader | undefined): void
  /** @throws MirrorError when the root itself was not captured */
  finish(): BuiltTree
}

export type BuiltTree = Pick<Snapshot, 'root' | 'index' | 'counts' | 'uncaptured'>

export function createTreeBuilder(
  {
    owners,
    stack,
    groups,
    scratch,
    emit,
  }: {
    owners: OwnerNames
    stack: EntryStack
    groups: GroupStates
    scratch: Scratch
    emit: (block: Block) => void
  },
  {
    memberCounts,
    rootPath,
    below = new Uint8Array(),
  }: {
    memberCounts: Uint32Array
    rootPath: string
    /** Where the tree will lie in a larger one: its hard-link groups are told apart from those of its neighbours by path. */
    below?: Uint8Array
  },
): TreeBuilder {
  const index = createBlockIndexBuilder(emit, { scratch })
  const open: { readonly name: Uint8Array; readonly metadata: Metadata; readonly below: Buffer }[] = []
  const counts = { files: 0, directories: 0, symlinks: 0, bytes: 0 }
  let specials = 0
  const first: { path: string; reason: string }[] = []
  let uncaptured = 0
  let root: Entry | undefined

  function emitIndexed(block: Block): void {
    emit(block)
    index.add(block.cid, block.bytes.length)
  }

  function report(name: Uint8Array, reason: string): void {
    uncaptured += 1
    if (first.length >= MAX_UNCAPTURED_LISTED) return
    const path = joinPath(open.at(-1)?.below ?? new Uint8Array(), name)
    first.push({ path: path.length === 0 ? '.' : printableName(path), reason })
  }

  function reportUnread(name: Uint8Array, errno: string): void {
    if (open.length === 0) {
      throw asMirrorError({ code: errno, message: reasonOfErrno(errno) }, `read ${rootPath}`)
    }
    report(name, reasonOfErrno(errno))
  }

  /** Emits the block of the attributes: call it where that block comes in the index. */
  function metadataOf({ mode, mtimeSec, mtimeNsec, uid, gid }: Inode, xattrs: readonly Xattr[]): Metadata {
    const user = owners.user(uid)
    const group = owners.group(gid)
    const placed = placeXattrs(xattrs, emitIndexed)
    if (placed === undefined) throw new MirrorError('internal', 'a scan captured more attributes than fit')
    return {
      mode,
      mtimeSec,
      mtimeNsec,
      uid,
      gid,
      ...(user === undefined ? {} : { user }),
      ...(group === undefined ? {} : { group }),
      ...placed,
    }
  }

  function place(entry: Entry): void {
    if (open.length === 0) root = entry
    else stack.add(entry)
  }

  /** State of the record's group, when at least two members are inside the tree. */
  function meetGroup(group: LinkGroup, name: Uint8Array): GroupState | undefined {
    if (group === NO_LINK || memberCounts[group]! < 2) return undefined
    return groups.meet(group, () => {
      const path = joinPath(open.at(-1)?.below ?? new Uint8Array(), name)
      return {
        link: blake3.digest(joinPath(below, path)).slice(0, LINK_BYTES),
        missing: memberCounts[group]!,
      }
    })
  }

  function buildContent(results: RecordReader, parts: number): BuiltFile {
    const file = createFileBuilder(emitIndexed)
    for (let part = 0; part < parts; part++) {
      const { digest, lengthBytes, count } = readPart(results)
      const cid = cidFromDigest(RAW, digest)
      index.add(cid, lengthBytes)
      for (let repeat = 0; repeat < count; repeat++) file.add({ cid, lengthBytes })
    }
    return file.finish()
  }

  function captureFile(
    record: Extract<SpoolRecord, { kind: 'file' }>,
    results: RecordReader | undefined,
  ): LinkableEntry | undefined {
    const { name } = record
    if (!record.isRead) {
      return { type: 'file', name, ...metadataOf(record.inode, record.xattrs), sizeBytes: 0 }
    }
    if (results === undefined) throw new MirrorError('internal', 'a batch with files has no results')
    const header = readReadHeader(results)
    if (header.status === 'failed') {
      reportUnread(name, header.errno)
      return undefined
    }
    const { holes, xattrs = record.xattrs, note, inline } = readReadExtras(results, header.extras)
    const metadata = metadataOf(header.inode, xattrs)
    const built =
      inline === undefined || inline.length === 0
        ? buildContent(results, header.parts)
        : { content: cidOf(RAW, inline), inline, sizeBytes: inline.length }
    if (header.status === 'unstable') {
      report(name, 'it changed while it was read; what the last of three tries read was captured')
    }
    if (note !== undefined) report(name, note)
    const kept = holes === undefined ? undefined : holesUpTo(holes, built.sizeBytes)
    return { type: 'file', name, ...metadata, ...built, ...(kept === undefined ? {} : { holes: kept }) }
  }

  function capture(
    record: Extract<SpoolRecord, { kind: 'file' | 'symlink' | 'special' }>,
    results: RecordReader | undefined,
  ): LinkableEntry | undefined {
    const { name } = record
    switch (record.kind) {
      case 'file':
        return captureFile(record, results)
      case 'symlink':
        return { type: 'symlink', name, ...metadataOf(record.inode, record.xattrs), target: record.target }
      case 'special': {
        const metadata = metadataOf(record.inode, record.xattrs)
        const { type, major, minor } = record
        return type === 'fifo' || type === 'socket'
          ? { type, name, ...metadata }
          : { type, name, ...metadata, major, minor }
      }
    }
  }

  function addLinkable(
    record: Extract<SpoolRecord, { kind: 'file' | 'symlink' | 'special' }>,
    results: RecordReader | undefined,
  ): void {
    const group = meetGroup(record.group, record.name)
    let entry: LinkableEntry | undefined
    if (group?.first !== undefined && typeOfRecord(record) === group.first.type) {
      // One inode has one content and one set of metadata, whatever the scan met at its other names meanwhile.
      entry = { ...group.first, name: record.name }
    } else if (record.kind === 'file' && !record.isRead && record.sizeBytes > 0) {
      report(record.name, 'the first of its hard links could not be read')
    } else {
      entry = capture(record, results)
      if (entry !== undefined && group !== undefined && group.first === undefined) {
        entry = { ...entry, link: group.link }
        group.first = entry
      }
    }
    if (entry === undefined) return
    place(entry)
    if (entry.type === 'file') {
      counts.files += 1
      counts.bytes += entry.sizeBytes
    } else if (entry.type === 'symlink') counts.symlinks += 1
    else specials += 1
  }

  function addRecord(record: SpoolRecord, results: RecordReader | undefined): void {
    switch (record.kind) {
      case 'file':
      case 'symlink':
      case 'special':
        addLinkable(record, results)
        return
      case 'enter': {
        const below = joinPath(open.at(-1)?.below ?? new Uint8Array(), record.name)
        open.push({ name: record.name, metadata: metadataOf(record.inode, record.xattrs), below })
        stack.open()
        return
      }
      case 'leave': {
        const { name, metadata } = open.pop()!
        const directory = buildDirectory(stack.close(), emitIndexed)
        place({ type: 'directory', name, ...metadata, directory })
        counts.directories += 1
        return
      }
      case 'uncaptured':
        report(record.name, record.reason)
    }
  }

  return {
    add(records, results) {
      while (!records.isAtEnd) addRecord(readSpoolRecord(records), results)
    },
    finish() {
      if (root === undefined) throw new MirrorError('internal', `the scan of ${rootPath} ended early`)
      const { root: indexRoot, blocks, sizeBytes } = index.finish()
      return {
        root,
        index: indexRoot,
        counts: {
          ...counts,
          ...(specials === 0 ? {} : { specials }),
          blocks,
          blockBytes: sizeBytes,
        },
        uncaptured: { count: uncaptured, first },
      }
    },
  }
}

function typeOfRecord(record: Extract<SpoolRecord, { kind: 'file' | 'symlink' | 'special' }>): Entry['type'] {
  return record.kind === 'special' ? record.type : record.kind
}

/** Of a file that shrank while it was read. */
function holesUpTo(holes: readonly number[], sizeBytes: number): readonly number[] | undefined {
  const within = holesWithin(holes, 0, sizeBytes)
  return within.length === 0 ? undefined : within
}
