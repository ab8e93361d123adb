/**
 * `get`: one file, written by this process beside its place and renamed; or a folder, which the daemon checks out.
 * A file's bytes are verified by the daemon against their CIDs before they come here. Without a daemon, from gateways of a
 * mesh that this machine is no member of: get-outside.ts.
 */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { isMirrorError, MirrorError } from '../../../src/base/errors.ts'
import type { ResolvedPath } from '../../api/answers.ts'
import type { Context } from '../context.ts'
import { formatBytes } from '../quantity.ts'
import { parseTreeSpec, type TreeSpec } from '../tree-spec.ts'
import { treeUrl } from '../tree-url.ts'
import { checkFree, fileAt, writeFile } from '../write-file.ts'
import { reportCheckout, runCheckout } from './checkout.ts'
import { defineOutside, isOutside, type OutsideOptions } from './outside-options.ts'

interface Options extends OutsideOptions {
  readonly replace?: boolean
  readonly devices?: boolean
  readonly json?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .argument('<URL|TREE[@SEQUENCE]:/PATH>', 'the file or folder; a URL is of a gateway')
    .argument('<DEST>', 'the file to write, a folder to write it into, or - for stdout')
    .option('--replace', 'replace DEST when it exists')
    .option('--devices', 'make the device nodes of a folder too; the daemon has to run as root')
    .option('--json', 'print what was copied as JSON (on stderr when DEST is -)')
  defineOutside(command).action(async (spec: string, dest: string, options: Options) => {
    if (!isOutside(spec, options)) return get(context, spec, dest, options).catch(pointOutside)
    const { getOutside } = await import('./get-outside.ts')
    return getOutside(context, spec, dest, options)
  })
}

/** Who has no daemon may be no member at all. */
function pointOutside(error: unknown): never {
  if (!isMirrorError(error, 'unreachable') || error.hint?.startsWith('Start it') !== true) throw error
  throw new MirrorError('unreachable', error.message, {
    facts: error.facts,
    hint: `${error.hint}. A machine that is no member names a gateway: mirrormesh get http://SITE:8080/TREE/PATH DEST --mesh ID`,
    cause: error,
  })
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
      takesEmpty: true,
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
    const file = await fileAt(dest, found)
    if (options.replace !== true) await checkFree(file)
    await writeFile(context, file, found, body)
    if (options.json === true)
      await context.terminal.print(`${JSON.stringify({ ...found, dest: file }, null, 2)}\n`)
    else await context.terminal.print(`${found.name} is at ${file}, ${formatBytes(found.sizeBytes ?? 0)}\n`)
  }
  if (dest === '-' && options.json === true) context.terminal.say(JSON.stringify(found))
}
