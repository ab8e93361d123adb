/**
 * `npm run bench`: import and check-out beside ordinary programs on the same data, and block transfer between two
 * processes. Each round runs every program once, in turn, so that a machine whose speed drifts is fair to all of
 * them; medians over the rounds, ratios round by round. Prints JSON on stdout; docs/benchmarks.md is made from it.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { makeLargeFile, makeSmallFiles } from './data.ts'
import {
  asMarkdown,
  type BenchDocument,
  type Figures,
  type TransferFigures,
  type TreeFigures,
} from './markdown.ts'
import { machine, median, run } from './run.ts'

const HELP = `usage: npm run bench -- [--rounds N] [--large-mb N] [--small-files N] [--only large|small|transfer] [--markdown]

Prints one JSON document: for each tree and program the median seconds, MB/s, files/s, and for mirrormesh CPU seconds
and peak memory; "ratio" is that program's seconds divided by mirrormesh's, the median over the rounds.
Everything is written under $TMPDIR (default /tmp), with the sources in the page cache; the copies of 20000 small
files take 6 GB until the end. Default: 5 rounds, 1000 MB,
20000 files. --markdown prints the tables of docs/benchmarks.md instead.
`

interface Transferred {
  readonly security: string
  readonly megabytesPerSecond: number
  readonly clientCpuSecondsPerGigabyte: number
  readonly serverCpuSecondsPerGigabyte: number
  readonly peakRssMegabytes: number
}

interface Timed {
  readonly seconds: number
  readonly cpuSeconds?: number
  readonly peakMB?: number
  readonly snapshot?: string
}

const here = import.meta.dirname
/** As scripts/mirrormesh starts the program, which also keeps compiled code. */
const AS_LAUNCHED = ['--max-semi-space-size=8']
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    'large-mb': { type: 'string', default: '1000' },
    'small-files': { type: 'string', default: '20000' },
    only: { type: 'string' },
    markdown: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
})
if (values.help) {
  process.stdout.write(HELP)
  process.exit(0)
}
const rounds = Number(values.rounds)
const folder = mkdtempSync(join(tmpdir(), 'mirrormesh-bench-'))
process.env.NODE_COMPILE_CACHE = join(folder, 'compile-cache')
process.once('SIGINT', () => {
  rmSync(folder, { recursive: true, force: true })
  process.exit(130)
})
try {
  const wants = (name: string): boolean => values.only === undefined || values.only === name
  const large = Number(values['large-mb']) * 1e6
  const count = Number(values['small-files'])
  const document: BenchDocument = { machine: machine(), rounds }
  if (wants('large')) {
    const source = join(folder, 'large')
    makeLargeFile(source, large)
    document.large = { files: 1, bytes: large, ...(await measureTree(source, 'large', 1, large)) }
  }
  if (wants('small')) {
    const source = join(folder, 'small')
    const bytes = makeSmallFiles(source, count)
    document.small = { files: count, bytes, ...(await measureTree(source, 'small', count, bytes)) }
  }
  if (wants('transfer')) document.transfer = await measureTransfer()
  process.stdout.write(values.markdown ? asMarkdown(document) : `${JSON.stringify(document, undefined, 2)}\n`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function measureTree(source: string, name: string, files: number, bytes: number): Promise<TreeFigures> {
  const imports: Record<string, Timed[]> = {}
  const checkouts: Record<string, Timed[]> = {}
  const note = (list: Record<string, Timed[]>, program: string, timed: Timed): Timed => {
    list[program] ??= []
    list[program].push(timed)
    process.stderr.write(`  ${name} ${program}: ${timed.seconds.toFixed(2)} s\n`)
    return timed
  }
  /** What one program left for the disk to write is not the next one's to wait for. */
  const settle = (): Promise<unknown> => run('sync', ['-f', folder])
  // The first round warms the page cache and is not counted.
  for (let round = 0; round <= rounds; round++) {
    const list = round === 0 ? {} : imports
    const into = (label: string): string => join(folder, `${name}-${label}-${round}`)
    const store = into('store')
    await settle()
    const imported = note(
      list,
      'mirrormesh import',
      (await run(process.execPath, [...AS_LAUNCHED, join(here, 'import-once.ts'), source, store]))
        .output as Timed,
    )
    await settle()
    note(
      list,
      'sha256sum',
      await run('sh', [
        '-c',
        `find "$1" -type f -print0 | xargs -0 -P 2 sha256sum > /dev/null`,
        'sh',
        source,
      ]),
    )
    await settle()
    note(list, 'rsync -a', await run('rsync', ['-a', `${source}/`, into('rsync')]))
    await settle()
    note(list, 'rsync -a --fsync', await run('rsync', ['-a', '--fsync', `${source}/`, into('rsync-fsync')]))

    const outs = round === 0 ? {} : checkouts
    const args = [
      ...AS_LAUNCHED,
      join(here, 'checkout-once.ts'),
      store,
      imported.snapshot ?? '',
      into('checkout'),
    ]
    await settle()
    note(outs, 'mirrormesh checkout', (await run(process.execPath, args)).output as Timed)
    await settle()
    note(outs, 'cp -a', await run('cp', ['-a', '--reflink=never', source, into('cp')]))
    await settle()
    note(
      outs,
      'cp -a; sync',
      await run('sh', [
        '-c',
        'cp -a --reflink=never "$1" "$2" && sync -f "$2"',
        'sh',
        source,
        into('cp-sync'),
      ]),
    )
    // ext4 searches its way past every inode that was freed in the last minutes each time it makes a file (70 us a file
    // after 40,000 removals, measured): trees of many files stay until all rounds are over.
    if (files > 1) continue
    for (const label of ['store', 'rsync', 'rsync-fsync', 'checkout', 'cp', 'cp-sync'])
      rmSync(into(label), { recursive: true, force: true })
  }
  return { import: summary(imports, files, bytes), checkout: summary(checkouts, files, bytes) }
}

/** Both encryptions in turn, once a round. */
async function measureTransfer(): Promise<Record<string, TransferFigures>> {
  const runs = new Map<string, Transferred[]>()
  for (let round = 0; round < rounds; round++) {
    const { output } = await run(process.execPath, [join(here, 'transfer.ts')])
    for (const result of (output as { results: Transferred[] }).results) {
      runs.set(result.security, [...(runs.get(result.security) ?? []), result])
      process.stderr.write(`  transfer ${result.security}: ${result.megabytesPerSecond} MB/s\n`)
    }
  }
  const of = (list: readonly Transferred[], what: keyof Omit<Transferred, 'security'>): number =>
    round2(median(list.map((result) => result[what])))
  return Object.fromEntries(
    [...runs].map(([security, list]) => [
      security,
      {
        MBps: Math.round(of(list, 'megabytesPerSecond')),
        clientCpuSecondsPerGB: of(list, 'clientCpuSecondsPerGigabyte'),
        serverCpuSecondsPerGB: of(list, 'serverCpuSecondsPerGigabyte'),
        peakMB: Math.max(...list.map(({ peakRssMegabytes }) => peakRssMegabytes)),
      },
    ]),
  )
}

function summary(timings: Readonly<Record<string, readonly Timed[]>>, files: number, bytes: number): Figures {
  const ours = Object.values(timings)[0] ?? []
  return Object.fromEntries(
    Object.entries(timings).map(([program, runs]) => {
      const seconds = median(runs.map((timed) => timed.seconds))
      const costs = runs.every((timed) => timed.peakMB !== undefined)
        ? {
            cpuSeconds: round2(median(runs.map((timed) => timed.cpuSeconds!))),
            peakMB: Math.round(Math.max(...runs.map((timed) => timed.peakMB!))),
          }
        : {}
      const ratio = round2(median(runs.map((timed, index) => timed.seconds / ours[index]!.seconds)))
      return [
        program,
        {
          seconds: round2(seconds),
          MBps: Math.round(bytes / 1e6 / seconds),
          filesPerSecond: Math.round(files / seconds),
          ratio,
          ...costs,
        },
      ]
    }),
  )
}

function round2(value: number): number {
  return Math.round(value * 100) / 100
}
