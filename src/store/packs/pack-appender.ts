/**
 * Appends blocks to one pack. Synchronous, so that it serves worker threads, which have nothing else to do; a pack has
 * one appender at a time. It does not check that bytes match keys: the caller has just hashed them.
 *
 * Bytes gather until there is enough for one system call: headers and small blocks in a buffer, large blocks where they
 * lie. Calls of a MiB cost half of what a call for each header and block of 64 KiB costs (measured on ext4). `flush`
 * hands all of it to the kernel (from then on other threads can read it), `sync` waits for the disk. A write that fails
 * leaves the appender as it was: the same bytes are written again by the next flush.
 */
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import { MAX_BLOCK_BYTES } from '../../block/block.ts'
import { CID_KEY_BYTES } from '../../block/cid.ts'
import type { PackedEntry } from '../block-store.ts'
import type { FileOps } from '../files.ts'
import { systemFiles } from '../files.ts'
import type { EntryHeader } from '../pack.ts'
import {
  decodePackHeader,
  ENTRY_HEADER_BYTES,
  encodeEntryHeader,
  encodePackHeader,
  PACK_HEADER_BYTES,
} from '../pack.ts'

/** From here on the copy into the buffer costs more than a system call of its own. */
const DIRECT_BYTES = 64 * 1024
/** And from here on more than a place in the list of what a call writes. */
const HELD_BYTES = 4 * 1024
/** Calls of 4 MiB were at times much slower: the kernel looks for pages that large. */
const GATHER_BYTES = 1024 * 1024

export interface PackAppender {
  /**
   * @param key the 33 bytes of `cidToKeyBytes`; kept by the entry
   * @param bytes the block as it shall rest: plain, or the zstd frame of a block of `zstdOfBytes`; free for reuse when
   *   the call returns
   * @param owner the private tree that it came by; absent for everybody's
   */
  append(key: Uint8Array, bytes: Uint8Array, zstdOfBytes?: number, owner?: number): PackedEntry
  /** The same, and the caller leaves `bytes` alone until the next `flush`. */
  hold(key: Uint8Array, bytes: Uint8Array, zstdOfBytes?: number, owner?: number): PackedEntry
  /** A hint that so many bytes, headers counted, will be appended at once. */
  expect(sizeBytes: number): void
  /** Where the next entry will start, buffered ones counted. */
  readonly sizeBytes: number
  flush(): void
  /** Flushes, then fdatasync. */
  sync(): void
  /** The fdatasync that leaves the event loop free. Only what was flushed before the call is covered. */
  syncLater(): Promise<void>
  /** Forgets every entry that starts at `sizeBytes` or later. None of them may have been published. */
  cutTo(sizeBytes: number): void
  /** What is still buffered is lost. */
  close(): void
}

export interface PackAppenderOptions {
  readonly bufferBytes?: number
  /**
   * The disk is put to work each time that so much was written, long before the sync that waits for it. It may hold the
   * caller up while the disk is busy: for threads that may wait. By default never.
   */
  readonly writebackBytes?: number
  readonly files?: FileOps
}

/** Opens the pack at `path` (made by `createPack` or `reservePack`) to append at its end. */
export function createPackAppender(
  path: string,
  packId: number,
  { bufferBytes = 1024 * 1024, writebackBytes = Infinity, files = systemFiles }: PackAppenderOptions = {},
): PackAppender {
  const what = `append to pack ${packId}`
  const file = attempt(() => files.open(path, 'write'))
  const buffer = Buffer.allocUnsafeSlow(Math.max(bufferBytes, 2 * ENTRY_HEADER_BYTES))
  let writtenBytes = 0
  let startedBytes = 0
  /** What the next flush writes: these, then the buffer's bytes from `looseAt` on. */
  let gathered: Uint8Array[] = []
  let gatheredBytes = 0
  let looseAt = 0
  let bufferedBytes = 0

  try {
    const header = new Uint8Array(PACK_HEADER_BYTES)
    file.readNow(header, 0)
    if (decodePackHeader(header) !== packId) {
      throw new MirrorError('corrupt', `${path} is not pack ${packId}`, { facts: { path, packId } })
    }
    writtenBytes = file.sizeBytes()
    startedBytes = writtenBytes
  } catch (error) {
    file.close()
    throw asMirrorError(error, what)
  }

  function attempt<T>(action: () => T): T {
    try {
      return action()
    } catch (error) {
      throw asMirrorError(error, what, { facts: { path, packId } })
    }
  }

  function gatherLoose(): void {
    if (bufferedBytes > looseAt) gathered.push(buffer.subarray(looseAt, bufferedBytes))
    looseAt = bufferedBytes
  }

  function flush(): void {
    if (gatheredBytes === 0) return
    gatherLoose()
    attempt(() => {
      if (gathered.length === 1) file.write(gathered[0]!, writtenBytes)
      else file.writeAll(gathered, writtenBytes)
    })
    writtenBytes += gatheredBytes
    forget(0)
    startWriteback()
  }

  /** Keeps the first so many of the bytes that were not written. */
  function forget(keptBytes: number): void {
    if (keptBytes >= gatheredBytes) return
    gatherLoose()
    const kept: Uint8Array[] = []
    let left = keptBytes
    for (const part of gathered) {
      if (left === 0) break
      kept.push(part.subarray(0, left))
      left -= kept.at(-1)!.length
    }
    gathered = kept
    gatheredBytes = keptBytes
    if (keptBytes > 0) return
    looseAt = 0
    bufferedBytes = 0
  }

  function add(
    key: Uint8Array,
    bytes: Uint8Array,
    zstdOfBytes: number | undefined,
    owner: number | undefined,
    isHeld: boolean,
  ): PackedEntry {
    if (key.length !== CID_KEY_BYTES || bytes.length > MAX_BLOCK_BYTES) {
      throw new MirrorError('limit', `${what}: a key of ${key.length} and a block of ${bytes.length} bytes`, {
        facts: { packId, maxBytes: MAX_BLOCK_BYTES },
      })
    }
    const neededBytes = ENTRY_HEADER_BYTES + bytes.length
    const isInPlace = bytes.length >= (isHeld ? HELD_BYTES : DIRECT_BYTES) || neededBytes > buffer.length
    if (bufferedBytes + (isInPlace ? ENTRY_HEADER_BYTES : neededBytes) > buffer.length) flush()
    const startBytes = gatheredBytes
    const header: EntryHeader = {
      key,
      encoding: zstdOfBytes === undefined ? 'plain' : 'zstd',
      storedBytes: bytes.length,
      lengthBytes: zstdOfBytes ?? bytes.length,
      ...(owner === undefined ? {} : { owner }),
    }
    const offset = writtenBytes + startBytes + ENTRY_HEADER_BYTES
    encodeEntryHeader(buffer, bufferedBytes, header)
    bufferedBytes += ENTRY_HEADER_BYTES
    if (isInPlace) {
      gatherLoose()
      gathered.push(bytes)
    } else {
      buffer.set(bytes, bufferedBytes)
      bufferedBytes += bytes.length
    }
    gatheredBytes += neededBytes
    if ((isInPlace && !isHeld) || gatheredBytes >= GATHER_BYTES) {
      try {
        flush()
      } catch (error) {
        // The caller will not leave these bytes alone, and does not know where they would lie.
        forget(startBytes)
        throw error
      }
    }
    return { ...header, offset }
  }

  function startWriteback(): void {
    if (writtenBytes - startedBytes < writebackBytes) return
    file.startSync?.(startedBytes, writtenBytes - startedBytes)
    startedBytes = writtenBytes
  }

  return {
    append: (key, bytes, zstdOfBytes, owner) => add(key, bytes, zstdOfBytes, owner, false),
    hold: (key, bytes, zstdOfBytes, owner) => add(key, bytes, zstdOfBytes, owner, true),
    expect: (sizeBytes) => file.reserve?.(writtenBytes + gatheredBytes, sizeBytes),
    get sizeBytes() {
      return writtenBytes + gatheredBytes
    },
    flush,
    sync() {
      flush()
      attempt(() => file.syncNow())
    },
    async syncLater() {
      try {
        await file.sync()
      } catch (error) {
        throw asMirrorError(error, `sync pack ${packId}`, { facts: { path, packId } })
      }
    },
    cutTo(sizeBytes) {
      forget(Math.max(0, sizeBytes - writtenBytes))
      if (sizeBytes >= writtenBytes) return
      writtenBytes = sizeBytes
      startedBytes = Math.min(startedBytes, sizeBytes)
      try {
        file.truncate(sizeBytes)
      } catch {
        // Left over bytes do no harm: the next entries overwrite them, and a scan keeps only what its digest proves.
      }
    },
    close: () => file.close(),
  }
}

/** Makes an empty pack. Its folder is not synced. */
export function createPack(path: string, packId: number, files: FileOps = systemFiles): void {
  let file: ReturnType<FileOps['open']> | undefined
  try {
    file = files.open(path, 'create')
    file.write(encodePackHeader(packId), 0)
  } catch (error) {
    // A file that existed before stays. One of ours without its header would be removed when the store is opened.
    try {
      if (file !== undefined) files.remove(path)
    } catch {
      // The error that counts is the first.
    }
    throw asMirrorError(error, `create pack ${packId}`, { facts: { path, packId } })
  } finally {
    file?.close()
  }
}
