/**
 * `npm run bench:gossip`: how soon a head is known at every site of a mesh, and what the mesh costs when nothing happens. Real
 * nodes, composed as daemons are, many in each of a few processes, on the loopback of a network namespace of its own: what
 * passes there is theirs alone, and is counted with TCP and IP headers.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { asMirrorError, MirrorError } from '../../src/base/errors.ts'
import { requireRoot } from '../../topology/emulator/emulator.ts'
import type { SiteMessage } from './gossip/sites.ts'
import { type Home, makeHomes, TREE } from './homes.ts'
import { table } from './markdown.ts'
import { cpuSecondsOf, pause, until } from './mesh/processes.ts'
import { machine } from './run.ts'

const HELP = `usage: npm run bench:gossip -- [options]

Runs a mesh of real nodes, all connected to all, and measures how long a new head takes to every site, and how many bytes
a site sends while nothing happens (gossip, pings, reconciliation; TCP and IP headers included). Takes root, iproute2 and
util-linux: the nodes run in a network namespace of their own.

  --sites LIST       sizes of the mesh, with commas: 10,25,50 by default
  --in-region N      sites of a region: 10 by default
  --processes N      that the nodes are spread over: 2 by default
  --heads N          published one after the other: 20 by default
  --idle SECONDS     of quiet that are measured: 120 by default (records are reconciled once a minute)
  --settle SECONDS   of quiet before them: 30 by default
  --json             prints the figures as one JSON document
  --help             this text

The machine's processors are shared by all nodes: beyond some number of sites a head waits for them, not for the mesh. It
ends with 0 when every head reached every site.
`

export interface GossipFigures {
  readonly sites: number
  readonly processes: number
  readonly heads: number
  /** From the record's being durable at its publisher to its being durable at each other site. */
  readonly headMs: { readonly p50: number; readonly p99: number; readonly max: number }
  readonly idle: {
    readonly seconds: number
    readonly bytesPerSecondPerSite: number
    readonly packetsPerSecondPerSite: number
    readonly cpuPercentPerSite: number
  }
  readonly memoryMBPerSite: number
}

const MAIN = join(import.meta.dirname, '../../node/main.ts')
const SITES = join(import.meta.dirname, 'gossip/sites.ts')
/** The namespace that the measurement made for itself. */
const INSIDE = 'MIRRORMESH_BENCH_INSIDE'
const FIRST_PORT = 20_000
const READY = { timeoutMs: 600_000, everyMs: 200 }

try {
  process.exitCode = await main()
} catch (error) {
  const { code, message, hint } = asMirrorError(error, 'bench:gossip')
  process.stderr.write(`bench:gossip: ${message}${hint === undefined ? '' : `. ${hint}`}\n`)
  process.exitCode = code === 'invalid' ? 2 : code === 'refused' ? 6 : 1
}

async function main(): Promise<number> {
  const options = parseOptions()
  if (options === undefined) return 0
  requireRoot()
  if (process.env[INSIDE] === undefined) return runInside()
  const runs: GossipFigures[] = []
  for (const sites of options.sites) runs.push(await measure(sites, options))
  const document = { machine: machine(), runs }
  process.stdout.write(options.isJson ? `${JSON.stringify(document, null, 2)}\n` : format(runs))
  return 0
}

/** The same command, where loopback carries nothing else. */
function runInside(): Promise<number> {
  const command = ['ip link set lo up && exec "$@"', 'sh', process.execPath, ...process.execArgv]
  const child = spawn('unshare', ['--net', 'sh', '-c', ...command, ...process.argv.slice(1)], {
    stdio: 'inherit',
    env: { ...process.env, [INSIDE]: '1' },
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => child.kill(signal))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (status) => resolve(status ?? 1))
  })
}

interface Options {
  readonly sites: readonly number[]
  readonly sitesInRegion: number
  readonly processes: number
  readonly heads: number
  readonly idleMs: number
  readonly settleMs: number
  readonly isJson: boolean
}

async function measure(sites: number, options: Options): Promise<GossipFigures> {
  const folder = mkdtempSync(join(tmpdir(), 'mirrormesh-gossip-'))
  const children: ChildProcess[] = []
  try {
    say(`${sites} sites`)
    const homes = await makeHomes(
      folder,
      Array.from({ length: sites }, (_, number) => ({
        site: `s${number}`,
        region: `r${Math.floor(number / options.sitesInRegion)}`,
        address: '127.0.0.1',
        port: FIRST_PORT + number,
      })),
    )
    const connected = new Map<string, number>()
    const arrivals = new Map<number, Map<string, number>>()
    for (let part = 0; part < options.processes; part++) {
      const own = homes.filter((_, number) => number % options.processes === part).map(({ home }) => home)
      if (own.length > 0) children.push(startSites(own, connected, arrivals))
    }
    await until(`${sites} sites are connected to each other`, READY, () => {
      if (children.some(({ exitCode }) => exitCode !== null)) throw new MirrorError('io', 'the nodes ended')
      const all = homes.map(({ home }) => connected.get(home) ?? 0)
      return all.every((peers) => peers >= sites - 1) ? true : undefined
    })
    say('  all are connected to all')
    await pause(options.settleMs)
    const idle = await measureIdle(sites, options, children)
    say(`  idle: ${idle.bytesPerSecondPerSite.toFixed(0)} B/s a site`)
    const headMs = await measureHeads(homes, arrivals, { heads: options.heads, folder })
    say(`  a head: ${headMs.p50} ms at half of the sites, ${headMs.p99} ms at 99 %`)
    const memoryMB = children.reduce((sum, { pid }) => sum + residentMB(pid!), 0)
    return {
      sites,
      processes: children.length,
      heads: options.heads,
      headMs,
      idle,
      memoryMBPerSite: memoryMB / sites,
    }
  } finally {
    await Promise.all(children.map(end))
    rmSync(folder, { recursive: true, force: true })
  }
}

function startSites(
  homes: readonly string[],
  connected: Map<string, number>,
  arrivals: Map<number, Map<string, number>>,
): ChildProcess {
  const child = fork(SITES, [...homes], { execArgv: ['--disable-warning=ExperimentalWarning'] })
  child.on('message', (message: SiteMessage) => {
    if (message.kind === 'peers') {
      connected.set(message.home, message.connected)
      return
    }
    const all = arrivals.get(message.sequence) ?? new Map<string, number>()
    arrivals.set(message.sequence, all.set(message.home, message.atMs))
  })
  return child
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = new Promise((resolve) => child.once('exit', resolve))
  const last = setTimeout(() => child.kill('SIGKILL'), 20_000)
  child.disconnect()
  await exited
  clearTimeout(last)
}

async function measureIdle(
  sites: number,
  { idleMs }: Options,
  children: readonly ChildProcess[],
): Promise<GossipFigures['idle']> {
  const read = () => ({
    ...loopback(),
    atMs: performance.now(),
    cpuSeconds: children.reduce((sum, { pid }) => sum + cpuSecondsOf(pid!), 0),
  })
  const before = read()
  await pause(idleMs)
  const after = read()
  const seconds = (after.atMs - before.atMs) / 1000
  const perSite = (value: number): number => value / seconds / sites
  return {
    seconds,
    bytesPerSecondPerSite: perSite(after.bytes - before.bytes),
    packetsPerSecondPerSite: perSite(after.packets - before.packets),
    cpuPercentPerSite: 100 * perSite(after.cpuSeconds - before.cpuSeconds),
  }
}

async function measureHeads(
  homes: readonly Home[],
  arrivals: ReadonlyMap<number, ReadonlyMap<string, number>>,
  { heads, folder }: { readonly heads: number; readonly folder: string },
): Promise<GossipFigures['headMs']> {
  const source = join(folder, 'source')
  mkdirSync(source)
  const origin = homes[0]!.home
  const delays: number[] = []
  for (let sequence = 1; sequence <= heads; sequence++) {
    writeFileSync(join(source, 'file'), `${sequence}\n`)
    await publish(origin, source)
    const all = await until(`@${sequence} is everywhere`, { timeoutMs: 120_000, everyMs: 50 }, () => {
      const found = arrivals.get(sequence)
      return found?.size === homes.length ? found : undefined
    })
    const startMs = all.get(origin)!
    for (const [home, atMs] of all) if (home !== origin) delays.push(Math.max(0, atMs - startMs))
  }
  delays.sort((a, b) => a - b)
  const at = (share: number): number => delays[Math.ceil(share * delays.length) - 1]!
  return { p50: at(0.5), p99: at(0.99), max: delays.at(-1)! }
}

async function publish(home: string, source: string): Promise<void> {
  const words = ['--disable-warning=ExperimentalWarning', MAIN, '--home', home]
  const child = spawn(process.execPath, [...words, 'publish', source, '--tree', TREE, '--json'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-4096)
  })
  const status = await new Promise((resolve) => child.once('close', resolve))
  if (status !== 0) throw new MirrorError('io', `publish ended with ${status}: ${stderr.trim()}`)
}

/** What loopback has carried in this namespace: each packet is sent once. */
function loopback(): { readonly bytes: number; readonly packets: number } {
  const line = readFileSync('/proc/self/net/dev', 'utf8')
    .split('\n')
    .find((each) => each.trim().startsWith('lo:'))!
  const fields = line.split(':')[1]!.trim().split(/\s+/).map(Number)
  return { bytes: fields[8]!, packets: fields[9]! }
}

function residentMB(pid: number): number {
  const kib = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib) / 1024
}

function format(runs: readonly GossipFigures[]): string {
  const row = ({ sites, processes, headMs, idle, memoryMBPerSite }: GossipFigures): string[] => [
    `${sites} (${processes})`,
    `${headMs.p50}`,
    `${headMs.p99}`,
    `${headMs.max}`,
    idle.bytesPerSecondPerSite.toFixed(0),
    idle.packetsPerSecondPerSite.toFixed(1),
    idle.cpuPercentPerSite.toFixed(2),
    memoryMBPerSite.toFixed(0),
  ]
  return table(
    [
      'real sites (processes)',
      'head, p50 ms',
      'p99 ms',
      'max ms',
      'idle, B/s a site',
      'packets/s',
      'CPU %',
      'MB',
    ],
    runs.map(row),
  )
}

function say(sentence: string): void {
  process.stderr.write(`${sentence}\n`)
}

function parseOptions(): Options | undefined {
  const flags = {
    sites: { type: 'string', default: '10,25,50' },
    'in-region': { type: 'string', default: '10' },
    processes: { type: 'string', default: '2' },
    heads: { type: 'string', default: '20' },
    idle: { type: 'string', default: '120' },
    settle: { type: 'string', default: '30' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  } as const
  let values: ReturnType<typeof parseArgs<{ options: typeof flags }>>['values']
  try {
    values = parseArgs({ options: flags }).values
  } catch (error) {
    throw invalid((error as Error).message)
  }
  if (values.help) {
    process.stdout.write(HELP)
    return undefined
  }
  return {
    sites: values.sites.split(',').map((text) => whole('--sites', text, 2)),
    sitesInRegion: whole('--in-region', values['in-region']),
    processes: whole('--processes', values.processes),
    heads: whole('--heads', values.heads),
    idleMs: whole('--idle', values.idle) * 1000,
    settleMs: whole('--settle', values.settle) * 1000,
    isJson: values.json,
  }
}

function whole(name: string, text: string, least = 1): number {
  if (/^[1-9]\d{0,3}$/.test(text) && Number(text) >= least) return Number(text)
  throw invalid(`${name} takes numbers from ${least}, not ${JSON.stringify(text)}`)
}

function invalid(message: string): MirrorError {
  return new MirrorError('invalid', message, { hint: 'npm run bench:gossip -- --help tells more.' })
}
