/**
 * Which backing is of which tree. A tree is told by its root's inode and time of birth, which a rename keeps. The mark of
 * a backing names it, in words with a space between:
 *
 *   TREE              the files of this tree
 *   OLD NEW           files that are in both, while the one takes the other's place
 *   TREE incomplete   blocks of its files may lie elsewhere as well: a check-out that was given up had taken them
 */
import fs from 'node:fs'
import { equalBytes } from '../../base/bytes.ts'
import type { Backing, BlockBackings } from '../../store/block-backings.ts'
import { rootIdentity } from '../manifest/checkout-marker.ts'
import { joinPath, splitPath } from '../path-bytes.ts'

const INCOMPLETE = 'incomplete'

export function markOfBoth(old: string, next: string): string {
  return `${old} ${next}`
}

/** @param isGivenUp the tree goes on where another was to take its place */
export function markOfOne({ mark = '' }: Backing, identity: string, isGivenUp = false): string {
  return isGivenUp || mark.split(' ').includes(INCOMPLETE) ? `${identity} ${INCOMPLETE}` : identity
}

export function isIncomplete({ mark = '' }: Backing): boolean {
  return mark.split(' ').includes(INCOMPLETE)
}

/** The tree that was there first. */
export function firstTreeOf({ mark = '' }: Backing): string {
  return mark.split(' ')[0]!
}

function isOf({ mark = '' }: Backing, identity: string | undefined): boolean {
  return identity !== undefined && mark.split(' ').includes(identity)
}

function placesOf({ path, alternative }: Backing): Buffer[] {
  return [path, ...(alternative === undefined ? [] : [alternative])].map((each) => Buffer.from(each))
}

function names(backing: Backing, target: Buffer): boolean {
  return placesOf(backing).some((place) => equalBytes(place, target))
}

/** Backings of check-outs that lie at `target`, or may: either by their tree or by their name. */
export function backingsAbout(backings: Pick<BlockBackings, 'list'>, target: Buffer): Backing[] {
  const here = new Set(backingsAt(backings, target).map(({ id }) => id))
  return checkouts(backings).filter((each) => here.has(each.id) || names(each, target))
}

/** The backings of the tree that lies at `target`, whatever they name: what else names it lay there once. */
export function backingsAt(backings: Pick<BlockBackings, 'list'>, target: Buffer): Backing[] {
  const identity = rootIdentity(target)
  return checkouts(backings).filter(
    (each) => isOf(each, identity) && (names(each, target) || (isBeside(each, target) && !isInPlace(each))),
  )
}

export function checkouts(backings: Pick<BlockBackings, 'list'>): Backing[] {
  return backings.list().filter(({ purpose }) => purpose === 'check-out')
}

/** Another place than `target` where a tree of the backing lies, and which one. Not the one at `target`: that goes. */
export function placeBeside(backing: Backing, target: Buffer): { path: Buffer; mark: string } | undefined {
  const going = rootIdentity(target)
  for (const path of placesOf(backing)) {
    const mark = rootIdentity(path)
    if (mark !== undefined && mark !== going && isOf(backing, mark)) return { path, mark }
  }
  return undefined
}

/** Whether a tree of the backing is at one of the places it names; in doubt it is. */
export function isInPlace(backing: Backing): boolean {
  try {
    return placesOf(backing).some((place) => isOf(backing, rootIdentity(place)))
  } catch {
    return true
  }
}

function isBeside({ path }: Backing, target: Buffer): boolean {
  return splitPath(path).dir.equals(splitPath(target).dir)
}

/** Where it lies among what check-outs leave: hidden, with the same mark. */
export function findBeside(backing: Backing): Buffer | undefined {
  const { dir } = splitPath(backing.path)
  try {
    return fs
      .readdirSync(dir, { encoding: 'buffer' })
      .filter((name) => /^\..*\.mirrormesh-[0-9a-f]{16}$/s.test(name.toString('latin1')))
      .map((name) => joinPath(dir, name))
      .find((each) => isOf(backing, rootIdentity(each)))
  } catch (error) {
    // An unmounted disk: its trees are back with it.
    if (typeof (error as NodeJS.ErrnoException).code === 'string') return undefined
    throw error
  }
}
