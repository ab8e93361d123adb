/**
 * `get`: one file, written by this process beside its place and renamed; or a folder, which the daemon checks out.
 * A file's bytes are verified by the daemon against their CIDs before they come here.
 */
import { randomBytes } from 'node:crypto'
import { open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import type { Command } from 'commander'
import { asMirrorError, MirrorError } from '../../../src/base/errors.ts'
import type { ResolvedPath } from '../../api/answers.ts'
import type { Context } from '../context.ts'
import { createProgress } from '../progress.ts'
import { parseTreeSpec, type TreeSpec } from '../tree-spec.ts'
import { treeUrl } from '../tree-url.ts'
import { reportCheckout, runCheckout } from './checkout.ts'

interface Options {
  readonly replace?: boolean
  readonly devices?: boolean
  readonly json?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .argument('<TREE[@SEQUENCE]:/PATH>', 'the file or folder')
    .argument('<DEST>', 'the file to write, a folder to write it into, or - for stdout')
    .option('--replace', 'replace DEST when it exists')
    .option('--devices', 'make the device nodes of a folder too; the daemon has to run as root')
    .option('--json', 'print what was copied as JSON (on stderr when DEST is -)')
    .action((spec: string, dest: string, options: Options) => get(context, spec, dest, options))
}

async function get(context: Context, text: string, dest: string, options: Options): Promise<void> {
  const spec = parseTreeSpec(text)
  const found = await context.api.get<ResolvedPath>(treeUrl(spec, 'resolve'), context.signal)
  // Everything below is about the snapshot that was resolved, even when the head moves meanwhile.
  const pinned: TreeSpec = { ...spec, ref: String(found.sequence) }
  if (found.type === 'symlink') {
    throw new MirrorError('invalid', `${text} is a symbolic link to ${found.target}`, {
      hint: 'Get its target.',
    })
  }
  if (found.type === 'directory') {
    if (dest === '-') throw new MirrorError('invalid', `${text} is a folder: it cannot go to stdout`)
    const answer = await runCheckout(context, {
      ...pinned,
      dest: resolve(dest),
      isReplacing: options.replace === true,
      hasDevices: options.devices === true,
    })
    await reportCheckout(context, answer, options.json === true)
    return
  }
  if (found.type !== 'file') {
    throw new MirrorError('unsupported', `${text} is a ${found.type}: it has no content`, {
      hint: 'Get the folder that holds it.',
    })
  }
  const { body } = await context.api.stream(treeUrl(pinned, 'file'), context.signal)
  if (dest === '-') {
    for await (const chunk of body) await context.terminal.print(chunk)
  } else {
    const file = await fileToWrite(dest, found, options.replace === true)
    await writeFile(context, file, found, body)
    if (options.json === true)
      await context.terminal.print(`${JSON.stringify({ ...found, dest: file }, null, 2)}\n`)
  }
  if (dest === '-' && options.json === true) context.terminal.say(JSON.stringify(found))
}

async function fileToWrite(dest: string, found: ResolvedPath, isReplacing: boolean): Promise<string> {
  const place = await stat(dest).catch(() => undefined)
  const file = resolve(place?.isDirectory() === true ? join(dest, basename(found.name)) : dest)
  const there = file === resolve(dest) ? place : await stat(file).catch(() => undefined)
  if (there !== undefined && !isReplacing) {
    throw new MirrorError('conflict', `${file} exists`, { hint: 'Add --replace to replace it.' })
  }
  return file
}

async function writeFile(
  context: Context,
  file: string,
  found: ResolvedPath,
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
    const { setMtime } = await import('../../../src/posix/times.ts')
    setMtime(Buffer.from(temporary), found.mtimeSec, found.mtimeNsec)
    await rename(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true })
    throw asMirrorError(error, `write ${file}`)
  } finally {
    progress.end()
  }
}
