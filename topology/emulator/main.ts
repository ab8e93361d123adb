/** `npm run emulate -- VERB`: emulated sites on this machine, from a topology file. */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { parseArgs } from 'node:util'
import { parseMs, parseRate } from '../../node/topology/units.ts'
import { asMirrorError, MirrorError } from '../../src/base/errors.ts'
import { readScenario } from '../scenario.ts'
import { DEFAULT_CONGESTION } from './congestion.ts'
import type { Counters } from './counters.ts'
import {
  attachEmulator,
  type Emulator,
  removeAbandoned,
  removeEmulator,
  standingEmulators,
  startEmulator,
} from './emulator.ts'
import { planNetwork } from './network.ts'

const HELP = `Emulates the links of a topology file between network namespaces of this machine. Takes root, gcc and iproute2.

  npm run emulate -- up FILE [--seed N] [--congestion NAME]
                                                 a namespace for each site; prints their addresses. The sites' TCP
                                                 has cubic, whatever the machine's own is, or NAME
  npm run emulate -- status [--json]             sites, their addresses and namespaces
  npm run emulate -- exec SITE -- COMMAND...     runs a command at a site
  npm run emulate -- link END up=RATE down=RATE  the pipe of a site, or of all of region:NAME together
  npm run emulate -- link END END rtt=TIME loss=PERCENT rate=RATE
                                                 the paths between two sites or regions, both ways
  npm run emulate -- cut END [END]               nothing passes between the two, or between the one and all others
  npm run emulate -- heal [END [END]]            undoes it; without an end, everything that was cut
  npm run emulate -- counters [--json]           bytes and packets by pipe and by pair of sites, and how late they were
  npm run emulate -- reset                       counts from 0 again
  npm run emulate -- down                        ends what runs at the sites, and removes everything; safe to repeat

END is a site or region:NAME, RATE such as "25 Mbit/s" or 25 (Mbit/s; 0 is no limit), TIME such as "40 ms" or 40.
--id ID chooses one of several emulators; down without it removes all that were started with up.
`

interface Options {
  readonly id: string | undefined
  readonly seed: number
  readonly congestion: string
  readonly json: boolean
}

const VERBS: Readonly<Record<string, (words: readonly string[], options: Options) => Promise<void>>> = {
  up,
  status,
  exec,
  link,
  async cut(words, { id }) {
    const [a, b] = ends(words, 1)
    await using(id, (emulator) => emulator.cut(a!, b))
  },
  async heal(words, { id }) {
    const [a, b] = ends(words, 0)
    await using(id, (emulator) => emulator.heal(a, b))
  },
  async counters(_, { id, json }) {
    await using(id, async (emulator) => {
      const counters = await emulator.counters()
      print(json ? `${JSON.stringify(counters, null, 2)}\n` : formatCounters(counters))
    })
  },
  async reset(_, { id }) {
    await using(id, (emulator) => emulator.resetCounters())
  },
  async down(_, { id }) {
    for (const each of id === undefined ? standingEmulators() : [id]) await removeEmulator(each)
    await removeAbandoned()
  },
}

async function up(words: readonly string[], { seed, congestion, json, id }: Options): Promise<void> {
  const [file, ...more] = words
  if (file === undefined || more.length > 0) throw new MirrorError('invalid', 'up takes one topology file')
  if (id !== undefined) throw new MirrorError('invalid', 'up makes a new emulator: leave --id out')
  const emulator = await startEmulator(planNetwork(await readScenario(file)), { seed, congestion })
  await emulator.stay()
  emulator.detach()
  print(describe(emulator, json))
}

async function status(_: readonly string[], { id, json }: Options): Promise<void> {
  await using(id, async (emulator) => print(describe(emulator, json)))
}

function describe({ id, network }: Emulator, json: boolean): string {
  const sites = network.sites.map((site) => ({ ...site, namespace: `mm-${id}-${site.site}` }))
  if (json) return `${JSON.stringify({ id, name: network.name, origin: network.origin, sites }, null, 2)}\n`
  return sites
    .map(({ site, region, address, namespace }) => `${site}\t${region}\t${address}\t${namespace}\n`)
    .join('')
}

async function exec([site, ...command]: readonly string[], { id }: Options): Promise<void> {
  if (site === undefined || command.length === 0)
    throw new MirrorError('invalid', 'exec takes a site, -- and a command')
  let words: readonly string[] = []
  await using(id, async (emulator) => {
    words = emulator.argumentsAt(site, command)
  })
  const child = spawn(words[0]!, words.slice(1), { stdio: 'inherit' })
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, forward)
  process.exitCode = await new Promise<number>((resolve, reject) =>
    child
      .once('error', reject)
      .once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal!])),
  )
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, forward)
}

async function link(words: readonly string[], { id }: Options): Promise<void> {
  const [a, b] = ends(
    words.filter((word) => !word.includes('=')),
    1,
  )
  const change = new Map(
    words.flatMap((word) => {
      const at = word.indexOf('=')
      return at === -1 ? [] : [[word.slice(0, at), word.slice(at + 1)] as const]
    }),
  )
  const take = <T>(key: string, read: (text: string) => T | undefined): T | undefined => {
    const text = change.get(key)
    if (text === undefined) return undefined
    change.delete(key)
    const value = read(text)
    if (value === undefined) throw new MirrorError('invalid', `${key} cannot be ${JSON.stringify(text)}`)
    return value
  }
  const rates = { upKbit: take('up', kbitOf), downKbit: take('down', kbitOf) }
  const path = { rttMs: take('rtt', msOf), lossPercent: take('loss', percentOf), kbit: take('rate', kbitOf) }
  const isPath = Object.values(path).some((value) => value !== undefined)
  const isPipe = Object.values(rates).some((value) => value !== undefined)
  if (change.size > 0 || isPath === isPipe || isPath !== (b !== undefined))
    throw new MirrorError('invalid', 'link takes one end with up= or down=, or two with rtt=, loss= or rate=')
  await using(id, (emulator) =>
    b === undefined ? emulator.setPipe(a!, given(rates)) : emulator.setPath(a!, b, given(path)),
  )
}

/** Without what was not given. */
function given<T extends Readonly<Record<string, number | undefined>>>(
  values: T,
): { readonly [K in keyof T]?: number } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: number
  }
}

function kbitOf(text: string): number | undefined {
  if (text === '0') return 0
  return parseRate(Number.isNaN(Number(text)) ? text : Number(text))
}

function msOf(text: string): number | undefined {
  return parseMs(Number.isNaN(Number(text)) ? text : Number(text))
}

function percentOf(text: string): number | undefined {
  const percent = text.trim() === '' ? Number.NaN : Number(text)
  return percent >= 0 && percent <= 100 ? percent : undefined
}

function ends(words: readonly string[], least: number): readonly (string | undefined)[] {
  if (words.length >= least && words.length <= 2) return words
  throw new MirrorError('invalid', `name ${least === 0 ? 'no end, one' : 'one end'} or two`)
}

async function using(id: string | undefined, work: (emulator: Emulator) => Promise<void>): Promise<void> {
  const emulator = await attachEmulator(id)
  try {
    await work(emulator)
  } finally {
    emulator.detach()
  }
}

function formatCounters({ pipes, lateness, cpuSeconds }: Counters): string {
  const lines = Object.entries(pipes).map(
    ([name, { bytes, packets, dropped, meanWaitMs, maxWaitMs }]) =>
      `${name}\t${bytes} bytes\t${packets} packets\t${dropped} dropped\twaited ${meanWaitMs.toFixed(1)} ms, ${maxWaitMs.toFixed(1)} ms at most`,
  )
  const late = `${lateness.packets} packets delivered, ${lateness.meanUs.toFixed(0)} us late on average, ${lateness.over5ms} of them over 5 ms; ${cpuSeconds} s of processor time`
  return `${[...lines, late].join('\n')}\n`
}

function print(text: string): void {
  process.stdout.write(text)
}

function parse(): { verb: string; words: readonly string[]; options: Options; help: boolean } {
  const all = process.argv.slice(2)
  const end = all.indexOf('--')
  const own = end === -1 ? all : all.slice(0, end)
  try {
    const { values, positionals } = parseArgs({
      args: own,
      allowPositionals: true,
      options: {
        id: { type: 'string' },
        seed: { type: 'string', default: '1' },
        congestion: { type: 'string', default: DEFAULT_CONGESTION },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
    if (!/^\d{1,15}$/.test(values.seed)) throw new Error('--seed is a whole number')
    const [verb = '', ...words] = positionals
    const command = end === -1 ? [] : all.slice(end + 1)
    return {
      verb,
      words: [...words, ...command],
      options: {
        id: values.id,
        seed: Number(values.seed),
        congestion: values.congestion,
        json: values.json,
      },
      help: values.help,
    }
  } catch (error) {
    throw new MirrorError('invalid', (error as Error).message, {
      hint: 'npm run emulate -- --help tells more.',
    })
  }
}

try {
  const { verb, words, options, help } = parse()
  if (help || verb === 'help') print(HELP)
  else {
    const run = Object.hasOwn(VERBS, verb) ? VERBS[verb] : undefined
    if (run === undefined)
      throw new MirrorError('invalid', verb === '' ? 'no verb' : `there is no verb ${JSON.stringify(verb)}`, {
        hint: 'npm run emulate -- --help tells more.',
      })
    await run(words, options)
  }
} catch (error) {
  const { code, message, hint } = asMirrorError(error, 'emulate')
  process.stderr.write(`emulate: ${message}${hint === undefined ? '' : `. ${hint}`}\n`)
  process.exitCode = code === 'invalid' ? 2 : code === 'not-found' ? 5 : code === 'refused' ? 6 : 1
}
