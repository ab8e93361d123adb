/**
 * Reads blocks out of files outside of the store, and gives only what matches the CID. A file may lie at either path of
 * its backing. A bounded number of files stays open: reading a large one block by block opens it once.
 */
import { concatBytes, printableName } from '../../base/bytes.ts'
import { asMirrorError, isMirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import { verifyBlock } from '../../block/cid.ts'
import type { FileOps, ForeignFile } from '../files.ts'
import type { FilePlace } from '../index/index.ts'
import type { BackingIndex } from './backing-index.ts'
import type { StoredFile } from './backing-values.ts'

const MAX_OPEN = 16
/** Nothing regular is there, or only by following a link. */
const GONE = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'EXDEV', 'EINVAL', 'ENXIO', 'EISDIR', 'ENAMETOOLONG'])

export interface Unusable {
  readonly reason: string
  /** Where it was looked for, printable. */
  readonly path: string
}

export interface BackingReader {
  /**
   * The block, or why those bytes are not it.
   * @throws MirrorError when the disk cannot be read: that says nothing about the block
   */
  read(cid: Cid, place: FilePlace): Promise<Uint8Array | Unusable>
  /** The file as it is now, at the first path where there is one. The caller closes it. */
  open(backingId: number, file: StoredFile): ForeignFile | undefined
  /** Closes the files of a backing that are open. */
  forget(backingId: number): void
  close(): void
}

interface OpenFile {
  readonly backingId: number
  readonly file: ForeignFile
  readers: number
  isForgotten: boolean
}

export function createBackingReader({
  files,
  index,
}: {
  readonly files: FileOps
  readonly index: BackingIndex
}): BackingReader {
  // In the order of their last use.
  const cache = new Map<string, OpenFile>()

  function openAt(root: Uint8Array, below: Uint8Array): ForeignFile | undefined {
    try {
      return files.openForeign(root, below)
    } catch (error) {
      if (GONE.has((error as NodeJS.ErrnoException).code ?? '')) return undefined
      throw asMirrorError(error, 'read a backed file', {
        hint: 'The file is outside of the store; may the user of the daemon read it?',
      })
    }
  }

  function release(name: string, open: OpenFile): void {
    cache.delete(name)
    open.isForgotten = true
    if (open.readers === 0) open.file.close()
  }

  function use(name: string, backingId: number, root: Uint8Array, below: Uint8Array): OpenFile | undefined {
    let open = cache.get(name)
    if (open === undefined) {
      const file = openAt(root, below)
      if (file === undefined) return undefined
      open = { backingId, file, readers: 0, isForgotten: false }
    }
    cache.delete(name)
    cache.set(name, open)
    for (const [oldName, old] of cache) {
      if (cache.size <= MAX_OPEN) break
      if (old !== open) release(oldName, old)
    }
    return open
  }

  async function readAt({ file }: OpenFile, { offset, lengthBytes }: FilePlace): Promise<Uint8Array> {
    try {
      const bytes = new Uint8Array(Buffer.allocUnsafeSlow(lengthBytes).buffer)
      const count = await file.read(bytes, offset)
      return count === lengthBytes ? bytes : bytes.slice(0, count)
    } catch (error) {
      throw asMirrorError(error, 'read a backed file')
    }
  }

  /** The block; false when the file has other bytes there, undefined when there is no file. */
  async function tryPath(
    cid: Cid,
    place: FilePlace,
    { root, below, name }: { root: Uint8Array; below: Uint8Array; name: string },
  ): Promise<Uint8Array | false | undefined> {
    for (;;) {
      const isFresh = !cache.has(name)
      const open = use(name, place.backingId, root, below)
      if (open === undefined) return undefined
      open.readers += 1
      try {
        const bytes = await readAt(open, place)
        if (matches(cid, bytes)) return bytes
      } finally {
        open.readers -= 1
        if (open.isForgotten && open.readers === 0) open.file.close()
      }
      if (cache.get(name) === open) release(name, open)
      // A file that was open already may be another by now.
      if (isFresh) return false
    }
  }

  return {
    async read(cid, place) {
      const { backingId, fileId } = place
      const backing = index.backings.get(backingId)
      const file = backing && (await index.file(backingId, fileId))
      if (backing === undefined || file === undefined)
        return { reason: 'its backing is gone', path: `backing ${backingId}` }
      let isThere = false
      for (const [i, root] of [backing.path, backing.alternative].entries()) {
        if (root === undefined) continue
        const name = `${backingId}/${fileId}/${i}`
        const found = await tryPath(cid, place, { root, below: file.below, name })
        if (found instanceof Uint8Array) return found
        isThere ||= found === false
      }
      return {
        reason: isThere ? 'the file was changed behind our back' : 'the file was removed behind our back',
        path: printableName(absolutePath(backing.path, file.below)),
      }
    },

    open(backingId, { below }) {
      const backing = index.backings.get(backingId)
      if (backing === undefined) return undefined
      const file = openAt(backing.path, below)
      return file ?? (backing.alternative === undefined ? undefined : openAt(backing.alternative, below))
    },

    forget(backingId) {
      for (const [name, open] of [...cache]) if (open.backingId === backingId) release(name, open)
    },

    close() {
      for (const [name, open] of [...cache]) release(name, open)
    },
  }
}

export function absolutePath(root: Uint8Array, below: Uint8Array): Uint8Array {
  return below.length === 0 ? root : concatBytes([root, Uint8Array.of(0x2f), below])
}

function matches(cid: Cid, bytes: Uint8Array): boolean {
  try {
    verifyBlock(cid, bytes)
    return true
  } catch (error) {
    if (isMirrorError(error, 'corrupt')) return false
    throw error
  }
}
