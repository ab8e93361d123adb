/** `adopt`: the daemon reads a mirror that is here already, so that the first fetch of the tree moves what differs only. */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { checkTreeName } from '../../../src/dag/tree-name.ts'
import type { AdoptAnswer } from '../../api/jobs/job-answers.ts'
import type { Context } from '../context.ts'
import { EXIT } from '../exit-codes.ts'
import { runJob } from '../job.ts'
import { countOf, formatBytes, formatSeconds } from '../quantity.ts'

interface Options {
  readonly tree: string
  readonly json?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .argument('<DIR>', 'a folder with (nearly) the content of the tree, such as an rsync mirror')
    .requiredOption('--tree <NAME>', 'the tree that it is a mirror of; it need not be known here yet')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      '\nNothing is copied, published or changed. The files serve as blocks while they stay as they are; one that is\n' +
        'changed is noticed, and fetched. Files are cut as in the newest snapshot when that is here, else in the way that\n' +
        'new trees are. Adopt before the tree is pinned to this site; `store drop-backing` lets go of DIR.',
    )
    .action((dir: string, options: Options) => adopt(context, dir, options))
}

async function adopt(context: Context, dir: string, options: Options): Promise<void> {
  const tree = checkTreeName(options.tree)
  const answer = await runJob<AdoptAnswer>(
    context,
    { kind: 'adopt', path: resolve(dir), tree },
    `adopt ${dir}`,
  )
  const { terminal } = context
  if (options.json === true) await terminal.print(`${JSON.stringify(answer, null, 2)}\n`)
  else {
    await terminal.print(
      `${answer.backing === null ? `every block of ${answer.path} is stored here already: nothing was adopted` : `${answer.path} is backing ${answer.backing} of ${tree}`}\n` +
        `${countOf(answer.files, 'file')}, ${formatBytes(answer.bytes)}, ${countOf(answer.blocks, 'block')}; ` +
        `new here: ${formatBytes(answer.newBytes)}; ${formatSeconds(answer.seconds)}\n`,
    )
  }
  const { uncaptured } = answer
  if (uncaptured.count === 0) return
  terminal.say(`mirrormesh: ${countOf(uncaptured.count, 'entry', 'entries')} could not be read in full:`)
  for (const { path, reason } of uncaptured.first.slice(0, 10)) terminal.say(`  ${path}: ${reason}`)
  context.exitWith(EXIT.partial)
}
