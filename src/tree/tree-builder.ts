/**
 * From the spool of a scan and the results of reading, in walk order, to the DAG: file nodes, directory nodes, block
 * index. Collects what could not be captured, by path and reason.
 *
 * Blocks enter the index as `closure` of the DAG lists them: what an entry reaches before what follows it, a
 * directory's own nodes after all of its entries.
 */
import { printableName } from '../base/bytes.ts'
import { asMirrorError, MirrorError } from '../base/errors.ts'
import type { Block } from '../block/block.ts'
import { cidFromDigest, RAW } from '../block/cid.ts'
import { blake3 } from '../block/hash.ts'
import { createBlockIndexBuilder } from '../dag/block-index.ts'
import { buildDirectory } from '../dag/directory.ts'
import type { Entry, Metadata } from '../dag/entry.ts'
import type { BuiltFile } from '../dag/file.ts'
import { createFileBuilder } from '../dag/file.ts'
import { LINK_BYTES, MAX_UNCAPTURED_LISTED } from '../dag/limits.ts'
import type { Scratch } from '../dag/scratch.ts'
import type { Snapshot } from '../dag/snapshot.ts'
import type { OwnerNames } from '../posix/owners.ts'
import type { EntryStack } from './entry-stack.ts'
import type { GroupState, GroupStates } from './group-states.ts'
import { joinPath } from './path-bytes.ts'
import { readPart, readReadHeader } from './read-results.ts'
import { reasonOfErrno } from './reason.ts'
import type { RecordReader } from './record-bytes.ts'
import type { Inode, LinkGroup, SpoolRecord } from './spool.ts'
import { NO_LINK, readSpoolRecord } from './spool.ts'

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
  { memberCounts, rootPath }: { memberCounts: Uint32Array; rootPath: string },
): TreeBuilder {
  const index = createBlockIndexBuilder(emit, { scratch })
  const open: { readonly name: Uint8Array; readonly inode: Inode; readonly below: Buffer }[] = []
  const counts = { files: 0, directories: 0, symlinks: 0, bytes: 0 }
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

  function metadataOf({ mode, mtimeSec, mtimeNsec, uid, gid }: Inode): Metadata {
    const user = owners.user(uid)
    const group = owners.group(gid)
    return {
      mode,
      mtimeSec,
      mtimeNsec,
      uid,
      gid,
      ...(user === undefined ? {} : { user }),
      ...(group === undefined ? {} : { group }),
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
      return { link: blake3.digest(path).slice(0, LINK_BYTES), missing: memberCounts[group]! }
    })
  }

  function buildContent(results: RecordReader, parts: number): BuiltFile {
    const file = createFileBuilder(emitIndexed)
    for (let part = 0; part < parts; part++) {
      const { digest, lengthBytes } = readPart(results)
      const cid = cidFromDigest(RAW, digest)
      index.add(cid, lengthBytes)
      file.add({ cid, lengthBytes })
    }
    return file.finish()
  }

  function addFile(record: Extract<SpoolRecord, { kind: 'file' }>, results: RecordReader | undefined): void {
    const group = meetGroup(record.group, record.name)
    let built: BuiltFile = { sizeBytes: 0 }
    let { inode } = record
    if (record.isRead) {
      if (results === undefined) throw new MirrorError('internal', 'a batch with files has no results')
      const header = readReadHeader(results)
      if (header.status === 'failed') {
        reportUnread(record.name, header.errno)
        return
      }
      built = buildContent(results, header.parts)
      inode = header.inode
      if (header.status === 'unstable') {
        report(record.name, 'it changed while it was read; what the last of three tries read was captured')
      }
      if (header.hasHoles) report(record.name, 'its holes are captured as zeros')
    } else if (group !== undefined && record.sizeBytes > 0) {
      if (group.first?.type !== 'file') {
        report(record.name, 'the first of its hard links could not be read')
        return
      }
      place({ ...group.first, name: record.name })
      counts.files += 1
      counts.bytes += group.first.sizeBytes
      return
    }
    const entry: Entry = {
      type: 'file',
      name: record.name,
      ...metadataOf(inode),
      ...built,
      ...(group === undefined ? {} : { link: group.link }),
    }
    if (group !== undefined) group.first = entry
    place(entry)
    counts.files += 1
    counts.bytes += built.sizeBytes
  }

  function addRecord(record: SpoolRecord, results: RecordReader | undefined): void {
    switch (record.kind) {
      case 'file':
        addFile(record, results)
        return
      case 'symlink': {
        const group = meetGroup(record.group, record.name)
        const link = group === undefined ? {} : { link: group.link }
        place({
          type: 'symlink',
          name: record.name,
          ...metadataOf(record.inode),
          target: record.target,
          ...link,
        })
        counts.symlinks += 1
        return
      }
      case 'enter': {
        const below = joinPath(open.at(-1)?.below ?? new Uint8Array(), record.name)
        open.push({ name: record.name, inode: record.inode, below })
        stack.open()
        return
      }
      case 'leave': {
        const { name, inode } = open.pop()!
        const directory = buildDirectory(stack.close(), emitIndexed)
        place({ type: 'directory', name, ...metadataOf(inode), directory })
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
        counts: { ...counts, blocks, blockBytes: sizeBytes },
        uncaptured: { count: uncaptured, first },
      }
    },
  }
}
