/**
 * A check-out as the storage of its blocks: the files that were written hold them, and their copies in packs become
 * garbage. So a tree that moves on must not take along what a retained snapshot still needs.
 *
 *   beforeSwitch   the finished tree, still in its staging place, becomes a backing; it and the tree that it replaces
 *                  name both places, so that blocks are found wherever a kill leaves the two
 *   afterSwitch    each names the place where it is now
 *   beforeRemoval  what is needed of a tree, and lies nowhere else, is copied into packs; then it may go
 *
 * Where two renames stand in for an exchange the old tree lies at a third place for a while: `find` looks beside.
 *
 * A tree is told by its root's inode and time of birth, which a rename keeps. Local changes in a check-out make blocks
 * missing, like a fault of the disk.
 */
import fs from 'node:fs'
import { equalBytes } from '../../base/bytes.ts'
import { MirrorError } from '../../base/errors.ts'
import { cidToKeyBytes, RAW } from '../../block/cid.ts'
import type { Entry } from '../../dag/entry.ts'
import { fileParts } from '../../dag/reader.ts'
import { openBeneath } from '../../posix/open-beneath.ts'
import type { BackedBlock, BackedFile, Backing, FileIdentity, IsNeeded } from '../../store/block-backings.ts'
import type { BlockStore } from '../../store/block-store.ts'
import { rootIdentity } from '../manifest/checkout-marker.ts'
import { accessOf, identityOf } from '../manifest/file-state.ts'
import { joinPath, parentPath, splitPath } from '../path-bytes.ts'
import type { WrittenFile } from './written-files.ts'

export interface CheckoutStorage {
  /**
   * The tree at `staging` is written and synced.
   * @param files those of it that hold blocks
   * @param isLocal whether something else is there than the snapshot's entry: the users' own
   * @param label what the backing is said to be of, such as the tree's name
   */
  beforeSwitch(finished: {
    readonly root: Entry
    readonly staging: Buffer
    readonly dest: Buffer
    readonly files: Iterable<WrittenFile>
    readonly isLocal?: (path: Uint8Array, type: Entry['type']) => boolean
    readonly label?: string
    readonly signal?: AbortSignal | undefined
  }): Promise<void>
  /** @param old where the replaced tree lies now */
  afterSwitch(switched: { readonly dest: Buffer; readonly old: Buffer | undefined }): Promise<void>
  /**
   * Of a replaced tree, of a staging place that is given up, of what a killed check-out left.
   * @throws MirrorError when blocks could not be copied: the tree must stay
   */
  beforeRemoval(target: Buffer, signal?: AbortSignal): Promise<void>
  /** After a kill, before anything is read: trees that are at neither of the places they name. */
  find(): Promise<void>
}

const COMMIT_BLOCKS = 4096

export function createCheckoutStorage(
  { blocks }: { readonly blocks: BlockStore },
  {
    isNeeded = async (cids) => cids.map(() => true),
    registers = true,
  }: {
    readonly isNeeded?: IsNeeded
    /** False: a new check-out becomes no storage; those that are it already are looked after. */
    readonly registers?: boolean
  } = {},
): CheckoutStorage {
  const { backings } = blocks

  /** Backings of check-outs of which `target` is one place or the other. */
  function namedBy(target: Buffer): Backing[] {
    return backings
      .list()
      .filter(
        ({ purpose, path, alternative }) =>
          purpose === 'check-out' &&
          (equalBytes(path, target) || (alternative !== undefined && equalBytes(alternative, target))),
      )
  }

  /** The backings of the tree that lies at `target`, whatever they name: what else names it lay there once. */
  function backingsAt(target: Buffer): Backing[] {
    const mark = rootIdentity(target)
    if (mark === undefined) return []
    const named = namedBy(target)
    return backings
      .list()
      .filter(
        (each) =>
          each.purpose === 'check-out' &&
          each.mark === mark &&
          (named.some(({ id }) => id === each.id) || (isBeside(each, target) && !isInPlace(each))),
      )
  }

  async function moveTo(path: Buffer): Promise<void> {
    for (const { id } of backingsAt(path)) await backings.setPaths(id, { path })
  }

  return {
    async beforeSwitch({ root, staging, dest, files: written, isLocal = () => false, label = '', signal }) {
      for (const { id } of backingsAt(dest)) await backings.setPaths(id, { path: dest, alternative: staging })
      if (root.type === 'symlink' || !registers) return
      const mark = rootIdentity(staging)
      if (mark === undefined) throw new MirrorError('internal', 'a check-out was lost before its switch')
      const id = await backings.create({
        purpose: 'check-out',
        label,
        mark,
        path: staging,
        alternative: dest,
      })
      let files: BackedFile[] = []
      let count = 0
      for await (const file of backedFiles(blocks, { written, dir: staging, isLocal, signal })) {
        files.push(file)
        count += file.blocks.length
        if (count < COMMIT_BLOCKS) continue
        await backings.commit(id, files)
        files = []
        count = 0
      }
      await backings.commit(id, files)
    },

    async afterSwitch({ dest, old }) {
      await moveTo(dest)
      if (old !== undefined) await moveTo(old)
    },

    async beforeRemoval(target, signal) {
      const here = new Set(backingsAt(target).map(({ id }) => id))
      for (const { id, path, alternative, mark } of namedBy(target)) {
        const other = alternative !== undefined && equalBytes(path, target) ? alternative : path
        const isElsewhere = !here.has(id) && rootIdentity(Buffer.from(other)) === mark
        // Gone from both places is as well: what can be saved is, and the rest is reported.
        if (isElsewhere) await backings.setPaths(id, { path: other })
        else await backings.evacuate(id, isNeeded, signal)
      }
      for (const id of here) {
        if (backings.list().some((each) => each.id === id)) await backings.evacuate(id, isNeeded, signal)
      }
    },

    async find() {
      for (const each of backings.list()) {
        if (each.purpose !== 'check-out' || isInPlace(each)) continue
        const path = findBeside(each)
        if (path !== undefined) await backings.setPaths(each.id, { path })
      }
    },
  }
}

/** Whether its tree is at one of the places it names; in doubt it is. */
function isInPlace({ path, alternative, mark }: Backing): boolean {
  try {
    return [path, ...(alternative === undefined ? [] : [alternative])].some(
      (each) => rootIdentity(Buffer.from(each)) === mark,
    )
  } catch {
    return true
  }
}

function isBeside({ path }: Backing, target: Buffer): boolean {
  return splitPath(path).dir.equals(splitPath(target).dir)
}

/** Among what check-outs leave: hidden, with the same mark. */
function findBeside({ path, mark }: Backing): Buffer | undefined {
  const { dir } = splitPath(path)
  try {
    return fs
      .readdirSync(dir, { encoding: 'buffer' })
      .filter((name) => /^\..*\.mirrormesh-[0-9a-f]{16}$/s.test(name.toString('latin1')))
      .map((name) => joinPath(dir, name))
      .find((each) => rootIdentity(each) === mark)
  } catch (error) {
    // An unmounted disk: its trees are back with it.
    if (typeof (error as NodeJS.ErrnoException).code === 'string') return undefined
    throw error
  }
}

/** With the chunks they hold. */
async function* backedFiles(
  blocks: BlockStore,
  {
    written,
    dir,
    isLocal,
    signal,
  }: {
    written: Iterable<WrittenFile>
    dir: Buffer
    isLocal: (path: Uint8Array, type: Entry['type']) => boolean
    signal: AbortSignal | undefined
  },
): AsyncGenerator<BackedFile, void, undefined> {
  const { dev } = fs.lstatSync(dir, { bigint: true })
  const readable = createReadable()
  for (const file of written) {
    const { below, state } = file
    if (isLocal(below, 'file')) continue
    const known = state !== undefined && readable.has(below, state) ? identityOf(state, dev) : undefined
    const identity = known ?? lookAt(dir, below)
    if (identity === undefined) continue
    if (known === undefined && state !== undefined) readable.add(below, state)
    yield* inPieces(blocks, file, { below, identity }, signal)
  }
}

/**
 * A file that this user may not read cannot give its blocks back. One is opened of those of a directory that have the same
 * owner and mode: the others can be read as well.
 */
function createReadable(): {
  has(below: Buffer, state: Buffer): boolean
  add(below: Buffer, state: Buffer): void
} {
  let dir: Buffer = Buffer.alloc(0)
  const found = new Set<string>()
  return {
    has: (below, state) => parentPath(below).equals(dir) && found.has(accessOf(state)),
    add(below, state) {
      const parent = parentPath(below)
      if (!parent.equals(dir)) {
        found.clear()
        dir = parent
      }
      found.add(accessOf(state))
    },
  }
}

async function* inPieces(
  blocks: BlockStore,
  { content, sizeBytes }: WrittenFile,
  file: Omit<BackedFile, 'blocks'>,
  signal: AbortSignal | undefined,
): AsyncGenerator<BackedFile, void, undefined> {
  if (content.code === RAW) {
    yield { ...file, blocks: [{ key: cidToKeyBytes(content), offset: 0, lengthBytes: sizeBytes }] }
    return
  }
  let found: BackedBlock[] = []
  for await (const { cid, offset, lengthBytes } of fileParts(
    blocks,
    { content, sizeBytes },
    undefined,
    signal,
  )) {
    found.push({ key: cidToKeyBytes(cid), offset, lengthBytes })
    if (found.length < COMMIT_BLOCKS) continue
    yield { ...file, blocks: found }
    found = []
  }
  if (found.length > 0) yield { ...file, blocks: found }
}

/** Undefined for a file that this user wrote and may not read again: its blocks stay in packs. */
function lookAt(dir: Buffer, below: Buffer): FileIdentity | undefined {
  let fd: number
  try {
    fd = openBeneath(dir, below)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EACCES' || code === 'EPERM') return undefined
    throw error
  }
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = fs.fstatSync(fd, { bigint: true })
    return { dev, ino, sizeBytes: Number(size), mtimeNs, ctimeNs }
  } finally {
    fs.closeSync(fd)
  }
}
