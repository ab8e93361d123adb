/**
 * Whether a tree is as a stat cache has it, to the last entry: one listing a directory, one stat an entry, and nothing
 * opened. Gives up at the first difference.
 */
import fs from 'node:fs'
import type { DirectoryNames } from '../directory-names.ts'
import { readDirectoryNames } from '../directory-names.ts'
import type { IgnoreRules } from '../ignore-rules.ts'
import { joinPath } from '../path-bytes.ts'
import { createStatKey } from '../spool/stat-key.ts'
import type { StatCacheCursor } from './cursor.ts'

const REPORTED_ENTRIES = 16_384

interface OpenDirectory {
  /** Absolute, with the slash that its entries' names follow. */
  readonly prefix: Buffer
  readonly below: Buffer
  readonly names: DirectoryNames
}

export interface CheckResult {
  readonly isUnchanged: boolean
  readonly entries: number
}

/**
 * @param root absolute path
 * @param options.tempDir for the names of very large directories
 */
export function checkTree(
  root: Buffer,
  cursor: StatCacheCursor,
  { tempDir, ignore }: { readonly tempDir: string; readonly ignore?: IgnoreRules | undefined },
  onEntries: (count: number) => void = () => undefined,
): CheckResult {
  const open: OpenDirectory[] = []
  const key = createStatKey()
  let rootDev: bigint | undefined
  let entries = 0

  /** False when anything differs. @param name one character a byte */
  function visit(path: Buffer, name: string): boolean {
    const stat = fs.lstatSync(path, { bigint: true, throwIfNoEntry: false })
    if (stat === undefined) return false
    rootDev ??= stat.dev
    key.set(stat, rootDev)
    const { isDirectory } = key
    const parent = open.at(-1)
    const below =
      ignore !== undefined || isDirectory
        ? joinPath(parent?.below ?? EMPTY, Buffer.from(name, 'latin1'))
        : EMPTY
    if (ignore !== undefined && below.length > 0 && ignore.excludes(below, isDirectory)) return true
    if (!cursor.meet(name, isDirectory, key.bytes) || cursor.passedOver > 0) return false
    entries += 1
    if (entries % REPORTED_ENTRIES === 0) onEntries(REPORTED_ENTRIES)
    if (isDirectory) {
      const names = readDirectoryNames(path, Number(stat.size), { tempDir })
      const prefix = Buffer.concat([path, SLASH])
      open.push({ prefix, below, names })
    }
    return true
  }

  function walk(): boolean {
    if (!visit(root, '')) return false
    for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
      const name = top.names.next()
      if (name === undefined) {
        top.names.close()
        open.pop()
        cursor.leave()
        if (cursor.passedOver > 0) return false
      } else if (!visit(pathIn(top.prefix, name), name)) return false
    }
    return cursor.isAtEnd && cursor.passedOver === 0
  }

  try {
    return { isUnchanged: walk(), entries }
  } catch (error) {
    // What cannot be read is for the import to report.
    if (typeof (error as NodeJS.ErrnoException).syscall !== 'string') throw error
    return { isUnchanged: false, entries }
  } finally {
    for (const { names } of open) names.close()
  }
}

const SLASH = Buffer.from('/')
const EMPTY = Buffer.alloc(0)

function pathIn(prefix: Buffer, name: string): Buffer {
  const path = Buffer.allocUnsafe(prefix.length + name.length)
  prefix.copy(path)
  path.write(name, prefix.length, 'latin1')
  return path
}
