/**
 * The index on LevelDB: the only place that knows `level`.
 *
 * After a failed write LevelDB's own log may hold a torn record, and what is written behind it can be lost on
 * recovery while later writes survive. So a failed batch closes the database, and the next one opens it afresh (which
 * starts a new log) before anything else is written: what survives stays a prefix of what was written.
 */
import { Level } from 'level'
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import type { Index, IndexOperation, IndexRange } from './index.ts'

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
    await database.close()
    database = await openDatabase(dir)
    isSuspect = false
  }

  async function write(operations: readonly IndexOperation[], sync: boolean): Promise<void> {
    if (isSuspect) {
      reopening = reopen()
      try {
        await reopening
      } finally {
        reopening = undefined
      }
    }
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
      if (reopening !== undefined) await reopening
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
      await reopening
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
      await database.close()
    },
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
