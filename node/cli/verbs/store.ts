/** `store`: folders outside of the store that blocks lie in. */
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import type { BackingDocument } from '../../api/answers.ts'
import type { DropBackingAnswer } from '../../api/jobs/job-answers.ts'
import { confirm } from '../confirm.ts'
import type { Context } from '../context.ts'
import { EXIT } from '../exit-codes.ts'
import { runJob } from '../job.ts'
import { countOf, formatBytes, formatCount } from '../quantity.ts'
import { formatTable } from '../table.ts'

interface DropOptions {
  readonly copy?: boolean
  readonly yes?: boolean
  readonly json?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .command('backings')
    .description(
      'list the folders outside of the store that blocks lie in: sources in place, mirrors, check-outs',
    )
    .option('--json', 'print them as JSON')
    .action((options: { json?: boolean }) => list(context, options.json === true))
  command
    .command('drop-backing')
    .description('let go of such a folder: its files stay as they are, and are not used any more')
    .argument('<ID>', 'as `store backings` shows it')
    .option('--copy', 'copy its blocks into the store first, so that none is missing')
    .option('--yes', 'do not ask')
    .option('--json', 'print the result as JSON')
    .action((id: string, options: DropOptions) => drop(context, id, options))
}

async function readBackings({ api, signal }: Context): Promise<readonly BackingDocument[]> {
  const { backings } = await api.get<{ backings: BackingDocument[] }>('/api/v1/store/backings', signal)
  return backings
}

async function list(context: Context, isJson: boolean): Promise<void> {
  const backings = await readBackings(context)
  if (isJson) await context.terminal.print(`${JSON.stringify({ backings }, null, 2)}\n`)
  else if (backings.length === 0) await context.terminal.print('every block lies in the store\n')
  else await context.terminal.print(formatBackings(backings))
}

function formatBackings(backings: readonly BackingDocument[]): string {
  return formatTable(
    [
      { title: 'ID', align: 'right' },
      { title: 'PURPOSE' },
      { title: 'TREE' },
      { title: 'BLOCKS', align: 'right' },
      { title: 'SIZE', align: 'right' },
      { title: 'PATH' },
    ],
    backings.map(({ id, purpose, tree, blocks, bytes, path }) => [
      String(id),
      purpose,
      tree || '-',
      formatCount(blocks),
      formatBytes(bytes),
      path,
    ]),
  )
}

async function drop(context: Context, text: string, options: DropOptions): Promise<void> {
  const { terminal } = context
  const found = (await readBackings(context)).find(({ id }) => String(id) === text)
  if (found === undefined) {
    throw new MirrorError('not-found', `there is no backing ${text}`, {
      hint: `See: ${context.self} store backings`,
    })
  }
  const size = `${countOf(found.blocks, 'block')}, ${formatBytes(found.bytes)}`
  terminal.say(
    `backing ${text}, ${found.purpose}${found.tree === '' ? '' : ` of ${found.tree}`}, at ${found.path}\n` +
      (options.copy === true
        ? `  ${size}: copied into the store first`
        : `  ${size}: missing here from then on, and fetched from other sites where they are needed`),
  )
  await confirm(context, 'Let go of it?', options.yes === true)
  const answer = await runJob<DropBackingAnswer>(
    context,
    { kind: 'drop-backing', id: found.id, copy: options.copy === true },
    `drop backing ${text}`,
  )
  if (options.json === true) await terminal.print(`${JSON.stringify(answer, null, 2)}\n`)
  else {
    const { blocks, bytes } = options.copy === true ? answer.copied : answer.forgotten
    const done = options.copy === true ? 'copied' : 'forgotten'
    await terminal.print(
      `backing ${text} is dropped: ${countOf(blocks, 'block')}, ${formatBytes(bytes)} ${done}\n`,
    )
  }
  if (answer.lost.blocks === 0) return
  terminal.say(
    `mirrormesh: ${countOf(answer.lost.blocks, 'block')} could not be copied: their files were changed. They are missing here.`,
  )
  context.exitWith(EXIT.partial)
}
