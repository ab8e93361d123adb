/**
 * What of a check-out is its users' own, for whoever compares it with its snapshot: the paths that were named to be
 * protected, and folders with a file PROTECTED in them that the snapshot does not have. The same rules as scan-local.ts,
 * asked path by path.
 */
import fs from 'node:fs'
import type { Entry } from '../../dag/entry.ts'
import { lookUp } from '../../dag/reader.ts'
import type { NodeSource } from '../../dag/source.ts'
import { PROTECTED } from '../local/scan-local.ts'
import { joinPath } from '../path-bytes.ts'

export interface ProtectedPaths {
  /** Whether what is at `below`, where the snapshot has `entry`, is local, all that is in it included. */
  covers(below: Buffer, entry: Entry): Promise<boolean>
  /** What is at `below`, where the snapshot has nothing: the local paths in it and the others, topmost first. */
  split(below: Buffer): AsyncGenerator<{ readonly path: Buffer; readonly isLocal: boolean }, void, undefined>
}

export function createProtectedPaths(
  blocks: NodeSource,
  {
    top,
    protect,
    signal,
  }: { readonly top: Buffer; readonly protect: readonly string[]; readonly signal: AbortSignal | undefined },
): ProtectedPaths {
  const named = new Set(protect.map((path) => Buffer.from(path).toString('latin1')))
  const isNamed = (below: Buffer): boolean => named.has(below.toString('latin1'))

  async function hasMark(below: Buffer): Promise<boolean> {
    const stat = await lstat(joinPath(top, joinPath(below, Buffer.from(PROTECTED))))
    return stat?.isFile() === true
  }

  async function holdsLocal(below: Buffer): Promise<boolean> {
    const within = `${below.toString('latin1')}/`
    for (const path of named) {
      if (path.startsWith(within) && (await lstat(joinPath(top, Buffer.from(path, 'latin1'))))) return true
    }
    const open = [below]
    for (let dir = open.pop(); dir !== undefined; dir = open.pop()) {
      signal?.throwIfAborted()
      if (await hasMark(dir)) return true
      for (const { name, isDirectory } of await list(joinPath(top, dir))) {
        if (isDirectory) open.push(joinPath(dir, name))
      }
    }
    return false
  }

  async function* split(
    below: Buffer,
  ): AsyncGenerator<{ readonly path: Buffer; readonly isLocal: boolean }, void, undefined> {
    const isDirectory = (await lstat(joinPath(top, below)))?.isDirectory() === true
    const isLocal = isNamed(below) || (isDirectory && (await hasMark(below)))
    if (isLocal || !isDirectory || !(await holdsLocal(below))) {
      yield { path: below, isLocal }
      return
    }
    for (const { name } of await list(joinPath(top, below))) yield* split(joinPath(below, name))
  }

  return {
    async covers(below, entry) {
      // A mark in the check-out itself stops its moves, and makes nothing of it local.
      if (below.length === 0) return false
      if (isNamed(below)) return true
      if (!(await hasMark(below))) return false
      if (entry.type !== 'directory') return true
      return (await lookUp(blocks, entry, [Buffer.from(PROTECTED)], signal)) === undefined
    },
    split,
  }
}

async function lstat(path: Buffer): Promise<fs.Stats | undefined> {
  try {
    return await fs.promises.lstat(path)
  } catch (error) {
    if (typeof (error as NodeJS.ErrnoException).code === 'string') return undefined
    throw error
  }
}

/** In order of names; what cannot be listed holds nothing that could be named. */
async function list(dir: Buffer): Promise<{ name: Buffer; isDirectory: boolean }[]> {
  try {
    const entries = await fs.promises.readdir(dir, { encoding: 'buffer', withFileTypes: true })
    return entries
      .map((entry) => ({ name: entry.name, isDirectory: entry.isDirectory() }))
      .sort((a, b) => a.name.compare(b.name))
  } catch (error) {
    if (typeof (error as NodeJS.ErrnoException).code === 'string') return []
    throw error
  }
}
