/** Small files that must be whole or absent: written beside their place, synced, renamed, and the folder synced. */
import { randomBytes } from 'node:crypto'
import { link, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { makeDirs } from '../src/posix/make-dirs.ts'

export interface WriteOptions {
  /** Permission bits from the start: a secret is never readable by others, not for an instant. */
  readonly mode: number
  /** Fails with EEXIST instead of replacing what is there. */
  readonly isNew?: boolean
  /** Where it is written first, on the same file system; absent: beside it, by a name of its own. */
  readonly temporary?: string
}

export async function writeDurably(
  file: string,
  bytes: Uint8Array | string,
  options: WriteOptions,
): Promise<void> {
  const temporary = options.temporary ?? `${file}.${randomBytes(6).toString('hex')}.tmp`
  try {
    const handle = await open(temporary, options.temporary === undefined ? 'wx' : 'w', options.mode)
    try {
      await handle.writeFile(bytes)
      await handle.sync()
    } finally {
      await handle.close()
    }
    if (options.isNew === true) {
      await link(temporary, file)
      await rm(temporary)
    } else {
      await rename(temporary, file)
    }
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  await syncDir(dirname(file))
}

/** Creates a folder that only its owner can enter; one that exists is left as it is. */
export async function makePrivateDir(dir: string): Promise<void> {
  makeDirs(dir, 0o700)
}

async function syncDir(dir: string): Promise<void> {
  const handle = await open(dir, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
