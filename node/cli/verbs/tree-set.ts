/** `tree set`, `tree retain`, `tree drop`: what kind a tree is, who reads it, what goes out of it, and what stays. */
import type { Command } from 'commander'
import { printableName, utf8 } from '../../../src/base/bytes.ts'
import { MirrorError } from '../../../src/base/errors.ts'
import type { TreeDocument } from '../../api/answers.ts'
import type { DropVersionsAnswer } from '../../api/jobs/job-answers.ts'
import type { DeclaredTreeSettings } from '../../declare/mesh-file.ts'
import { confirm } from '../confirm.ts'
import type { Context } from '../context.ts'
import { runJob } from '../job.ts'
import { readKeepDays, readKeepLast } from '../keep-option.ts'
import {
  addSettings,
  describeGate,
  describeKeep,
  type SettingsOptions,
  settingsOf,
} from '../tree-settings.ts'
import { nameOfTree } from '../tree-spec.ts'
import { treeUrl } from '../tree-url.ts'

interface RetainOptions {
  readonly last?: number
  readonly days?: number
  readonly asSitesSay?: boolean
  readonly json?: boolean
}

interface DropOptions {
  readonly yes?: boolean
  readonly json?: boolean
}

export function define(command: Command, context: Context): void {
  addSettings(
    command
      .command('set')
      .description('change the kind, the readers, the gate or the retention of a tree (signed by an admin)')
      .argument('<TREE>', 'its name'),
    { isChange: true },
  )
    .option('--json', 'print the settings as JSON')
    .action((tree: string, options: SettingsOptions & { json?: boolean }) => set(context, tree, options))
  command
    .command('retain')
    .description('say which snapshots of a tree stay where no pin does (signed by an admin)')
    .argument('<TREE>', 'its name')
    .option('--last <N>', 'the newest N that are complete', readKeepLast)
    .option('--days <N>', 'and what was published within N days', readKeepDays)
    .option('--as-sites-say', "leave it to each site's own settings")
    .option('--json', 'print the settings as JSON')
    .action((tree: string, options: RetainOptions) => retain(context, tree, options))
  command
    .command('drop')
    .description("publish a tree without some of its versions: at the publisher's node")
    .argument('<TREE>', 'a tree of kind versioned')
    .argument('<VERSION...>', 'names of folders at its root')
    .option('-y, --yes', 'do not ask')
    .option('--json', 'print the new head as JSON')
    .action((tree: string, versions: string[], options: DropOptions) =>
      drop(context, tree, versions, options),
    )
}

async function retain(context: Context, tree: string, options: RetainOptions): Promise<void> {
  const { last, days, asSitesSay, json } = options
  if ((asSitesSay === true) === (last !== undefined || days !== undefined))
    throw new MirrorError('invalid', 'say --last or --days or both, or --as-sites-say')
  await set(context, tree, {
    ...(asSitesSay === true ? { keep: false } : {}),
    ...(last === undefined ? {} : { keepLast: last }),
    ...(days === undefined ? {} : { keepDays: days }),
    ...(json === undefined ? {} : { json }),
  })
}

async function set(
  context: Context,
  text: string,
  options: SettingsOptions & { json?: boolean },
): Promise<void> {
  const tree = nameOfTree(text)
  const { json, ...asked } = options
  // Of --no-gate and --no-keep the library makes true where they are not given.
  const isAsked = ([key, value]: [string, unknown]): boolean =>
    key === 'gate' || key === 'keep' ? value === false : value !== undefined
  if (!Object.entries(asked).some(isAsked)) {
    throw new MirrorError('invalid', 'say what to change', {
      hint: `How it is set now: ${context.self} tree show ${tree}`,
    })
  }
  const found = await context.api.get<TreeDocument>(treeUrl({ tree }, ''), context.signal)
  const settings = settingsOf(options, {
    readers: found.readers,
    ...(found.kind === 'simple' ? {} : { kind: found.kind }),
    ...(found.gate === null ? {} : { gate: found.gate }),
    ...(found.keep === null ? {} : { keep: found.keep }),
  })
  const { readers = found.readers, kind = 'simple', gate = null, keep = null } = settings
  await sign(context, { ...found, readers, kind, gate, keep })
  await context.terminal.print(
    json === true
      ? `${JSON.stringify({ tree, readers, kind, gate, keep }, null, 2)}\n`
      : `${tree}: ${readers === 'granted' ? 'private, ' : ''}${kind}${gate === null ? '' : `, ${describeGate(gate)}`}${
          keep === null ? '' : `; sites keep ${describeKeep(keep)}`
        }\n`,
  )
}

/** Those that are named; the others stay. */
export async function signTreeSettings(
  context: Context,
  tree: string,
  settings: DeclaredTreeSettings,
): Promise<void> {
  const found = await context.api.get<TreeDocument>(treeUrl({ tree }, ''), context.signal)
  await sign(context, { ...found, ...settings })
}

async function sign(context: Context, next: TreeDocument): Promise<void> {
  const [{ loadAdminKey, nextVersion, signAndSubmit }, { bodyOfTree }] = await Promise.all([
    import('../sign.ts'),
    import('../tree-body.ts'),
  ])
  const version = await nextVersion(context, { kind: 'tree', name: next.tree })
  await signAndSubmit(context, await loadAdminKey(context), 'tree', bodyOfTree(next, version))
}

async function drop(context: Context, text: string, versions: string[], options: DropOptions): Promise<void> {
  const tree = nameOfTree(text)
  await confirm(
    context,
    `Take ${versions.map((each) => printableName(utf8(each))).join(', ')} out of ${tree}?`,
    options.yes === true,
  )
  const answer = await runJob<DropVersionsAnswer>(
    context,
    { kind: 'drop-versions', tree, versions },
    `drop versions of ${tree}`,
  )
  await context.terminal.print(
    options.json === true
      ? `${JSON.stringify(answer, null, 2)}\n`
      : `${tree}@${answer.sequence} is the head, without ${versions.map((each) => printableName(utf8(each))).join(', ')}; older snapshots have it until they are collected\n`,
  )
}
