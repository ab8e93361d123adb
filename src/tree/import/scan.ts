/**
 * Walks a tree with synchronous calls, in a thread of its own, and spools what it finds (spool.ts).
 *
 * Opens nothing but directories, each through the one above it (trail.ts): devices, sockets and fifos are never touched.
 * Mount points below the root are part of the tree, as for cp and rsync. What cannot be read is reported by path and reason and the rest goes on; only the root must be readable.
 */
import fs from 'node:fs'
import { printableName } from '../../base/bytes.ts'
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import { MAX_DEPTH, MAX_PATH_BYTES } from '../../dag/limits.ts'
import type { SpecialType } from '../../posix/special.ts'
import { unpackDevice } from '../../posix/special.ts'
import type { DirectoryNames } from '../directory-names.ts'
import { readDirectoryNames } from '../directory-names.ts'
import type { IgnoreRules } from '../ignore-rules.ts'
import { joinPath } from '../path-bytes.ts'
import { reasonOf } from '../reason.ts'
import { inodeOf } from '../spool/inode.ts'
import { createRecordWriter } from '../spool/record-bytes.ts'
import type { SpoolBatch } from '../spool/spool.ts'
import { NO_LINK, writeSpoolRecord } from '../spool/spool.ts'
import { createStatKey } from '../spool/stat-key.ts'
import { captureXattrs, NO_XATTRS } from '../spool/xattr-records.ts'
import type { StatCacheCursor } from '../stat-cache/cursor.ts'
import { createLinkTable } from './link-table.ts'
import { createTrail } from './trail.ts'

const BATCH_FILES = 512
const BATCH_BYTES = 4 * 1024 * 1024
const BATCH_RECORD_BYTES = 128 * 1024

export interface ScanResult {
  /** Members met of each link group. */
  readonly memberCounts: Uint32Array
}

interface OpenDirectory {
  readonly below: Buffer
  readonly names: DirectoryNames
}

/** What an earlier import left (stat-cache.ts), and where the results that it has are copied to. */
export interface KnownTree {
  readonly cursor: StatCacheCursor
  readonly resultsFd: number
}

export interface ScanOptions {
  readonly known?: KnownTree | undefined
  readonly ignore?: IgnoreRules | undefined
}

/**
 * @param root absolute path
 * @param onBatch is called in walk order; the records of the batch can be read by then
 * @throws MirrorError when the root is missing, unreadable or not of a kind that a snapshot holds
 */
export function scanTree(
  root: Buffer,
  { spoolFd, tempDir }: { spoolFd: number; tempDir: string },
  onBatch: (batch: SpoolBatch) => void,
  { known, ignore }: ScanOptions = {},
): ScanResult {
  const spool = createRecordWriter(spoolFd)
  const knownResults = known && createRecordWriter(known.resultsFd)
  const statKey = createStatKey()
  const key = statKey.bytes
  let rootDev: bigint | undefined
  const links = createLinkTable()
  const open: OpenDirectory[] = []
  const trail = createTrail(root)
  const empty = Buffer.alloc(0)
  let startByte = 0
  let startDir: Buffer = empty
  let files = 0
  let bytes = 0
  let reads = 0
  let knownByte = 0

  function endBatch(): void {
    if (spool.position === startByte) return
    spool.flush()
    knownResults?.flush()
    const knownEnd = knownResults?.position ?? 0
    const range = { startByte: knownByte, endByte: knownEnd }
    // A copy: a small Buffer is a view of a pool of 64 KiB, and a message takes all of it along.
    const dir = new Uint8Array(startDir)
    onBatch({ dir, startByte, endByte: spool.position, files, bytes, reads, known: range })
    knownByte = knownEnd
    startByte = spool.position
    startDir = open.at(-1)?.below ?? empty
    files = 0
    bytes = 0
    reads = 0
  }

  function report(name: Uint8Array, reason: string): void {
    writeSpoolRecord(spool, { kind: 'uncaptured', name, reason })
  }

  /** What a directory holds, and its inode as it was opened; undefined when it is too deep. */
  function enter(name: Uint8Array): { names: DirectoryNames; stat: fs.BigIntStats } | undefined {
    if (open.length >= MAX_DEPTH) {
      report(name, `it is below ${MAX_DEPTH} directories`)
      return undefined
    }
    if (open.length > 0) trail.enter(name)
    try {
      const stat = fs.fstatSync(trail.fd(), { bigint: true })
      return { names: readDirectoryNames(trail.path(empty), Number(stat.size), { tempDir }), stat }
    } catch (error) {
      if (open.length > 0) trail.leave()
      throw error
    }
  }

  function visit(below: Buffer, name: Uint8Array): void {
    if (below.length > MAX_PATH_BYTES) {
      report(name, `its path below the root is over ${MAX_PATH_BYTES} bytes`)
      return
    }
    let path: Buffer
    let stat: fs.BigIntStats
    let target: Buffer | undefined
    let names: DirectoryNames | undefined
    try {
      path = open.length === 0 ? root : trail.path(name)
      stat = fs.lstatSync(path, { bigint: true })
      if (name.length > 0 && ignore?.excludes(below, stat.isDirectory())) return
      if (stat.isSymbolicLink()) target = fs.readlinkSync(path, { encoding: 'buffer' })
      else if (stat.isDirectory()) {
        const entered = enter(name)
        if (entered === undefined) return
        ;({ names, stat } = entered)
        path = trail.path(empty)
      }
    } catch (error) {
      if (name.length === 0) throw rootError(error, root)
      report(name, reasonOf(error))
      return
    }
    rootDev ??= stat.dev
    statKey.set(stat, rootDev)
    const isAsKnown =
      known?.cursor.meet(Buffer.from(name).toString('latin1'), names !== undefined, key) === true
    const link =
      stat.nlink > 1n && names === undefined ? links.meet(stat.dev, stat.ino, Number(stat.nlink)) : undefined
    const group = link?.group ?? NO_LINK
    const asKnown = isAsKnown ? known?.cursor.take() : undefined
    // A change of attributes moves ctime: those of an entry that is as known are, too.
    const xattrs = asKnown === undefined ? captureXattrs(path, (reason) => report(name, reason)) : NO_XATTRS
    const fresh = { name, inode: inodeOf(stat), xattrs, stat: key }
    if (names !== undefined) {
      writeSpoolRecord(spool, asKnown ?? { kind: 'enter', ...fresh })
      open.push({ below, names })
    } else if (target !== undefined) {
      writeSpoolRecord(spool, {
        ...(asKnown?.kind === 'symlink' ? asKnown : { kind: 'symlink', ...fresh, target }),
        group,
      })
    } else if (stat.isFile()) {
      const sizeBytes = Number(stat.size)
      if (!Number.isSafeInteger(sizeBytes)) {
        report(name, 'it is larger than 2^53 bytes')
        return
      }
      const isRead = sizeBytes > 0 && link?.isFirst !== false
      const isKnown = isRead && asKnown !== undefined && known?.cursor.takeResult(knownResults!) === true
      const { ino, ctimeNs } = stat
      const record =
        asKnown?.kind === 'file' ? asKnown : ({ kind: 'file', ...fresh, sizeBytes, ino, ctimeNs } as const)
      writeSpoolRecord(spool, { ...record, group, isRead, isKnown })
      files += 1
      bytes += sizeBytes
      if (isRead) reads += 1
    } else {
      const type = specialTypeOf(stat)
      if (name.length === 0) {
        throw new MirrorError(
          'unsupported',
          `${printableName(root)} is a ${type}: a tree is a directory, a file or a symbolic link`,
        )
      }
      const device = type.endsWith('device') ? unpackDevice(stat.rdev) : { major: 0, minor: 0 }
      writeSpoolRecord(spool, {
        ...(asKnown?.kind === 'special' ? asKnown : { kind: 'special', ...fresh, type, ...device }),
        group,
      })
    }
  }

  try {
    visit(empty, empty)
    for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
      const next = top.names.next()
      if (next === undefined) {
        top.names.close()
        open.pop()
        if (open.length > 0) trail.leave()
        known?.cursor.leave()
        writeSpoolRecord(spool, { kind: 'leave' })
      } else {
        const name = Buffer.from(next, 'latin1')
        visit(joinPath(top.below, name), name)
      }
      if (files >= BATCH_FILES || bytes >= BATCH_BYTES || spool.position - startByte >= BATCH_RECORD_BYTES)
        endBatch()
    }
  } finally {
    trail.close()
  }
  endBatch()
  const memberCounts = links.memberCounts()
  links.close()
  return { memberCounts }
}

function rootError(error: unknown, path: Buffer): MirrorError {
  return asMirrorError(error, `read ${printableName(path)}`, {
    hint: 'Name a directory, a file or a symbolic link that this user may read.',
  })
}

function specialTypeOf(stat: fs.BigIntStats): SpecialType {
  if (stat.isFIFO()) return 'fifo'
  if (stat.isSocket()) return 'socket'
  return stat.isBlockDevice() ? 'block-device' : 'character-device'
}
