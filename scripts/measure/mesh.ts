/**
 * `npm run bench:mesh -- FILE`: a tree goes from one site to all others over emulated links, by mirrormesh's own daemons
 * and by other systems beside it. The clock starts at `publish` and stops when the last site has its copy; then every
 * copy is compared with the tree, by code that uses nothing of mirrormesh.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { asMirrorError, MirrorError } from '../../src/base/errors.ts'
import { requireRoot } from '../../topology/emulator/emulator.ts'
import { readScenario, type Scenario } from '../../topology/scenario.ts'
import { bittorrent } from './mesh/bittorrent.ts'
import { drawChart } from './mesh/chart.ts'
import { differencesOf } from './mesh/judge.ts'
import { type Lab, startEmulatedLab, startRefereeLab } from './mesh/lab.ts'
import { mirrormesh } from './mesh/mirrormesh.ts'
import { boundsOf, figuresOf, formatDocument, type MeshDocument, type SystemResult } from './mesh/report.ts'
import { rsync } from './mesh/rsync.ts'
import { syncthing } from './mesh/syncthing.ts'
import { createStopwatch, type SourceTree, type System } from './mesh/system.ts'
import { editTree, makeTree, weighTree } from './mesh/tree.ts'
import { hasProgram, machine } from './run.ts'

const SYSTEMS: Readonly<Record<string, System>> = {
  mirrormesh,
  rsync: rsync({ isTiered: false, isCompressed: false }),
  'rsync-z': rsync({ isTiered: false, isCompressed: true }),
  'rsync-tiers': rsync({ isTiered: true, isCompressed: false }),
  'rsync-tiers-z': rsync({ isTiered: true, isCompressed: true }),
  syncthing,
  bittorrent,
}

const HELP = `usage: npm run bench:mesh -- FILE [options]

Brings a tree from the origin of a topology file (topology/*.yaml) to all its sites, over emulated links between network
namespaces of this machine, and prints how long it took and what passed the links. Takes root, gcc, iproute2 and GNU tar.

  --tree DIR       the tree; without it real files of this checkout
  --then NEXT      the clock starts when all sites hold the tree, and NEXT is brought to them: a folder, or
                   edit for the tree with 2 % of its files edited and a folder renamed; of mirrormesh and rsync only
  --warm DIR       the clock starts when mirrormesh has brought this other tree to all sites: daemons run for months, and V8
                   compiles what they do when they first do it
  --mb N           how much of them at most: 250 MB by default
  --systems LIST   with commas, of ${Object.keys(SYSTEMS).join(', ')};
                   mirrormesh by default, all for all that are installed
  --rounds N       of each system: 1 by default
  --limit SECONDS  after which a run is given up: 1800 by default
  --svg FILE       writes a picture of completion over time
  --json           prints the figures as one JSON document
  --keep           leaves the folder with copies and logs
  --referee        over the links of another emulator: MIRRORMESH_REFEREE is its command, which understands
                   up FILE, exec SITE -- COMMAND, counters --json, and down
  --help           this text

Each site has a folder under $TMPDIR: that takes about twice the tree for each site, with --then three times. It ends with 0 when every copy of
every system is identical.
`

interface Options {
  readonly file: string
  readonly tree: string | undefined
  readonly next: string | undefined
  readonly warm: string | undefined
  readonly bytes: number
  readonly systems: readonly string[]
  readonly rounds: number
  readonly limitMs: number
  readonly svg: string | undefined
  readonly isJson: boolean
  readonly isKept: boolean
  readonly isReferee: boolean
}

const cleanups: (() => Promise<void> | void)[] = []
let leaving: Promise<void> | undefined
for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  process.once(signal, () => void leave().finally(() => process.exit(status)))

try {
  const options = parseOptions()
  if (options !== undefined) process.exitCode = await bench(options)
} catch (error) {
  const { code, message, hint } = asMirrorError(error, 'bench:mesh')
  process.stderr.write(`bench:mesh: ${message}${hint === undefined ? '' : `. ${hint}`}\n`)
  process.exitCode = code === 'invalid' ? 2 : code === 'not-found' ? 5 : code === 'refused' ? 6 : 1
} finally {
  await leave()
}

async function bench(options: Options): Promise<number> {
  requireRoot()
  const scenario = await readScenario(options.file)
  const folder = mkdtempSync(join(tmpdir(), 'mirrormesh-mesh-'))
  if (options.isKept) say(`kept in ${folder}`)
  else cleanups.push(() => rmSync(folder, { recursive: true, force: true }))
  const tree =
    options.tree === undefined
      ? makeTree(join(folder, 'tree'), options.bytes)
      : weighTree(resolve(options.tree))
  const next = options.next === undefined ? undefined : nextOf(options.next, tree, join(folder, 'next'))
  say(`${tree.files} files, ${(tree.bytes / 1e6).toFixed(1)} MB, to ${scenario.places.length - 1} sites`)
  const missing = new Set<string>()
  const able = options.systems.filter((name) => {
    const lacking = SYSTEMS[name]!.needs.filter((program) => !hasProgram(program))
    if (lacking.length > 0) missing.add(`${name} (${lacking.join(', ')})`)
    const cannot = next !== undefined && !SYSTEMS[name]!.canUpdate
    if (cannot) missing.add(`${name} (not measured from one version to the next)`)
    return lacking.length === 0 && !cannot
  })
  const warm = options.warm === undefined ? undefined : weighTree(resolve(options.warm))
  const setting: Setting = { scenario, tree: next ?? tree, before: next && tree, warm, folder, options }
  const results: SystemResult[] = []
  const failed: string[] = []
  for (let round = 1; round <= options.rounds; round++)
    for (const name of round % 2 === 1 ? able : able.toReversed())
      try {
        results.push(await runSystem(SYSTEMS[name]!, round, setting))
      } catch (error) {
        // Hours may have gone into the others.
        if (leaving !== undefined) throw error
        const { message } = asMirrorError(error, `measure ${name}`)
        say(`  ${message}`)
        failed.push(`${name}, round ${round}: ${message}`)
      }

  const document = documentOf(results, { ...setting, missing, failed })
  process.stdout.write(options.isJson ? `${JSON.stringify(document, null, 2)}\n` : formatDocument(document))
  if (options.svg !== undefined) writeFileSync(options.svg, chartOf(document))
  return failed.length === 0 &&
    document.runs.every(({ sites, identicalSites }) => identicalSites === sites.length)
    ? 0
    : 1
}

interface Setting {
  readonly scenario: Scenario
  readonly tree: SourceTree
  readonly before: SourceTree | undefined
  readonly warm: SourceTree | undefined
  readonly folder: string
  readonly options: Options
}

/** Each run has links of its own, so that nothing of one is left for the next. */
async function runSystem(
  system: System,
  round: number,
  { scenario, tree, before, warm, folder, options }: Setting,
): Promise<SystemResult> {
  const own = join(folder, `${round}-${system.name.replaceAll(/[^a-z0-9]+/g, '-')}`)
  mkdirSync(own)
  say(`${system.name}, round ${round}`)
  const lab = await startLab(scenario, own, options.isReferee)
  try {
    const stopwatch = createStopwatch(lab, (site, seconds) => say(`  ${site}: ${seconds.toFixed(1)} s`))
    const ran = await system.run({
      ...{ lab, tree, before, warm, stopwatch },
      folder: own,
      limitMs: options.limitMs,
    })
    const reading = stopwatch.reading()
    const wrong = reading.arrivals.flatMap(({ site }) => {
      const differences = differencesOf(tree.path, ran.copies.get(site)!, system.keeps)
      return differences.length === 0 ? [] : [{ site, differences }]
    })
    for (const { site } of wrong) say(`  ${site}'s copy DIFFERS`)
    const { cpuSeconds, mesh } = ran
    return { system: system.name, round, reading, cpuSeconds, wrong, ...(mesh === undefined ? {} : { mesh }) }
  } finally {
    await lab.remove()
    if (!options.isKept) rmSync(own, { recursive: true, force: true })
  }
}

async function startLab(scenario: Scenario, folder: string, isReferee: boolean): Promise<Lab> {
  const command = process.env.MIRRORMESH_REFEREE?.trim().split(/\s+/).filter(Boolean) ?? []
  if (isReferee && command.length === 0)
    throw new MirrorError('invalid', '--referee needs a command', {
      hint: 'Set MIRRORMESH_REFEREE to that of the other emulator.',
    })
  const lab = isReferee ? await startRefereeLab(scenario, command, folder) : await startEmulatedLab(scenario)
  let removing: Promise<void> | undefined
  const remove = (): Promise<void> => {
    removing ??= lab.remove()
    return removing
  }
  cleanups.push(remove)
  return { ...lab, remove }
}

function documentOf(
  results: readonly SystemResult[],
  {
    scenario,
    tree,
    before,
    warm,
    missing,
    failed,
    options,
  }: Omit<Setting, 'folder'> & { missing: ReadonlySet<string>; failed: readonly string[] },
): MeshDocument {
  const travelBytes = results.find(({ mesh }) => mesh !== undefined)?.mesh?.travelBytes ?? null
  const bounds = [...boundsOf(scenario, travelBytes).values()]
  return {
    isEmulated: true,
    links: options.isReferee ? 'referee' : 'emulator',
    topology: scenario.name,
    machine: machine(),
    tree: { files: tree.files, bytes: tree.bytes },
    ...(before === undefined ? {} : { before: { files: before.files, bytes: before.bytes } }),
    ...(warm === undefined ? {} : { warm: { files: warm.files, bytes: warm.bytes } }),
    travelBytes,
    boundSeconds: bounds.length === 0 ? null : Math.max(...bounds),
    missing: [...missing],
    failed,
    runs: results.map((result) => figuresOf(result, scenario, tree, result.mesh?.travelBytes ?? travelBytes)),
  }
}

function nextOf(next: string, tree: SourceTree, to: string): SourceTree {
  return next === 'edit' ? editTree(tree, to) : weighTree(resolve(next))
}

function chartOf({ topology, tree, runs, boundSeconds }: MeshDocument): string {
  return drawChart({
    title: `${topology}: ${Math.round(tree.bytes / 1e6)} MB, emulated links`,
    sites: Math.max(...runs.map(({ sites }) => sites.length)),
    lines: runs.map(({ system, round, sites }) => ({
      name: round === 1 ? system : `${system} (${round})`,
      arrivals: sites.flatMap(({ seconds }) => (seconds === null ? [] : [seconds])).sort((a, b) => a - b),
    })),
    ...(boundSeconds === null ? {} : { bound: boundSeconds }),
  })
}

/** Removes what there is, the last made first. Runs once, whoever asks. */
function leave(): Promise<void> {
  leaving ??= (async () => {
    for (const cleanup of cleanups.toReversed()) await cleanup()
  })()
  return leaving
}

function say(sentence: string): void {
  process.stderr.write(`${sentence}\n`)
}

function parseOptions(): Options | undefined {
  const flags = {
    tree: { type: 'string' },
    // biome-ignore lint/suspicious/noThenProperty: a flag of the command line, and never awaited
    then: { type: 'string' },
    warm: { type: 'string' },
    mb: { type: 'string', default: '250' },
    systems: { type: 'string', default: 'mirrormesh' },
    rounds: { type: 'string', default: '1' },
    limit: { type: 'string', default: '1800' },
    svg: { type: 'string' },
    json: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    referee: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  } as const
  let parsed: ReturnType<typeof parseArgs<{ options: typeof flags; allowPositionals: true }>>
  try {
    parsed = parseArgs({ options: flags, allowPositionals: true })
  } catch (error) {
    throw invalid((error as Error).message)
  }
  const { values, positionals } = parsed
  if (values.help) {
    process.stdout.write(HELP)
    return undefined
  }
  const [file, ...more] = positionals
  if (file === undefined || more.length > 0) throw invalid('name one topology file')
  const systems = values.systems === 'all' ? Object.keys(SYSTEMS) : values.systems.split(',')
  const unknown = systems.find((name) => !Object.hasOwn(SYSTEMS, name))
  if (unknown !== undefined) throw invalid(`there is no system ${JSON.stringify(unknown)}`)
  return {
    file,
    tree: values.tree,
    next: values.then,
    warm: values.warm,
    bytes: whole('--mb', values.mb) * 1e6,
    systems,
    rounds: whole('--rounds', values.rounds),
    limitMs: whole('--limit', values.limit) * 1000,
    svg: values.svg,
    isJson: values.json,
    isKept: values.keep,
    isReferee: values.referee,
  }
}

function whole(name: string, text: string): number {
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text)
  throw invalid(`${name} is a number from 1, not ${JSON.stringify(text)}`)
}

function invalid(message: string): MirrorError {
  return new MirrorError('invalid', message, { hint: 'npm run bench:mesh -- --help tells more.' })
}
