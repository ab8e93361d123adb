/** Whether a copy is the tree. Nothing of mirrormesh is used. */
import { closeSync, lstatSync, openSync, readdirSync, readSync } from 'node:fs'
import { join, relative } from 'node:path'
import { compareFolders } from '../../tour/compare.ts'
import type { System } from './system.ts'

/** @returns what differs, printable; for a system that keeps bytes alone, only those of files count */
export function differencesOf(tree: string, copy: string, keeps: System['keeps']): readonly string[] {
  return keeps === 'everything' ? compareFolders(tree, copy).first : differentBytes(tree, copy)
}

function differentBytes(tree: string, copy: string): string[] {
  const different: string[] = []
  const buffers = [Buffer.allocUnsafe(1 << 20), Buffer.allocUnsafe(1 << 20)] as const
  for (const entry of readdirSync(tree, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const name = relative(tree, path)
    const other = join(copy, name)
    if (lstatSync(other, { throwIfNoEntry: false })?.isFile() !== true) different.push(`${name} is missing`)
    else if (!isSame(path, other, buffers)) different.push(`${name}: other bytes`)
  }
  return different
}

function isSame(a: string, b: string, [left, right]: readonly [Buffer, Buffer]): boolean {
  const files = [openSync(a, 'r'), openSync(b, 'r')] as const
  try {
    for (;;) {
      const count = readSync(files[0], left, 0, left.length, null)
      const other = readSync(files[1], right, 0, right.length, null)
      if (count !== other || left.compare(right, 0, other, 0, count) !== 0) return false
      if (count === 0) return true
    }
  } finally {
    for (const file of files) closeSync(file)
  }
}
