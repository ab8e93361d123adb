/**
 * The index on LevelDB: the only place that knows `level`.
 *
 * After a failed write LevelDB's own log may hold a torn record, and what is written behind it can be lost on
 * recovery while later writes survive. So a failed batch closes the database, and the next one opens it afresh (which
 * starts a new log) before anything else is written: what survives stays a prefix of what was written. Opening writes:
 * while the disk takes nothing the old one stays open, so that all is still read, and writes are refused. One that
 * could not be opened again all the same is opened by whoever asks next.
 */
import fs from 'node:fs'
import { Level } from 'level'
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import type { Index, IndexOperation, IndexRange } from './index.ts'

/** What opening may write: the log that it replays, as a table, and lists. */
const OPENING_BYTES = 8 * 1024 * 1024

type Database = Level<Uint8Array, Uint8Array>

const OPTIONS = {
  keyEncoding: 'view',
  valueEncoding: 'view',
  // Digests and addresses do not compress.
  compression: false,
  writeBufferSize: 4 * 1024 * 1024,
  // Open tables are mapped into memory, 2 MB each: they count as ours, and the cache of blocks has little to do.
  cacheSize: 8 * 1024 * 1024,
  maxOpenFiles: 100,
} as const

/** True when a failure to open means that the index is damaged and must be rebuilt, not that it cannot be reached. */
export function isDamagedIndex(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code } = cause as { code?: unknown }
    if (code === 'LEVEL_CORRUPTION') return true
    if (/^(Corruption|Invalid argument|NotFound):/.test(cause.message)) return true
    if (/^IO error: .*(CURRENT|MANIFEST-\d+|\.ldb|\.sst|\.log): No such file/.test(cause.message)) return true
  }
  return false
}

/** @throws MirrorError `busy` when another process has it open, `corrupt` when it is damaged */
export async function openLevelIndex(dir: string): Promise<Index> {
  let database = await openDatabase(dir)
  let writing: Promise<void> = Promise.resolve()
  let reopening: Promise<void> | undefined
  let isSuspect = false
  let isClosed = false

  async function reopen(): Promise<void> {
    if (database.status === 'open') {
      await checkDisk(dir)
      await database.close()
    }
    database = await openDatabase(dir)
    isSuspect = false
  }

  function reopenOnce(): Promise<void> {
    reopening ??= reopen().finally(() => {
      reopening = undefined
    })
    return reopening
  }

  const isReady = (): boolean => reopening === undefined && database.status === 'open'

  async function readied(): Promise<void> {
    // A failure is that of the write: while it is open all can be read.
    await reopening?.catch(() => undefined)
    if (database.status !== 'open' && !isClosed) await reopenOnce()
  }

  async function write(operations: readonly IndexOperation[], sync: boolean): Promise<void> {
    if (isSuspect) await reopenOnce()
    try {
      await database.batch(operations as IndexOperation[], { sync })
    } catch (error) {
      isSuspect = true
      throw describe(error, 'write')
    }
  }

  return {
    async getMany(keys) {
      // Not awaited in vain: the lookup is on its way when this call returns.
      if (!isReady()) await readied()
      try {
        return await database.getMany(keys as Uint8Array[])
      } catch (error) {
        throw describe(error, 'read')
      }
    },
    batch(operations, { sync }) {
      const turn = writing.then(() => write(operations, sync))
      writing = turn.catch(() => undefined)
      return turn
    },
    async *entries(range: IndexRange) {
      if (!isReady()) await readied()
      try {
        yield* database.iterator({ ...range })
      } catch (error) {
        throw describe(error, 'list')
      }
    },
    async close() {
      if (isClosed) return
      isClosed = true
      await writing
      await reopening?.catch(() => undefined)
      await database.close()
    },
  }
}

/** @throws MirrorError when the disk would not let it be opened again */
async function checkDisk(dir: string): Promise<void> {
  const probe = `${dir}.probe`
  try {
    const { bavail, bsize } = await fs.promises.statfs(dir)
    const freeBytes = bavail * bsize
    if (freeBytes < OPENING_BYTES) {
      throw new MirrorError(
        'no-space',
        `write the index at ${dir}: a write has failed, and ${OPENING_BYTES} bytes must be free to go on (${freeBytes} are)`,
        { facts: { freeBytes }, hint: 'Free some space there: it goes on by itself. All is read meanwhile.' },
      )
    }
    const file = await fs.promises.open(probe, 'w', 0o600)
    try {
      await file.write('a write to the index has failed')
      await file.sync()
    } finally {
      await file.close()
      await fs.promises.rm(probe, { force: true })
    }
  } catch (error) {
    throw asMirrorError(error, `write the index at ${dir}`, {
      hint: 'Look after that disk: it goes on by itself once it can be written. All is read meanwhile.',
    })
  }
}

async function openDatabase(dir: string): Promise<Database> {
  const database: Database = new Level<Uint8Array, Uint8Array>(dir, OPTIONS)
  try {
    await database.open()
    return database
  } catch (error) {
    const { cause } = error as { cause?: { code?: string } }
    if (cause?.code === 'LEVEL_LOCKED') {
      throw new MirrorError('busy', `the index at ${dir} is open already`, {
        hint: 'Another mirrormesh runs on this home: stop it, or use its API.',
        cause: error,
      })
    }
    throw describe(error, 'open')
  }
}

function describe(error: unknown, action: string): MirrorError {
  if (isDamagedIndex(error)) {
    return new MirrorError('corrupt', `${action} the index: ${messageOf(error)}`, {
      hint: 'Stop the daemon, move the folder index/ of the store aside and start again: it is rebuilt from packs.',
      cause: error,
    })
  }
  // LevelDB reports errno as text only.
  if (/No space left on device|Disk quota exceeded/.test(messageOf(error))) {
    return new MirrorError('no-space', `${action} the index: the disk is full`, { cause: error })
  }
  if (/^IO error/.test(messageOf(error))) {
    return new MirrorError('io', `${action} the index: ${messageOf(error)}`, { cause: error })
  }
  return asMirrorError(error, `${action} the index`)
}

/** LevelDB's own words: abstract-level wraps them. */
function messageOf(error: unknown): string {
  const { cause, message } = error as Error
  return cause instanceof Error ? cause.message : message
}
