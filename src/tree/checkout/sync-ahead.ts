/**
 * Has the disk work while a check-out is still written, where it would idle until the sync at the end and then keep all waiting.
 * Promises nothing: the sync at the end does. That one needs a descriptor of its own, opened before the first write: what fails
 * here is told to it as well, each descriptor once.
 */
import fs from 'node:fs'
import { syncFileSystemLater } from '../../posix/sync.ts'

export interface SyncAhead {
  /** So much more was written. */
  note(bytes: number): void
  /** Resolves when none is at work; none begins any more. */
  end(): Promise<void>
}

/** Of small files a twentieth of a second of a fast disk; a commit of the journal for it costs little beside. */
const STEP_BYTES = 64 * 1024 * 1024

/** @param dir any directory on the file system */
export function createSyncAhead(
  dir: Uint8Array,
  { stepBytes = STEP_BYTES, sync = syncFileSystemLater } = {},
): SyncAhead {
  const fd = fs.openSync(Buffer.from(dir), 'r')
  let waitingBytes = 0
  let running: Promise<void> | undefined
  let isEnded = false

  /** One at a time: a slow disk is asked as often as it can answer. */
  async function run(): Promise<void> {
    waitingBytes = 0
    try {
      await sync(fd)
    } catch {
      // The sync at the end says so.
    }
    running = undefined
  }

  return {
    note(bytes) {
      waitingBytes += bytes
      if (!isEnded && running === undefined && waitingBytes >= stepBytes) running = run()
    },
    async end() {
      isEnded = true
      await running
      fs.closeSync(fd)
    },
  }
}
