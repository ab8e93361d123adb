/** `gc`: the daemon drops what no retained snapshot needs; with --dry-run it says what would go, and why the rest stays. */
import type { Command } from 'commander'
import type { CollectAnswer } from '../../api/jobs/job-answers.ts'
import type { Context } from '../context.ts'
import { runJob } from '../job.ts'
import { countOf, formatBytes, formatSeconds } from '../quantity.ts'
import { formatTable } from '../table.ts'

interface Options {
  readonly dryRun?: boolean
  readonly json?: boolean
}

export function define(command: Command, context: Context): void {
  command
    .option('--dry-run', 'change nothing: say what would go, and why each snapshot stays')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
What stays at this site: of each tree that is pinned here or published here, the newest head, the newest complete
snapshots (keepSnapshots in config.yaml), what has a tag, what is checked out; what is in use; and for some days
(keepUnpinnedDays) the trees that are no longer pinned here. What the pins of other sites want goes only while others say
that they hold it, and never from its keepers. A dry run tells about how many bytes each snapshot takes along;
what several of them share counts for the newest that goes. The daemon does the same by itself (collectEveryMinutes).`,
    )
    .action((options: Options) => collect(context, options))
}

async function collect(context: Context, { dryRun = false, json = false }: Options): Promise<void> {
  const answer = await runJob<CollectAnswer>(
    context,
    { kind: 'collect', dryRun },
    dryRun ? 'look for what is not needed' : 'collect what is not needed',
  )
  const { terminal } = context
  if (json) {
    await terminal.print(`${JSON.stringify(answer, null, 2)}\n`)
    return
  }
  // Only a dry run knows it.
  const size = (bytes: number | null): string[] => (dryRun ? [bytes === null ? '' : formatBytes(bytes)] : [])
  const rows = [
    ...answer.kept.map(({ reasons, ...each }) => [nameOf(each), 'stays', ...size(null), reasons.join('; ')]),
    ...answer.dropped.map(({ reason, bytes, ...each }) => [
      nameOf(each),
      dryRun ? 'would go' : 'went',
      ...size(bytes),
      reason,
    ]),
  ].toSorted(([a = ''], [b = '']) => (a < b ? -1 : 1))
  if (rows.length > 0) {
    const sizes = dryRun ? [{ title: 'SIZE', align: 'right' as const }] : []
    const columns = [{ title: 'SNAPSHOT' }, { title: '' }, ...sizes, { title: 'WHY' }]
    await terminal.print(formatTable(columns, rows))
  }
  const packs = answer.removedPacks + answer.compactedPacks
  await terminal.print(
    `${countOf(answer.deadBlocks, 'block')} (${formatBytes(answer.deadBytes)}) ${dryRun ? 'would go' : 'went'}; ` +
      `${dryRun ? 'about ' : ''}${formatBytes(Math.max(0, answer.freedBytes))} of ${countOf(packs, 'pack')} ` +
      `${dryRun ? 'would be given' : 'given'} back to the disk; ${countOf(answer.liveBlocks, 'block')} stay\n`,
  )
  if (answer.leftFor !== null) terminal.say(`some garbage stays for now: ${answer.leftFor}`)
  terminal.say(`took ${formatSeconds(answer.seconds)}`)
}

function nameOf({
  tree,
  sequence,
  snapshot,
}: {
  tree: string
  sequence: number | null
  snapshot: string
}): string {
  return `${tree}@${sequence ?? snapshot}`
}
