/** `tree rollback`: sites go back to an old snapshot, by a new head. */
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import type { RollBackAnswer } from '../../api/jobs/job-answers.ts'
import type { Context } from '../context.ts'
import { runJob } from '../job.ts'
import { parseTreeSpec } from '../tree-spec.ts'

export function define(command: Command, context: Context): void {
  command
    .command('rollback')
    .description("publish an old snapshot again, as the new head: at the publisher's node")
    .argument('<TREE@SEQUENCE>', 'the snapshot to go back to, by its sequence or a tag')
    .option('--json', 'print the new head as JSON')
    .action((text: string, options: { json?: boolean }) => rollBack(context, text, options))
}

async function rollBack(context: Context, text: string, { json }: { json?: boolean }): Promise<void> {
  const { tree, ref, path } = parseTreeSpec(text)
  if (ref === undefined || path !== undefined) {
    throw new MirrorError('invalid', `say which snapshot to go back to: ${tree}@SEQUENCE, not ${text}`, {
      hint: `See: ${context.self} tree history ${tree}`,
    })
  }
  const answer = await runJob<RollBackAnswer>(context, { kind: 'roll-back', tree, ref }, `roll back ${tree}`)
  if (json === true) {
    await context.terminal.print(`${JSON.stringify(answer, null, 2)}\n`)
    return
  }
  const { sequence, ofSequence, isNew } = answer
  await context.terminal.print(
    isNew
      ? `${tree}@${sequence} is the head: the snapshot of @${ofSequence}\n`
      : `${tree}@${sequence} is the head, and has the snapshot of @${ofSequence} already\n`,
  )
}
