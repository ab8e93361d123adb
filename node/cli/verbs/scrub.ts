/** `scrub`: the daemon reads all blocks now, in packs and in files, at a set rate, and finds what the disk has damaged. */
import { type Command, InvalidArgumentError } from 'commander'
import type { ScrubAnswer } from '../../api/jobs/job-answers.ts'
import type { Context } from '../context.ts'
import { EXIT } from '../exit-codes.ts'
import { runJob } from '../job.ts'
import { countOf, formatBytes, formatSeconds } from '../quantity.ts'

interface Options {
  readonly rate?: number
  readonly json?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .option(
      '--rate <BYTES>',
      'bytes a second, such as 50M; scrubBytesPerSecond of config.yaml when left out',
      parseRate,
    )
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
Blocks that rest in check-outs, and in the files of sources in place and adopted mirrors, are read too.
Exit code 1 when something is damaged. It is not served any more; where a site has it, it is fetched again. A scrub in
the background (scrubEveryDays) ends, and this one takes its place.`,
    )
    .action((options: Options) => scrub(context, options))
}

async function scrub(context: Context, { rate, json = false }: Options): Promise<void> {
  const answer = await runJob<ScrubAnswer>(
    context,
    { kind: 'scrub', ...(rate === undefined ? {} : { bytesPerSecond: rate }) },
    'scrub the store',
  )
  if (answer.damagedBlocks + answer.unreadablePacks + answer.unreadableBackings > 0)
    context.exitWith(EXIT.failed)
  const { terminal } = context
  if (json) {
    await terminal.print(`${JSON.stringify(answer, null, 2)}\n`)
    return
  }
  const bad = [
    ...(answer.damagedBlocks === 0 ? [] : [`${countOf(answer.damagedBlocks, 'block')} damaged`]),
    ...(answer.unreadablePacks === 0 ? [] : [`${countOf(answer.unreadablePacks, 'pack')} unreadable`]),
    ...(answer.unreadableBackings === 0
      ? []
      : [`${countOf(answer.unreadableBackings, 'folder')} outside of the store not found, or unreadable`]),
  ]
  const outside =
    answer.backings === 0 ? '' : ` and ${countOf(answer.backings, 'folder')} outside of the store`
  await terminal.print(
    `${countOf(answer.blocks, 'block')} in ${countOf(answer.packs, 'pack')}${outside}, ${formatBytes(answer.bytes)}: ` +
      `${bad.length === 0 ? 'every one is right' : bad.join(', ')}\n`,
  )
  terminal.say(`took ${formatSeconds(answer.seconds)}`)
}

/** 1500, 20M, 1G: decimal, as everywhere. */
function parseRate(text: string): number {
  const match = /^(\d{1,12})(k|M|G)?B?$/.exec(text)
  const rate = match === null ? 0 : Number(match[1]) * { '': 1, k: 1e3, M: 1e6, G: 1e9 }[match[2] ?? '']!
  if (rate < 1000) throw new InvalidArgumentError('A rate is a number of bytes, such as 500k, 20M or 1G.')
  return rate
}
