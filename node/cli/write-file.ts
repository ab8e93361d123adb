/**
 * One file of a tree, written by this process beside its place and renamed: as `.NAME.mirrormesh-part`, of which there is one,
 * held by a lock that dies with its process. What a killed process left there is written over.
 */

import { constants } from 'node:fs'
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { asMirrorError, MirrorError } from '../../src/base/errors.ts'
import type { ResolvedPath } from '../api/answers.ts'
import type { Context } from './context.ts'
import { createProgress } from './progress.ts'

const PART_FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** Where it goes: a folder that is there gets it under its own name. */
export async function fileAt(dest: string, { name }: Pick<ResolvedPath, 'name'>): Promise<string> {
  const place = await stat(dest).catch(() => undefined)
  return resolve(place?.isDirectory() === true ? join(dest, basename(name)) : dest)
}

/** @throws MirrorError `conflict` when something is there */
export async function checkFree(file: string): Promise<void> {
  if ((await stat(file).catch(() => undefined)) === undefined) return
  throw new MirrorError('conflict', `${file} exists`, { hint: 'Add --replace to replace it.' })
}

export async function writeFile(
  context: Context,
  file: string,
  found: Pick<ResolvedPath, 'name' | 'mode' | 'mtimeSec' | 'mtimeNsec' | 'sizeBytes'>,
  body: AsyncIterable<Uint8Array>,
): Promise<void> {
  const temporary = join(dirname(file), `.${basename(file)}.mirrormesh-part`)
  const progress = createProgress(context, { title: `get ${found.name}` })
  const handle = await openPart(temporary, file)
  try {
    let bytes = 0
    for await (const chunk of body) {
      await handle.write(chunk)
      bytes += chunk.length
      progress.update({ phase: 'copy', bytes, totalBytes: found.sizeBytes })
    }
    if (bytes !== found.sizeBytes) {
      throw new MirrorError('corrupt', `${found.name}: ${bytes} bytes came, not ${found.sizeBytes}`)
    }
    // The setuid, setgid and sticky bits mean another owner's rights: only a check-out restores those.
    await handle.chmod(found.mode & 0o777)
    const { setMtime } = await import('../../src/posix/times.ts')
    setMtime(Buffer.from(temporary), found.mtimeSec, found.mtimeNsec)
    await handle.sync()
    // Still locked: nobody else can have begun to write into it.
    await rename(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true })
    throw asMirrorError(error, `write ${file}`)
  } finally {
    await handle.close()
    progress.end()
  }
}

/** @throws MirrorError `busy` when another process writes there */
async function openPart(temporary: string, file: string): Promise<FileHandle> {
  for (;;) {
    let handle: FileHandle
    try {
      handle = await open(temporary, PART_FLAGS, 0o600)
    } catch (error) {
      throw asMirrorError(error, `write ${file}`)
    }
    try {
      if (await takePart(handle, temporary, file)) return handle
    } catch (error) {
      await handle.close()
      throw error
    }
    await handle.close()
  }
}

/** False when it was renamed to its place, finished, before it could be locked. */
async function takePart(handle: FileHandle, temporary: string, file: string): Promise<boolean> {
  const { tryLock } = await import('../../src/posix/lock.ts')
  if (!tryLock(handle.fd)) {
    throw new MirrorError('busy', `another process is writing ${file}`, {
      hint: 'Wait for it, or choose another place.',
    })
  }
  const [held, named] = await Promise.all([handle.stat(), stat(temporary).catch(() => undefined)])
  if (held.ino !== named?.ino || held.dev !== named.dev) return false
  // In a folder that others write in too, it may be anybody's, or another name of something.
  if (!held.isFile() || held.nlink !== 1 || held.uid !== process.geteuid?.()) {
    throw new MirrorError('conflict', `${temporary} is there, and is not of an earlier get of yours`, {
      hint: 'Remove it, or choose another place.',
    })
  }
  await handle.chmod(0o600)
  await handle.truncate(0)
  return true
}
