/** The tour's last table, for people; --json prints the same facts. */
import type { Round } from './round.ts'
import { mega, table } from './screen.ts'

export function report(rounds: readonly Round[], seconds: number): string {
  const row = (label: string, cell: (round: Round) => string): string[] => [label, ...rounds.map(cell)]
  const rows = [
    row('', (round) => round.name),
    row('tree', (round) => `${round.published.files} files, ${mega(round.published.bytes)}`),
    row('new blocks', (round) => `${round.published.newBlocks}, ${mega(round.published.newBytes)}`),
    row('bytes that left hq', (round) => mega(round.bytesLeftOrigin)),
    row('blocks that left hq', (round) => `${round.blocksLeftOrigin}`),
    row(
      '  of them more than once',
      (round) => `${round.blocksLeftOriginMoreThanOnce} (${round.twicePercent} %)`,
    ),
    ...[0, 1].flatMap((index) => [
      row(`${rounds[0]!.labs[index]!.site} gave the other lab`, (round) =>
        mega(round.labs[index]!.bytesToOtherLab),
      ),
      row('  share of what the other got', (round) => `${round.labs[index]!.shareOfOtherPercent} %`),
      row('  of that before it was complete', (round) => `${round.labs[index]!.beforeCompletePercent} %`),
    ]),
    row('seconds until all complete', (round) => `${round.seconds}`),
    ...[0, 1].map((index) =>
      row(rounds[0]!.copies[index]!.site, (round) =>
        round.copies[index]!.identical ? 'identical' : 'DIFFERENT',
      ),
    ),
  ]
  const checks = rounds.flatMap((round) =>
    round.checks.map(
      (check) => `  ${check.ok ? 'ok  ' : 'FAIL'}  ${round.name}: ${check.name} (${check.detail})`,
    ),
  )
  return `${table(rows)}\n\nchecks:\n${checks.join('\n')}\n\n${seconds} s in all`
}
