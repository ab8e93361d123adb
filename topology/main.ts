/** `npm run simulate -- FILE`: a mesh from a topology file, simulated with the daemon's scheduler. */
import { performance } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { parseMs, parseRate } from '../node/topology/units.ts'
import { asMirrorError, MirrorError } from '../src/base/errors.ts'
import { formatReport, reportOf } from './report.ts'
import { readScenario, simulatedEvents, simulatedSites, withPipes } from './scenario.ts'
import { evenPages, simulate } from './simulator.ts'

const HELP = `Simulates how a snapshot reaches all sites of a topology, with the scheduler of the daemon under a virtual clock.

  npm run simulate -- FILE [options]

FILE is a topology file (topology/*.yaml) or one of the network emulator's (JSON). It names the origin, and may list events:
  events:
    - { at: 10 s, kill: eu-2 }           - { at: 60 s, restart: eu-2 }      - { at: 30 s, join: eu-3 }
    - { at: 20 s, cut: apac }            - { at: 50 s, heal: apac }         - { at: 20 s, cut: [us, eu] }
    - { at: 15 s, rate: us-3, up: 2 Mbit/s, down: 2 Mbit/s }   - { at: 5 s, stall: eu-1 }   - { at: 5 s, lie: eu-1 }
    - { at: 5 s, pause: eu-1, for: 3 s }   (its process does not run)

Options
  --size BYTES       of the snapshot's blocks as they travel: 200MB by default
  --block BYTES      of each block: 64KiB by default
  --page BLOCKS      blocks of a page of the index: 1024 by default
  --pipes RATE       of every region and of the origin, in place of the file's: "25 Mbit/s"
  --undeclared       the links are as the file says, but nobody has told the sites
  --overhead FACTOR  bytes on the wire for each byte of a block: 1.04 by default
  --processors N     that all sites share, as in a benchmark on one machine; without it none are simulated
  --block-cpu TIME   of a processor for each block that travels, at both ends together: "0.9 ms" by default
  --gather TIME      a site handles what came within this time at once: 0 up to 50 sites, 5 ms up to 300, else 20 ms
  --limit TIME       of the virtual clock: 6 h by default
  --json             print the report as JSON

Links without a rate are unlimited, but for a site's own: 1 Gbit/s. Round trips without a declaration are 1 ms within a
region and 80 ms between two. Not simulated: packets, losses, jitter, slow starts, disks.
`

const SITE_KBIT = 1_000_000
const UNITS: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
}

async function main(): Promise<void> {
  const { values, positionals } = parse()
  if (values.help === true) {
    process.stdout.write(HELP)
    return
  }
  const [file] = positionals
  if (file === undefined || positionals.length > 1)
    throw new MirrorError('invalid', 'name one topology file', {
      hint: 'npm run simulate -- --help tells more.',
    })
  const read = await readScenario(file)
  const pipes = values.pipes === undefined ? undefined : quantity('--pipes', values.pipes, parseRate)
  const scenario = pipes === undefined ? read : withPipes(read, pipes)
  const size = quantity('--size', values.size, parseBytes)
  const block = quantity('--block', values.block, parseBytes)
  const gather = values.gather ?? gatherFor(scenario.places.length)
  const startMs = performance.now()
  const say = progress(scenario.places.length - 1)
  const result = simulate({
    sites: simulatedSites(scenario),
    pages: evenPages(size, block, quantity('--page', values.page, parseCount)),
    topology: scenario.topology,
    isUndeclared: values.undeclared === true,
    lanBytesPerSecond: SITE_KBIT * 125,
    lanRttMs: scenario.lanRttMs,
    wanRttMs: scenario.wanRttMs,
    limitMs: quantity('--limit', values.limit, parseMs),
    events: simulatedEvents(scenario),
    overhead: quantity('--overhead', values.overhead, parseFactor),
    gatherMs: quantity('--gather', gather, parseMs),
    ...(values.processors === undefined
      ? {}
      : {
          processors: {
            count: quantity('--processors', values.processors, parseCount),
            blockMs: quantity('--block-cpu', values['block-cpu'], parseMs),
          },
        }),
    onSecond: say,
  })
  const realSeconds = (performance.now() - startMs) / 1000
  const report = reportOf(scenario, result, { siteKbit: SITE_KBIT, realSeconds })
  process.stdout.write(values.json === true ? `${JSON.stringify(report, null, 2)}\n` : formatReport(report))
  if (report.sites.some(({ isAlive, seconds }) => isAlive && seconds === null)) process.exitCode = 3
}

/** Of many sites each handles more at once, so that a thousand take minutes. */
function gatherFor(sites: number): string {
  return sites <= 50 ? '0 ms' : sites <= 300 ? '5 ms' : '20 ms'
}

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        size: { type: 'string', default: '200MB' },
        block: { type: 'string', default: '64KiB' },
        page: { type: 'string', default: '1024' },
        pipes: { type: 'string' },
        undeclared: { type: 'boolean' },
        overhead: { type: 'string', default: '1.04' },
        processors: { type: 'string' },
        'block-cpu': { type: 'string', default: '0.9 ms' },
        gather: { type: 'string' },
        limit: { type: 'string', default: '6 h' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    })
  } catch (error) {
    throw new MirrorError('invalid', (error as Error).message, {
      hint: 'npm run simulate -- --help tells more.',
    })
  }
}

function quantity(name: string, value: string, read: (text: string) => number | undefined): number {
  const found = read(value)
  if (found !== undefined) return found
  throw new MirrorError('invalid', `${name} cannot be ${JSON.stringify(value)}`, {
    hint: 'npm run simulate -- --help tells more.',
  })
}

function parseBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?([kMGT]?B|[KMG]iB)$/.exec(text)
  const bytes = Math.round(Number(match?.[1]) * (UNITS[match?.[2] ?? ''] ?? Number.NaN))
  return bytes > 0 ? bytes : undefined
}

function parseCount(text: string): number | undefined {
  return /^[1-9]\d{0,3}$/.test(text) ? Number(text) : undefined
}

function parseFactor(text: string): number | undefined {
  const factor = Number(text)
  return factor >= 1 && factor <= 10 ? factor : undefined
}

/** A line each ten seconds of real time. */
function progress(sites: number): (nowMs: number, doneSites: number) => void {
  let lastMs = performance.now()
  return (nowMs, doneSites) => {
    if (performance.now() - lastMs < 10_000) return
    lastMs = performance.now()
    process.stderr.write(
      `simulated ${Math.round(nowMs / 1000)} s: ${doneSites} of ${sites} sites are complete\n`,
    )
  }
}

try {
  await main()
} catch (error) {
  const { code, message, hint } = asMirrorError(error, 'simulate')
  process.stderr.write(`simulate: ${message}${hint === undefined ? '' : `. ${hint}`}\n`)
  process.exitCode = code === 'invalid' ? 2 : code === 'not-found' ? 5 : 1
}
