/** `verify`: the daemon reads every block of a snapshot again; with --checkout, plain files are compared too. */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import type { VerifyAnswer } from '../../api/jobs/job-answers.ts'
import type { Context } from '../context.ts'
import { EXIT } from '../exit-codes.ts'
import { runJob } from '../job.ts'
import { countOf, formatBytes, formatSeconds } from '../quantity.ts'
import { parseTreeSpec } from '../tree-spec.ts'

interface Options {
  readonly checkout?: string
  readonly json?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .argument('[TREE[@SEQUENCE]]', 'the snapshot; every tree that is complete here when left out')
    .option(
      '--checkout <DIR>',
      'compare the files in DIR with the snapshot too: names, types, metadata, bytes',
    )
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      '\nExit code 1 when anything is missing or wrong. What a check-out keeps for its users (PROTECTED, --protect) is named,\nand is no difference.',
    )
    .action((spec: string | undefined, options: Options) => verify(context, spec, options))
}

async function verify(context: Context, text: string | undefined, options: Options): Promise<void> {
  const spec = text === undefined ? undefined : parseTreeSpec(text)
  if (spec?.path !== undefined)
    throw new MirrorError('invalid', 'verify reads whole snapshots: leave the path out')
  if (options.checkout !== undefined && spec === undefined) {
    throw new MirrorError('invalid', '--checkout needs the tree that the files are of')
  }
  const answer = await runJob<VerifyAnswer>(
    context,
    {
      kind: 'verify',
      ...(spec === undefined ? {} : spec),
      ...(options.checkout === undefined ? {} : { checkout: resolve(options.checkout) }),
    },
    `verify ${spec?.tree ?? 'all trees'}`,
  )
  if (!answer.isGood) context.exitWith(EXIT.failed)
  const { terminal } = context
  if (options.json === true) {
    await terminal.print(`${JSON.stringify(answer, null, 2)}\n`)
    return
  }
  for (const each of answer.snapshots) {
    const bad = each.missing.count + each.unlisted
    await terminal.print(
      `${each.tree}@${each.sequence}  ${countOf(each.blocks, 'block')}, ${formatBytes(each.bytes)}: ` +
        `${bad === 0 ? 'every block is here and right' : `${countOf(bad, 'block')} missing or wrong`}\n` +
        each.missing.first.map((cid) => `  ${cid}\n`).join(''),
    )
  }
  if (answer.snapshots.length === 0) await terminal.print('no tree is complete here\n')
  for (const { path, changed } of answer.backings ?? []) {
    if (changed.count === 0) continue
    await terminal.print(
      `${path}: ${countOf(changed.count, 'file')} changed behind our back\n` +
        changed.first.map((each) => `  ${each}\n`).join(''),
    )
  }
  if (answer.checkout !== undefined) {
    const { path, differences, protected: kept } = answer.checkout
    await terminal.print(
      `${path}: ${differences.count === 0 ? 'identical' : countOf(differences.count, 'difference')}\n` +
        differences.first.map((each) => `  ${each.path}: ${each.reason}\n`).join('') +
        kept.first.map((each) => `  ${each}: protected, not compared\n`).join('') +
        (kept.count > kept.first.length ? `  ${kept.count} protected in all\n` : ''),
    )
  }
  terminal.say(`took ${formatSeconds(answer.seconds)}`)
}
