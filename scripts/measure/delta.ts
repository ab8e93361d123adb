/**
 * `npm run bench:delta`: what it takes to bring a site from one build to the next with deltas, beside rsync and zstd's own
 * patches on the same pair. Bytes do not depend on the machine; seconds do.
 */

import { parseOptions, refuse } from '../options.ts'
import { type FetchedPair, pairsIn } from './build-pairs.ts'
import { measureContainers } from './delta-containers.ts'
import { type DeltaTrial, measureDeltaPair, measureTrials } from './delta-pair.ts'
import {
  type ContainerDocument,
  containerMarkdown,
  type DeltaDocument,
  deltaMarkdown,
  type TrialDocument,
  trialMarkdown,
} from './delta-tables.ts'
import { hasProgram, machine } from './run.ts'

const HELP = `usage: npm run bench:delta -- DIR [--only KIND/NAME] [--markdown]
       npm run bench:delta -- DIR --tables [--only KIND/NAME] [--markdown]
       npm run bench:delta -- DIR --containers [--only KIND/NAME] [--markdown]

DIR holds pairs of consecutive builds: npm run bench:chunks -- --fetch DIR gets them. For each pair both builds are imported
into a fresh store under $TMPDIR (default /tmp); one process makes the deltas, another applies and verifies them; then rsync (-a and -az,
with --no-whole-file) and zstd -15 --patch-from over two tars do the same. "All of it" is what crosses: deltas, their plan,
blocks that are in none (compressed), new pages of the index and the snapshot. MB/s a core are new bytes by seconds of the processor.
--tables tries sizes of runs and windows and levels instead; --containers puts each pair into archives, plain and compressed,
and brings a site from one archive to the other (those whose program is not installed are left out). --only takes the beginning of a name, and may be repeated.
Prints JSON, or tables with --markdown. GNU time is needed; without zstd its column stays empty.
`
const KIB = 1024

const { values, positionals } = parseOptions(
  {
    allowPositionals: true,
    options: {
      only: { type: 'string', multiple: true },
      tables: { type: 'boolean', default: false },
      containers: { type: 'boolean', default: false },
      markdown: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  },
  { command: 'npm run bench:delta --', help: HELP },
)
const [dir] = positionals
if (dir === undefined) refuse('npm run bench:delta --', 'a folder of builds is needed')
if (!values.tables && !hasProgram('rsync')) {
  process.stderr.write('rsync is not installed: install it, it is what the figures are beside\n')
  process.exit(1)
}
const chosen = pairsIn(dir).filter(
  ({ kind, name }) => values.only?.some((start) => `${kind}/${name}`.startsWith(start)) ?? true,
)
if (chosen.length === 0) {
  process.stderr.write(`no such pair in ${dir}. Try: npm run bench:chunks -- --fetch ${dir}\n`)
  process.exit(1)
}
const task = values.tables ? trials : values.containers ? containers : contest
process.stdout.write(await task(chosen))

async function contest(pairs: readonly FetchedPair[]): Promise<string> {
  const figures = []
  for (const pair of pairs) {
    process.stderr.write(`  ${pair.kind}/${pair.name}\n`)
    figures.push(await measureDeltaPair(pair))
  }
  const document: DeltaDocument = { machine: machine(), pairs: figures }
  return values.markdown ? deltaMarkdown(document) : json(document)
}

async function trials(pairs: readonly FetchedPair[]): Promise<string> {
  const figures = []
  for (const pair of pairs) {
    process.stderr.write(`  ${pair.kind}/${pair.name}\n`)
    for (const each of await measureTrials(pair, [...trialsOfSizes(), ...trialsOfEffort()]))
      figures.push({ pair: `${pair.kind}/${pair.name}`, ...each })
  }
  const document: TrialDocument = { machine: machine(), trials: figures }
  return values.markdown ? trialMarkdown(document) : json(document)
}

async function containers(pairs: readonly FetchedPair[]): Promise<string> {
  const figures = []
  for (const pair of pairs) figures.push(...(await measureContainers(pair)))
  const document: ContainerDocument = { machine: machine(), containers: figures }
  return values.markdown ? containerMarkdown(document) : json(document)
}

function trialsOfSizes(): DeltaTrial[] {
  return [
    [512, 1024, 256],
    [1024, 2048, 256],
    [1024, 3072, 256],
    [1536, 4096, 768],
    [2048, 4096, 256],
    [2048, 4096, 512],
    [2048, 4096, 768],
    [2048, 4096, 1024],
  ].map(([run, window, margin]) => ({
    sizes: { maxRunBytes: run! * KIB, maxWindowBytes: window! * KIB, marginBytes: margin! * KIB },
  }))
}

function trialsOfEffort(): DeltaTrial[] {
  return [
    [1, 17, 16],
    [3, 17, 16],
    [3, 18, 18],
    [3, 19, 19],
    [3, 20, 20],
    [5, 19, 19],
    [7, 20, 20],
    [9, 20, 20],
    [12, 20, 20],
    [12, 21, 21],
  ].map(([level, hashLog, chainLog]) => {
    const effort = { level: level!, hashLog: hashLog!, chainLog: chainLog! }
    return { efforts: { binary: effort, text: effort } }
  })
}

function json(document: unknown): string {
  return `${JSON.stringify(document, undefined, 2)}\n`
}
