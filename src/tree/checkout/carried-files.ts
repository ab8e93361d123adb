/**
 * What a check-out that moves on keeps of its registration. Files that were taken over are in both trees, as one inode at
 * the same path: they stay registered as they are. All others leave, with the blocks that lie in them, for a backing of
 * the old tree alone. So an update costs what changed: here a look at each file, and the index is written for what goes.
 *
 * A block that lay in a file that goes may be in one that stays as well: of such, one is named to be registered again.
 */
import fs from 'node:fs'
import { cidToKeyBytes, RAW } from '../../block/cid.ts'
import type { BlockBackings, CommittedFile } from '../../store/block-backings.ts'
import type { BlockStore } from '../../store/block-store.ts'
import { joinPath } from '../path-bytes.ts'
import { blocksOf } from './backed-files.ts'
import { createReadableFiles, lookAt } from './readable-files.ts'
import { GONE } from './reuse-file.ts'
import type { WrittenFile } from './written-files.ts'

/** Files that leave in one go. */
const RUN_FILES = 512
/** Beyond, blocks that are held twice may be copied into packs, and take their space twice until they go. */
const MAX_KEYS = 100_000

export interface LeftBlocks {
  /** Whether the file, which stays, holds one that has left and that no file before it was found to hold. */
  isHeldBy(file: WrittenFile): Promise<boolean>
}

export interface CarryOver {
  /** Of the tree that is replaced. */
  readonly from: number
  /** Makes the backing that what goes leaves for; not asked when nothing goes. */
  readonly to: () => Promise<number>
  /** The new tree. */
  readonly staging: Buffer
  readonly isLocal: (below: Uint8Array) => boolean
  readonly signal: AbortSignal | undefined
}

export async function leaveBehind(
  { blocks, backings }: { readonly blocks: BlockStore; readonly backings: BlockBackings },
  { from, to, staging, isLocal, signal }: CarryOver,
): Promise<LeftBlocks> {
  const keys = new Set<string>()
  const sizes = new Set<number>()
  const isIn = createLook(staging)
  let going: number[] = []

  async function leave(): Promise<void> {
    if (going.length === 0) return
    for (const key of await backings.transfer(from, await to(), going))
      if (keys.size < MAX_KEYS) keys.add(nameOf(key))
    going = []
  }

  for await (const run of backings.files(from)) {
    signal?.throwIfAborted()
    for (const file of run) {
      if (isIn(file) && !isLocal(file.below)) continue
      going.push(file.fileId)
      if (sizes.size < MAX_KEYS) sizes.add(file.identity.sizeBytes)
      if (going.length >= RUN_FILES) await leave()
    }
  }
  await leave()

  return {
    async isHeldBy(file) {
      if (keys.size === 0) return false
      if (file.content.code === RAW) return keys.delete(nameOf(cidToKeyBytes(file.content)))
      // What it consists of is read only where it may be the same.
      if (!sizes.has(file.sizeBytes)) return false
      let isHeld = false
      for await (const { key } of blocksOf(blocks, file, signal)) isHeld = keys.delete(nameOf(key)) || isHeld
      return isHeld
    },
  }
}

/** Whether the file is in the tree as the inode that it was, and can be read there. */
function createLook(dir: Buffer): (file: CommittedFile) => boolean {
  const readable = createReadableFiles()
  return ({ below: path, identity }) => {
    const below = Buffer.from(path.buffer, path.byteOffset, path.byteLength)
    const stat = statOf(joinPath(dir, below))
    if (
      stat === undefined ||
      stat.ino !== identity.ino ||
      stat.mtimeNs !== identity.mtimeNs ||
      Number(stat.size) !== identity.sizeBytes ||
      !stat.isFile()
    )
      return false
    const access = `${stat.mode}:${stat.uid}:${stat.gid}`
    if (readable.has(below, access)) return true
    if (lookAt(dir, below) === undefined) return false
    readable.add(below, access)
    return true
  }
}

function statOf(path: Buffer): fs.BigIntStats | undefined {
  try {
    return fs.lstatSync(path, { bigint: true, throwIfNoEntry: false })
  } catch (error) {
    if (GONE.has((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')
}
