/**
 * Walks a tree with synchronous calls, in a thread of its own, and spools what it finds (spool.ts).
 *
 * Opens nothing but directories: devices, sockets and fifos are reported, never touched. Names are read as latin1, one
 * character a byte: that keeps a directory of a million names small, and sorting such strings is the order of raw
 * bytes. What cannot be read is reported by path and reason and the rest goes on; only the root must be readable.
 */
import fs from 'node:fs'
import { printableName } from '../base/bytes.ts'
import { asMirrorError, MirrorError } from '../base/errors.ts'
import { MAX_DEPTH, MAX_PATH_BYTES } from '../dag/limits.ts'
import { listXattrs } from '../posix/xattr.ts'
import type { IgnoreRules } from './ignore-rules.ts'
import { inodeOf } from './inode.ts'
import { createLinkTable } from './link-table.ts'
import { joinPath } from './path-bytes.ts'
import { reasonOf } from './reason.ts'
import { createRecordWriter } from './record-bytes.ts'
import type { SpoolBatch } from './spool.ts'
import { NO_LINK, writeSpoolRecord } from './spool.ts'
import type { StatCacheCursor } from './stat-cache-cursor.ts'
import { createStatKey } from './stat-key.ts'

const BATCH_FILES = 512
const BATCH_BYTES = 4 * 1024 * 1024
const BATCH_RECORD_BYTES = 128 * 1024

export interface ScanResult {
  /** Members met of each link group. */
  readonly memberCounts: Uint32Array
}

interface OpenDirectory {
  /** Absolute, and below the root. */
  readonly path: Buffer
  readonly below: Buffer
  readonly names: readonly string[]
  next: number
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
  spoolFd: number,
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
    onBatch({ dir: startDir, startByte, endByte: spool.position, files, bytes, reads, known: range })
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

  function reportXattrs(path: Buffer, name: Uint8Array): void {
    let names: string[]
    try {
      names = listXattrs(path).filter((attribute) => attribute !== 'security.selinux')
    } catch (error) {
      report(name, `its extended attributes cannot be listed: ${reasonOf(error)}`)
      return
    }
    if (names.length === 0) return
    const shown = names
      .slice(0, 4)
      .map((attribute) => printableName(Buffer.from(attribute, 'latin1')).slice(0, 60))
    const more = names.length > shown.length ? ` and ${names.length - shown.length} more` : ''
    report(name, `extended attributes are not captured yet: ${shown.join(', ')}${more}`)
  }

  function visit(path: Buffer, below: Buffer, name: Uint8Array): void {
    let stat: fs.BigIntStats
    let target: Buffer | undefined
    let names: string[] | undefined
    if (below.length > MAX_PATH_BYTES) {
      report(name, `its path below the root is over ${MAX_PATH_BYTES} bytes`)
      return
    }
    try {
      stat = fs.lstatSync(path, { bigint: true })
      if (name.length > 0 && ignore?.excludes(below, stat.isDirectory())) return
      if (stat.isSymbolicLink()) target = fs.readlinkSync(path, { encoding: 'buffer' })
      else if (stat.isDirectory()) {
        if (open.length >= MAX_DEPTH) {
          report(name, `it is below ${MAX_DEPTH} directories`)
          return
        }
        names = fs.readdirSync(path, { encoding: 'latin1' }).sort()
      }
    } catch (error) {
      if (name.length === 0) throw rootError(error, path)
      report(name, reasonOf(error))
      return
    }
    rootDev ??= stat.dev
    statKey.set(stat, rootDev)
    const isAsKnown =
      known?.cursor.meet(Buffer.from(name).toString('latin1'), names !== undefined, key) === true
    const inode = inodeOf(stat)
    const link =
      stat.nlink > 1n && names === undefined ? links.meet(stat.dev, stat.ino, Number(stat.nlink)) : undefined
    const group = link?.group ?? NO_LINK
    const asKnown = isAsKnown ? known?.cursor.take() : undefined
    if (names !== undefined) {
      if (asKnown === undefined) reportXattrs(path, name)
      writeSpoolRecord(spool, asKnown ?? { kind: 'enter', name, inode, stat: key })
      open.push({ path, below, names, next: 0 })
    } else if (target !== undefined) {
      if (asKnown === undefined) reportXattrs(path, name)
      writeSpoolRecord(spool, {
        ...(asKnown?.kind === 'symlink' ? asKnown : { kind: 'symlink', name, inode, target, stat: key }),
        group,
      })
    } else if (stat.isFile()) {
      const sizeBytes = Number(stat.size)
      if (!Number.isSafeInteger(sizeBytes)) {
        report(name, 'it is larger than 2^53 bytes')
        return
      }
      if (asKnown === undefined) reportXattrs(path, name)
      const isRead = sizeBytes > 0 && link?.isFirst !== false
      const isKnown = isRead && asKnown !== undefined && known?.cursor.takeResult(knownResults!) === true
      const { ino, ctimeNs } = stat
      const fresh = { kind: 'file', name, inode, sizeBytes, ino, ctimeNs, stat: key } as const
      const record = asKnown?.kind === 'file' ? asKnown : fresh
      writeSpoolRecord(spool, { ...record, group, isRead, isKnown })
      files += 1
      bytes += sizeBytes
      if (isRead) reads += 1
    } else if (name.length === 0) {
      throw new MirrorError(
        'unsupported',
        `${printableName(path)} is a ${kindOf(stat)}: a tree is a directory, a file or a symbolic link`,
      )
    } else {
      report(name, `a ${kindOf(stat)} is not captured yet`)
    }
  }

  visit(root, empty, empty)
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    const next = top.names[top.next++]
    if (next === undefined) {
      open.pop()
      known?.cursor.leave()
      writeSpoolRecord(spool, { kind: 'leave' })
    } else {
      const name = Buffer.from(next, 'latin1')
      visit(joinPath(top.path, name), joinPath(top.below, name), name)
    }
    if (files >= BATCH_FILES || bytes >= BATCH_BYTES || spool.position - startByte >= BATCH_RECORD_BYTES)
      endBatch()
  }
  endBatch()
  return { memberCounts: links.memberCounts() }
}

function rootError(error: unknown, path: Buffer): MirrorError {
  return asMirrorError(error, `read ${printableName(path)}`, {
    hint: 'Name a directory, a file or a symbolic link that this user may read.',
  })
}

function kindOf(stat: fs.BigIntStats): string {
  if (stat.isFIFO()) return 'fifo'
  if (stat.isSocket()) return 'socket'
  if (stat.isCharacterDevice()) return 'character device'
  if (stat.isBlockDevice()) return 'block device'
  return 'file of an unknown kind'
}
