/** `wait`: for scripts, ends when sites hold a snapshot in full. */
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import type { WaitAnswer } from '../../api/jobs/job-answers.ts'
import type { Context } from '../context.ts'
import { runJob } from '../job.ts'
import { formatSeconds, parseDuration } from '../quantity.ts'
import { parseTreeSpec } from '../tree-spec.ts'

interface Options {
  readonly sites: string
  readonly timeout?: string
  readonly json?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .argument('<TREE[@SEQUENCE]>', 'the snapshot, by its sequence or a tag; the head when none is given')
    .option('--sites <SITES>', 'names with commas, or all that it is pinned to', 'all')
    .option('--timeout <TIME>', 'give up after this long (90s, 30m, 12h); exit 124')
    .option('--json', 'print the result as JSON')
    .addHelpText('after', '\nA site counts when it holds this snapshot, or a newer one of the tree, in full.')
    .action((text: string, options: Options) => wait(context, text, options))
}

async function wait(context: Context, text: string, { sites, timeout, json }: Options): Promise<void> {
  const { tree, ref, path } = parseTreeSpec(text)
  if (path !== undefined) throw new MirrorError('invalid', `a whole snapshot, not a path within: ${text}`)
  const timeoutMs = timeout === undefined ? undefined : parseDuration(timeout)
  if (timeout !== undefined && timeoutMs === undefined) {
    throw new MirrorError('invalid', `--timeout is a time like 90s, 30m or 12h, not ${timeout}`)
  }
  const answer = await runJob<WaitAnswer>(
    context,
    {
      kind: 'wait',
      tree,
      ...(ref === undefined ? {} : { ref }),
      sites: sites.split(',').filter((site) => site !== ''),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    },
    `wait for ${text}`,
  )
  if (json === true) {
    await context.terminal.print(`${JSON.stringify(answer, null, 2)}\n`)
    return
  }
  await context.terminal.print(
    answer.sites.length === 0
      ? `${tree} is pinned nowhere: there is no site to wait for\n`
      : `${tree}@${answer.sequence} is complete at ${answer.sites.join(', ')}, after ${formatSeconds(answer.seconds)}\n`,
  )
}
