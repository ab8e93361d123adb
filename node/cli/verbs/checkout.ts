/** `checkout`: the daemon writes a snapshot as plain files and switches it in with one rename. */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import type { CheckoutAnswer } from '../../api/jobs/job-answers.ts'
import type { Context } from '../context.ts'
import { EXIT } from '../exit-codes.ts'
import { runJob } from '../job.ts'
import { countOf, formatBytes, formatSeconds } from '../quantity.ts'
import { parseTreeSpec } from '../tree-spec.ts'
import { readVersions } from '../versions-option.ts'

interface Options {
  readonly replace?: boolean
  readonly devices?: boolean
  readonly takeEmpty?: boolean
  readonly protect?: string[]
  readonly versions?: number
  readonly json?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .argument('<TREE[@SEQUENCE]>', 'the snapshot')
    .argument('<DEST>', 'the folder to make; written by the daemon, as its user')
    .option('--replace', 'when DEST is an earlier check-out, put this one in its place')
    .option('--devices', 'make device nodes too (else they are reported); the daemon has to run as root')
    .option('--take-empty', 'when DEST is an empty folder, put the check-out in its place')
    .option(
      '--protect <PATH>',
      'below DEST: stays as it is, at later moves too; may be repeated',
      (path: string, before: string[] = []) => [...before, path],
    )
    .option(
      '--versions <N>',
      'make it DEST/SEQUENCE, lead the link DEST/latest to it, and keep the newest N there side by side',
      readVersions,
    )
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      '\nWith --versions what the link leads to and what is tagged stays as well; nothing there is ever replaced.',
    )
    .action((spec: string, dest: string, options: Options) => checkOut(context, spec, dest, options))
}

async function checkOut(context: Context, text: string, dest: string, options: Options): Promise<void> {
  const spec = parseTreeSpec(text)
  if (spec.path !== undefined) {
    throw new MirrorError('invalid', 'checkout writes a whole snapshot', {
      hint: `For a part of it: ${context.self} get ${text} DEST`,
    })
  }
  const { versions } = options
  if (versions !== undefined && (options.replace === true || options.protect !== undefined)) {
    throw new MirrorError('invalid', 'with --versions nothing is replaced and nothing has to be protected', {
      hint: 'Leave --replace and --protect out: each snapshot gets a folder of its own.',
    })
  }
  const answer = await runCheckout(context, {
    ...spec,
    dest: resolve(dest),
    isReplacing: options.replace === true,
    hasDevices: options.devices === true,
    takesEmpty: options.takeEmpty === true,
    ...(options.protect === undefined ? {} : { protect: options.protect }),
    ...(versions === undefined ? {} : { versions }),
  })
  await reportCheckout(context, answer, options.json === true)
}

/** Shared with `get` of a folder. */
export function runCheckout(
  context: Context,
  {
    tree,
    ref,
    path,
    dest,
    isReplacing,
    hasDevices,
    takesEmpty = false,
    protect,
    versions,
  }: {
    tree: string
    ref?: string
    path?: string
    dest: string
    isReplacing: boolean
    hasDevices: boolean
    takesEmpty?: boolean
    protect?: readonly string[]
    versions?: number
  },
): Promise<CheckoutAnswer> {
  return runJob<CheckoutAnswer>(
    context,
    {
      kind: 'checkout',
      tree,
      ...(ref === undefined ? {} : { ref }),
      ...(path === undefined ? {} : { path }),
      dest,
      replace: isReplacing,
      devices: hasDevices,
      takeEmpty: takesEmpty,
      ...(protect === undefined ? {} : { protect }),
      ...(versions === undefined ? {} : { versions }),
    },
    `checkout ${tree}`,
  )
}

export async function reportCheckout(
  context: Context,
  answer: CheckoutAnswer,
  isJson: boolean,
): Promise<void> {
  const { terminal } = context
  if (isJson) await terminal.print(`${JSON.stringify(answer, null, 2)}\n`)
  else {
    await terminal.print(
      `${answer.tree}@${answer.sequence} is at ${answer.dest}\n` +
        versionsText(answer) +
        `${countOf(answer.files, 'file')}, ${formatBytes(answer.bytes)} written${reusedText(answer)}; ` +
        `${formatSeconds(answer.seconds)}\n`,
    )
  }
  for (const { path, reason } of answer.versions?.staying ?? []) {
    terminal.say(`mirrormesh: ${path} is not removed: ${reason}`)
  }
  sayPaths(terminal, answer.kept, 'protected, and left as they are')
  sayPaths(terminal, answer.overridden, 'of the snapshot, not written because something protected is there')
  sayPaths(terminal, answer.dropped, 'not of the snapshot before and not protected, hence gone')
  if (answer.leftBehind !== undefined) {
    terminal.say(
      `mirrormesh: the tree before is still at ${answer.leftBehind}; the next check-out removes it`,
    )
  }
  const { notRestored } = answer
  if (notRestored.count === 0) return
  terminal.say(`mirrormesh: ${countOf(notRestored.count, 'entry', 'entries')} could not be restored in full:`)
  for (const { path, reason } of notRestored.first.slice(0, 10)) terminal.say(`  ${path}: ${reason}`)
  context.exitWith(EXIT.partial)
}

function versionsText({ versions }: CheckoutAnswer): string {
  if (versions === undefined) return ''
  const list = (sequences: readonly number[]): string => sequences.map((each) => `@${each}`).join(' ')
  const removed = versions.removed.length === 0 ? '' : `; removed: ${list(versions.removed)}`
  const was = versions.wasThere ? ', where it was already' : ''
  return `${versions.latest} leads to it${was}; there are: ${list(versions.sequences)}${removed}\n`
}

function reusedText({ reusedFiles }: CheckoutAnswer): string {
  return reusedFiles === 0 ? '' : `, ${countOf(reusedFiles, 'file')} unchanged`
}

function sayPaths(terminal: Context['terminal'], paths: CheckoutAnswer['kept'], what: string): void {
  if (paths.count === 0) return
  terminal.say(`mirrormesh: ${countOf(paths.count, 'path')} ${what}:`)
  for (const path of paths.first.slice(0, 10)) terminal.say(`  ${path}`)
  if (paths.count > 10) terminal.say(`  and ${paths.count - 10} more`)
}
