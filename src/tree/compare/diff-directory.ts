/**
 * What changed from a snapshot to a directory on disk, in walk order, from metadata alone: a file counts as the same
 * when its size and time are, as with rsync. With `checksum` contents are read along the recorded chunks. Hard-link
 * groups, extended attributes and holes are compared as a publish would record them.
 */
import fs from 'node:fs'
import { compareBytes, equalBytes, printableName } from '../../base/bytes.ts'
import { asMirrorError } from '../../base/errors.ts'
import type { Change } from '../../dag/diff.ts'
import { hasSameMetadata } from '../../dag/diff.ts'
import { buildDirectory } from '../../dag/directory.ts'
import type { Entry } from '../../dag/entry.ts'
import { isDevice } from '../../dag/entry.ts'
import { createHoleCollector } from '../../dag/holes.ts'
import { readDirectory } from '../../dag/reader.ts'
import type { NodeSource } from '../../dag/source.ts'
import type { TreePath } from '../../dag/tree-path.ts'
import { childPath, ROOT_PATH } from '../../dag/tree-path.ts'
import { eachHole } from '../../posix/holes.ts'
import { unpackDevice } from '../../posix/special.ts'
import type { DirectoryNames } from '../directory-names.ts'
import { loadDirectoryNames } from '../directory-names.ts'
import type { IgnoreRules } from '../ignore-rules.ts'
import { joinPath } from '../path-bytes.ts'
import { inodeOf } from '../spool/inode.ts'
import { firstDifference, typeOf } from './compare.ts'
import { withFound } from './compare-metadata.ts'
import { createFoundLinks } from './found-links.ts'

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants

/** Stats under way at one time. */
const STATS_IN_FLIGHT = 64

export interface DiffDirectoryOptions {
  /** Undefined: everything in the directory is new. */
  readonly root: Entry | undefined
  /** Absolute. */
  readonly dir: Uint8Array
  readonly checksum?: boolean
  readonly ignore?: IgnoreRules | undefined
  readonly signal?: AbortSignal | undefined
}

/** Stands for the entries of a directory on disk, which have no CID. */
const EMPTY_DIRECTORY = buildDirectory([], () => undefined)

/** An entry of the disk: the fields of a snapshot's, with a size and no content. */
interface Found {
  readonly stat: fs.BigIntStats
  readonly entry: Entry
}

/**
 * @param components.tempDir for the names of very large directories
 * @throws MirrorError when the directory, or one in it, cannot be read
 */
export async function* diffDirectory(
  { blocks, tempDir }: { blocks: NodeSource; tempDir: string },
  { root, dir, checksum = false, ignore, signal }: DiffDirectoryOptions,
): AsyncGenerator<Change, void, undefined> {
  const top = Buffer.from(dir)
  const links = createFoundLinks()

  async function find(below: Buffer, name: Uint8Array): Promise<Found | undefined> {
    const at = joinPath(top, below)
    try {
      const stat = await fs.promises.lstat(at, { bigint: true })
      if (below.length > 0 && ignore?.excludes(below, stat.isDirectory())) return undefined
      return { stat, entry: await entryOf(stat, name, at) }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT' && below.length > 0) return undefined
      throw asMirrorError(error, `compare ${printableName(at)}`)
    }
  }

  async function* list(
    below: Buffer,
    { stat }: Found,
  ): AsyncGenerator<{ name: Buffer; found: Found }, void, undefined> {
    const at = joinPath(top, below)
    let names: DirectoryNames
    try {
      names = await loadDirectoryNames(at, Number(stat.size), { tempDir })
    } catch (error) {
      throw asMirrorError(error, `compare ${printableName(at)}`)
    }
    try {
      for (let some = takeSome(names); some.length > 0; some = takeSome(names)) {
        signal?.throwIfAborted()
        const found = await Promise.all(some.map((name) => find(joinPath(below, name), name)))
        for (const [index, each] of found.entries()) {
          if (each !== undefined) yield { name: some[index]!, found: each }
        }
      }
    } finally {
      names.close()
    }
  }

  async function* compare(
    path: TreePath,
    below: Buffer,
    before: Entry | undefined,
    found: Found | undefined,
  ): AsyncGenerator<Change, void, undefined> {
    signal?.throwIfAborted()
    const change = await changeOf(path.names, below, before, found)
    if (change !== undefined) yield change
    const disk = found?.entry.type === 'directory' ? list(below, found) : undefined
    try {
      yield* compareEntries(path, below, before, disk)
    } finally {
      await disk?.return()
    }
  }

  async function* compareEntries(
    path: TreePath,
    below: Buffer,
    before: Entry | undefined,
    disk: ReturnType<typeof list> | undefined,
  ): AsyncGenerator<Change, void, undefined> {
    const wasDirectory = before?.type === 'directory'
    if (disk === undefined && !wasDirectory) return
    let next = await disk?.next()
    if (wasDirectory) {
      for await (const child of readDirectory(blocks, before.directory, { signal })) {
        for (; next?.done === false; next = await disk?.next()) {
          const order = compareBytes(next.value.name, child.name)
          if (order >= 0) break
          yield* step(path, below, next.value.name, undefined, next.value.found)
        }
        const isHere = next?.done === false && equalBytes(next.value.name, child.name)
        yield* step(path, below, child.name, child, isHere ? next?.value?.found : undefined)
        if (isHere) next = await disk?.next()
      }
    }
    for (; next?.done === false; next = await disk?.next()) {
      yield* step(path, below, next.value.name, undefined, next.value.found)
    }
  }

  function step(
    path: TreePath,
    below: Buffer,
    name: Uint8Array,
    before: Entry | undefined,
    found: Found | undefined,
  ) {
    return compare(childPath(path, name), joinPath(below, name), before, found)
  }

  async function changeOf(
    path: readonly Uint8Array[],
    below: Buffer,
    before: Entry | undefined,
    found: Found | undefined,
  ): Promise<Change | undefined> {
    const whole = { content: true, metadata: true }
    if (found === undefined) return before && { path, before, change: 'removed', ...whole }
    const linkBefore = before?.type === 'directory' ? undefined : before?.link
    const link = links.linkOf(found.stat, below, linkBefore)
    if (before === undefined) return { path, after: found.entry, change: 'added', ...whole }
    if (before.type !== found.entry.type)
      return { path, before, after: found.entry, change: 'type', ...whole }
    const at = joinPath(top, below)
    const after = withFound(found.entry, { before, stat: found.stat, at, link })
    const metadata = !hasSameMetadata(before, after)
    const isSameTime = before.mtimeSec === after.mtimeSec && before.mtimeNsec === after.mtimeNsec
    const content = await hasOtherContent(before, after, isSameTime, at)
    return content || metadata ? { path, before, after, change: 'changed', content, metadata } : undefined
  }

  async function hasOtherContent(
    before: Entry,
    after: Entry,
    isSameTime: boolean,
    at: Buffer,
  ): Promise<boolean> {
    if (before.type === 'symlink' && after.type === 'symlink') return !equalBytes(before.target, after.target)
    if (isDevice(before) && isDevice(after)) {
      return before.major !== after.major || before.minor !== after.minor
    }
    if (before.type !== 'file' || after.type !== 'file') return false
    if (before.sizeBytes !== after.sizeBytes) return true
    if (!checksum) return !isSameTime
    if (before.sizeBytes === 0) return false
    const handle = await fs.promises.open(at, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    try {
      const collector = createHoleCollector(before.sizeBytes)
      eachHole(handle.fd, before.sizeBytes, collector.add)
      const { holes } = collector.finish()
      return (await firstDifference({ blocks, handle, holes }, before, signal)) !== undefined
    } finally {
      await handle.close()
    }
  }

  async function entryOf(stat: fs.BigIntStats, name: Uint8Array, at: Buffer): Promise<Entry> {
    const metadata = { name, ...inodeOf(stat) }
    const type = typeOf(stat)
    switch (type) {
      case 'file':
        return { type, ...metadata, sizeBytes: Number(stat.size) }
      case 'symlink':
        return { type, ...metadata, target: await fs.promises.readlink(at, { encoding: 'buffer' }) }
      case 'directory':
        return { type, ...metadata, directory: EMPTY_DIRECTORY }
      case 'fifo':
      case 'socket':
        return { type, ...metadata }
      default:
        return { type, ...metadata, ...unpackDevice(stat.rdev) }
    }
  }

  const found = await find(Buffer.alloc(0), new Uint8Array())
  yield* compare(ROOT_PATH, Buffer.alloc(0), root, found)
}

function takeSome(names: DirectoryNames): Buffer[] {
  const some: Buffer[] = []
  while (some.length < STATS_IN_FLIGHT) {
    const name = names.next()
    if (name === undefined) break
    some.push(Buffer.from(name, 'latin1'))
  }
  return some
}
