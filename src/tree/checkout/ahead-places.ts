/**
 * Puts what was written ahead where the check-out has it: a directory with its files in one rename, for which a check-out
 * makes its directories here, one after the other, parents first. Everything else that is in them is written as ever.
 */
import fs from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Cid } from '../../block/cid.ts'
import { renameNoReplace } from '../../posix/rename.ts'
import type { LocalPaths } from '../local/local-paths.ts'
import { joinPath } from '../path-bytes.ts'
import { alreadyThere } from './staging-directories.ts'

/** What was written ahead: of each directory a folder with files, which was closed when all of them were written. */
export interface StagedAhead {
  /** Beside the destination, and no leftover; undefined when there is nothing. */
  readonly place: Buffer | undefined
  /** On its file system, opened before the first write: what fails to reach the disk is told to the sync at the end. */
  readonly syncFd: number | undefined
  /** Written there. */
  readonly bytes: number
  /** Which of a directory's files that can be ahead are; undefined when none is. */
  filesOf(directory: Cid): AheadFiles | undefined
  folderOf(directory: Cid): Buffer
}

export type AheadFiles = (name: Uint8Array) => boolean

/** Makes the directory below the staging place. Returns which of its files were written ahead. */
export type PlaceAhead = (below: Buffer, directory: Cid) => Promise<AheadFiles | undefined>

const FILES_A_TURN = 256

export function createAheadPlaces(
  ahead: StagedAhead,
  { staging, local }: { readonly staging: Buffer; readonly local: LocalPaths },
): PlaceAhead {
  return async (below, directory) => {
    const to = joinPath(staging, below)
    // What the users' own takes the place of must not be there before it.
    const files = local.leadsTo(below) ? undefined : ahead.filesOf(directory)
    if (below.length === 0) {
      // The staging place itself is there, and locked.
      if (files !== undefined) await moveFiles(ahead.folderOf(directory), to)
      return files
    }
    if (files !== undefined && isMoved(ahead.folderOf(directory), to, below)) return files
    try {
      fs.mkdirSync(to, { mode: 0o700 })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      throw alreadyThere(below, error)
    }
    return undefined
  }
}

/** False where the tree has the directory in two places, and this is not the first. */
function isMoved(from: Buffer, to: Buffer, below: Buffer): boolean {
  try {
    move(from, to)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === undefined) throw error
    if (code === 'EEXIST') throw alreadyThere(below, error)
    // Whatever it is, the directory is written in the ordinary way.
    return false
  }
}

function move(from: Buffer, to: Buffer): void {
  try {
    renameNoReplace(from, to)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // A file system that does not know the call. Nobody else makes anything in the staging place.
    if (code !== 'EINVAL' && code !== 'ENOSYS') throw error
    if (fs.lstatSync(to, { throwIfNoEntry: false }) !== undefined) {
      throw Object.assign(new Error('EEXIST: it is there already'), { code: 'EEXIST' })
    }
    fs.renameSync(from, to)
  }
}

async function moveFiles(from: Buffer, to: Buffer): Promise<void> {
  const names = fs.readdirSync(from, { encoding: 'buffer' })
  for (const [at, name] of names.entries()) {
    move(joinPath(from, name), joinPath(to, name))
    if (at % FILES_A_TURN === FILES_A_TURN - 1) await nextTurn()
  }
}
