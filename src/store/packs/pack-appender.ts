/**
 * Appends blocks to one pack. Synchronous, so that it serves worker threads, which have nothing else to do; a pack has
 * one appender at a time. It does not check that bytes match keys: the caller has just hashed them.
 *
 * Bytes gather in a buffer. `flush` hands them to the kernel (from then on other threads can read them), `sync` waits
 * for the disk. A write that fails leaves the appender as it was: the same bytes are written again by the next flush.
 * Large blocks are not buffered: their bytes go to the kernel from where they lie.
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

export interface PackAppender {
  /**
   * @param key the 33 bytes of `cidToKeyBytes`; kept by the entry
   * @param bytes the block as it shall rest: plain, or the zstd frame of a block of `zstdOfBytes`; free for reuse when
   *   the call returns
   * @param owner the private tree that it came by; absent for everybody's
   */
  append(key: Uint8Array, bytes: Uint8Array, zstdOfBytes?: number, owner?: number): PackedEntry
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
  let bufferedBytes = 0
  let startedBytes = 0

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

  function flush(): void {
    if (bufferedBytes === 0) return
    attempt(() => file.write(buffer.subarray(0, bufferedBytes), writtenBytes))
    writtenBytes += bufferedBytes
    bufferedBytes = 0
    startWriteback()
  }

  function startWriteback(): void {
    if (writtenBytes - startedBytes < writebackBytes) return
    file.startSync?.(startedBytes, writtenBytes - startedBytes)
    startedBytes = writtenBytes
  }

  return {
    append(key, bytes, zstdOfBytes, owner) {
      if (key.length !== CID_KEY_BYTES || bytes.length > MAX_BLOCK_BYTES) {
        throw new MirrorError(
          'limit',
          `${what}: a key of ${key.length} and a block of ${bytes.length} bytes`,
          {
            facts: { packId, maxBytes: MAX_BLOCK_BYTES },
          },
        )
      }
      const neededBytes = ENTRY_HEADER_BYTES + bytes.length
      const isDirect = bytes.length >= DIRECT_BYTES || neededBytes > buffer.length
      if (isDirect || bufferedBytes + neededBytes > buffer.length) flush()
      const offset = writtenBytes + bufferedBytes + ENTRY_HEADER_BYTES
      const header: EntryHeader = {
        key,
        encoding: zstdOfBytes === undefined ? 'plain' : 'zstd',
        storedBytes: bytes.length,
        lengthBytes: zstdOfBytes ?? bytes.length,
        ...(owner === undefined ? {} : { owner }),
      }
      encodeEntryHeader(buffer, bufferedBytes, header)
      if (isDirect) {
        // The flush above has emptied the buffer. The header counts only once both are written.
        attempt(() => {
          file.write(buffer.subarray(0, ENTRY_HEADER_BYTES), writtenBytes)
          file.write(bytes, writtenBytes + ENTRY_HEADER_BYTES)
        })
        writtenBytes += neededBytes
        startWriteback()
      } else {
        buffer.set(bytes, bufferedBytes + ENTRY_HEADER_BYTES)
        bufferedBytes += neededBytes
      }
      return { ...header, offset }
    },
    get sizeBytes() {
      return writtenBytes + bufferedBytes
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
      bufferedBytes = Math.max(0, Math.min(bufferedBytes, sizeBytes - writtenBytes))
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
