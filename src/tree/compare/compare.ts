/**
 * Compares a directory (or file, or link) on disk with what a snapshot says of it, in walk order, without following
 * symbolic links. Contents are hashed along the recorded chunks, so nothing is cut again; what lies in a hole is not
 * read. Opens nothing but directories and regular files. Reads only.
 */

import fs from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { compareBytes, equalBytes } from '../../base/bytes.ts'
import { verifyBlock } from '../../block/cid.ts'
import type { Entry, FileEntry, LinkableEntry } from '../../dag/entry.ts'
import { isDevice } from '../../dag/entry.ts'
import { createHoleCollector, holesWithin } from '../../dag/holes.ts'
import { fileParts, readDirectory } from '../../dag/reader.ts'
import type { NodeSource } from '../../dag/source.ts'
import { loadXattrs } from '../../dag/xattrs.ts'
import { eachHole } from '../../posix/holes.ts'
import { unpackDevice } from '../../posix/special.ts'
import { readXattrs } from '../../posix/xattr.ts'
import type { DirectoryNames } from '../directory-names.ts'
import { loadDirectoryNames } from '../directory-names.ts'
import { PROTECTED } from '../local/scan-local.ts'
import { asBuffer, joinPath, parentPath } from '../path-bytes.ts'
import { reasonOf } from '../reason.ts'
import { createZeroTest } from '../zero-chunks.ts'
import { hasSameHoles, metadataDifference, xattrDifference } from './compare-metadata.ts'
import { createProtectedPaths } from './protected-paths.ts'

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants

export interface Difference {
  /** Below the root, raw bytes; empty for the root. */
  readonly path: Uint8Array
  readonly kind: 'missing' | 'extra' | 'type' | 'content' | 'metadata' | 'link' | 'unreadable' | 'protected'
  /** What differs, for people. */
  readonly detail: string
}

export interface CompareOptions {
  readonly root: Entry
  readonly dir: string | Uint8Array
  /** Compare uid and gid (the default: only as root, who could have set them). */
  readonly owner?: boolean
  /**
   * It is a check-out that keeps these paths, and folders with a file PROTECTED: they are told as `protected`, once,
   * and not compared.
   */
  readonly protect?: readonly string[] | undefined
  readonly signal?: AbortSignal
}

/** @param components.tempDir for the names of very large directories */
export async function* compareTree(
  { blocks, tempDir }: { blocks: NodeSource; tempDir: string },
  { root, dir, owner = process.geteuid?.() === 0, protect, signal }: CompareOptions,
): AsyncGenerator<Difference, void, undefined> {
  const top = asBuffer(typeof dir === 'string' ? Buffer.from(path.resolve(dir)) : dir)
  const local = protect && createProtectedPaths(blocks, { top, protect, signal })
  /** Inode of the first member of each hard-link group. */
  const groups = new Map<string, string>()

  async function* compareEntry(entry: Entry, below: Buffer): AsyncGenerator<Difference, void, undefined> {
    signal?.throwIfAborted()
    const at = joinPath(top, below)
    let stat: fs.BigIntStats
    try {
      stat = await fs.promises.lstat(at, { bigint: true })
    } catch (error) {
      const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT'
      yield {
        path: below,
        kind: isMissing ? 'missing' : 'unreadable',
        detail: isMissing ? entry.type : reasonOf(error),
      }
      return
    }
    if ((await local?.covers(below, entry)) === true) {
      yield kept(below)
      return
    }
    const found = typeOf(stat)
    if (found !== entry.type) {
      yield { path: below, kind: 'type', detail: `${found} instead of ${entry.type}` }
      return
    }
    const metadata = metadataDifference(entry, stat, owner)
    // What users put into a folder moves its time, until the next check-out sets it.
    const mayBeMoved = local !== undefined && entry.type === 'directory' && ONLY_TIME.test(metadata)
    if (metadata !== '' && !mayBeMoved) yield { path: below, kind: 'metadata', detail: metadata }
    const xattrs = await compareXattrs(entry, at)
    if (xattrs !== undefined) yield { path: below, ...xattrs }
    if (entry.type === 'directory') {
      let isMoved = false
      for await (const difference of compareDirectory(entry.directory, below, at, Number(stat.size))) {
        if (difference.kind === 'protected' && parentPath(difference.path).equals(below)) isMoved = true
        yield difference
      }
      if (mayBeMoved && !isMoved) yield { path: below, kind: 'metadata', detail: metadata }
      return
    }
    if (entry.link !== undefined) {
      const key = Buffer.from(entry.link).toString('latin1')
      const inode = `${stat.dev}:${stat.ino}`
      const first = groups.get(key)
      if (first === undefined) groups.set(key, inode)
      else if (first !== inode) yield { path: below, kind: 'link', detail: 'not a hard link of its group' }
      else return
    }
    const content = await contentDifference(entry, at, stat)
    if (content !== undefined) yield { path: below, ...content }
  }

  async function compareXattrs(
    entry: Entry,
    at: Buffer,
  ): Promise<Pick<Difference, 'kind' | 'detail'> | undefined> {
    const wanted = (await loadXattrs(blocks, entry, signal)).xattrs
    try {
      const found = readXattrs(at, (_, error) => {
        throw error
      })
      const detail = xattrDifference(wanted, found, process.geteuid?.() === 0)
      return detail === '' ? undefined : { kind: 'metadata', detail }
    } catch (error) {
      return { kind: 'unreadable', detail: reasonOf(error) }
    }
  }

  async function* compareDirectory(
    cid: Extract<Entry, { type: 'directory' }>['directory'],
    below: Buffer,
    at: Buffer,
    sizeBytes: number,
  ): AsyncGenerator<Difference, void, undefined> {
    let names: DirectoryNames
    try {
      names = await loadDirectoryNames(at, sizeBytes, { tempDir })
    } catch (error) {
      yield { path: below, kind: 'unreadable', detail: reasonOf(error) }
      return
    }
    const takeName = (): Buffer | undefined => {
      const name = names.next()
      return name === undefined ? undefined : Buffer.from(name, 'latin1')
    }
    try {
      let name = takeName()
      for await (const entry of readDirectory(blocks, cid, { signal })) {
        for (; name !== undefined && compareBytes(name, entry.name) < 0; name = takeName())
          yield* extra(joinPath(below, name))
        if (name?.equals(entry.name)) name = takeName()
        yield* compareEntry(entry, joinPath(below, entry.name))
      }
      for (; name !== undefined; name = takeName()) yield* extra(joinPath(below, name))
    } finally {
      names.close()
    }
  }

  async function* extra(below: Buffer): AsyncGenerator<Difference, void, undefined> {
    const isOwn = below.equals(OWN_MARK)
    if (local === undefined || isOwn) {
      yield isOwn && local !== undefined
        ? kept(below)
        : { path: below, kind: 'extra', detail: 'not in the snapshot' }
      return
    }
    for await (const { path: each, isLocal } of local.split(below)) {
      yield isLocal ? kept(each) : { path: each, kind: 'extra', detail: 'not in the snapshot' }
    }
  }

  async function contentDifference(
    entry: LinkableEntry,
    at: Buffer,
    stat: fs.BigIntStats,
  ): Promise<Pick<Difference, 'kind' | 'detail'> | undefined> {
    try {
      if (entry.type === 'symlink') {
        const target = await fs.promises.readlink(at, { encoding: 'buffer' })
        return equalBytes(target, entry.target) ? undefined : { kind: 'content', detail: 'another target' }
      }
      if (isDevice(entry)) {
        const { major, minor } = unpackDevice(stat.rdev)
        return major === entry.major && minor === entry.minor
          ? undefined
          : { kind: 'content', detail: `device ${major}:${minor} instead of ${entry.major}:${entry.minor}` }
      }
      if (entry.type !== 'file') return undefined
      if (Number(stat.size) !== entry.sizeBytes) {
        return { kind: 'content', detail: `${stat.size} bytes instead of ${entry.sizeBytes}` }
      }
      if (entry.sizeBytes === 0) return undefined
      const handle = await fs.promises.open(at, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
      try {
        const collector = createHoleCollector(entry.sizeBytes)
        eachHole(handle.fd, entry.sizeBytes, collector.add)
        const { holes } = collector.finish()
        const offset = await firstDifference({ blocks, handle, holes }, entry, signal)
        if (offset !== undefined) return { kind: 'content', detail: `differs in the chunk at byte ${offset}` }
        return hasSameHoles(entry.holes ?? [], holes, entry.sizeBytes, Number(stat.blksize))
          ? undefined
          : { kind: 'metadata', detail: 'its holes differ' }
      } finally {
        await handle.close()
      }
    } catch (error) {
      if (typeof (error as NodeJS.ErrnoException).syscall !== 'string') throw error
      return { kind: 'unreadable', detail: reasonOf(error) }
    }
  }

  yield* compareEntry({ ...root, name: new Uint8Array() }, Buffer.alloc(0))
}

/** The check-out itself is protected: it does not move. */
const OWN_MARK = Buffer.from(PROTECTED)
const ONLY_TIME = /^mtime [^,]*$/

function kept(below: Buffer): Difference {
  return { path: below, kind: 'protected', detail: 'kept at each move of the check-out, and not compared' }
}

/**
 * Offset of the first recorded chunk that the file does not have; undefined when it has them all.
 * @param holes of the file as it is: they are not read
 */
export async function firstDifference(
  {
    blocks,
    handle,
    holes,
  }: {
    readonly blocks: NodeSource
    readonly handle: FileHandle
    readonly holes: readonly number[]
  },
  entry: FileEntry,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  const isZeroChunk = createZeroTest()
  let buffer = Buffer.allocUnsafeSlow(0)
  for await (const { cid, lengthBytes, offset } of fileParts(blocks, entry, undefined, signal)) {
    const within = holes.length === 0 ? [] : holesWithin(holes, offset, offset + lengthBytes)
    if (within[1] === lengthBytes) {
      if (isZeroChunk({ cid, lengthBytes })) continue
      return offset
    }
    if (buffer.length < lengthBytes) buffer = Buffer.allocUnsafeSlow(lengthBytes)
    let filled = 0
    while (filled < lengthBytes) {
      const { bytesRead } = await handle.read(buffer, filled, lengthBytes - filled, offset + filled)
      if (bytesRead === 0) return offset
      filled += bytesRead
    }
    try {
      verifyBlock(cid, buffer.subarray(0, lengthBytes))
    } catch {
      return offset
    }
  }
  return undefined
}

/** Of the entry that a snapshot would hold. */
export function typeOf(stat: fs.BigIntStats): Entry['type'] {
  if (stat.isFile()) return 'file'
  if (stat.isDirectory()) return 'directory'
  if (stat.isSymbolicLink()) return 'symlink'
  if (stat.isFIFO()) return 'fifo'
  if (stat.isSocket()) return 'socket'
  return stat.isBlockDevice() ? 'block-device' : 'character-device'
}
