/** One file of a tree, written by this process beside its place and renamed. */
import { randomBytes } from 'node:crypto'
import { open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { asMirrorError, MirrorError } from '../../src/base/errors.ts'
import type { ResolvedPath } from '../api/answers.ts'
import type { Context } from './context.ts'
import { createProgress } from './progress.ts'

export async function fileToWrite(
  dest: string,
  found: Pick<ResolvedPath, 'name'>,
  isReplacing: boolean,
): Promise<string> {
  const place = await stat(dest).catch(() => undefined)
  const file = resolve(place?.isDirectory() === true ? join(dest, basename(found.name)) : dest)
  const there = file === resolve(dest) ? place : await stat(file).catch(() => undefined)
  if (there !== undefined && !isReplacing) {
    throw new MirrorError('conflict', `${file} exists`, { hint: 'Add --replace to replace it.' })
  }
  return file
}

export async function writeFile(
  context: Context,
  file: string,
  found: Pick<ResolvedPath, 'name' | 'mode' | 'mtimeSec' | 'mtimeNsec' | 'sizeBytes'>,
  body: AsyncIterable<Uint8Array>,
): Promise<void> {
  const temporary = join(dirname(file), `.${basename(file)}.${randomBytes(6).toString('hex')}.tmp`)
  const progress = createProgress(context, { title: `get ${found.name}` })
  try {
    const handle = await open(temporary, 'wx', 0o600)
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
      await handle.sync()
    } finally {
      await handle.close()
    }
    const { setMtime } = await import('../../src/posix/times.ts')
    setMtime(Buffer.from(temporary), found.mtimeSec, found.mtimeNsec)
    await rename(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true })
    throw asMirrorError(error, `write ${file}`)
  } finally {
    progress.end()
  }
}
