/**
 * `npm run bench:gateway`: what the gateway of a node serves, beside nginx, which serves the same files out of a check-out of
 * the same tree. The load is wrk's, on the same machine: it takes its share of the processors, from both alike. The two take
 * turns, round by round, and the medians are shown.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { asMirrorError, MirrorError } from '../../src/base/errors.ts'
import { onSignal, removedOnSignal } from '../on-signal.ts'
import { parseOptions } from '../options.ts'
import { makeFiles } from './gateway/files.ts'
import { type Server, startGateway, startNginx } from './gateway/servers.ts'
import { type Load, runWrk } from './gateway/wrk.ts'
import { table } from './markdown.ts'
import { hasProgram, machine, median } from './run.ts'

const HELP = `usage: npm run bench:gateway -- [options]

Measures the gateway beside nginx: one large file over 4 connections, small files over 16 kept alive, small files while 8
connections fetch the large one, and 1,000 connections at once. Needs nginx (nginx-light) and wrk.

  --seconds N      of each part: 10 by default
  --rounds N       of each part and server, in turns: 3 by default
  --large-mb N     the large file: 256 by default
  --small N        small files, of 1 to 16 kB: 1000 by default
  --connections N  of the last part: 1000 by default
  --dir DIR        where files and copies are put, and removed: the system's temporary folder by default
  --json           prints the figures as one JSON document
  --help           this text

It ends with 0 when every answer was 200. On a busy machine compare the processor's seconds, not rates.
`

export interface PartFigures {
  /** Of bodies and headers. */
  readonly MBPerSecond: number
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Of the server's processor. */
  readonly cpuSecondsPerGB: number
  readonly cpuMsPerRequest: number
  /** The highest so far of all its processes together. */
  readonly peakMB: number
}

export interface GatewayDocument {
  readonly machine: Record<string, string | number>
  readonly seconds: number
  readonly rounds: number
  readonly parts: Readonly<Record<string, Readonly<Record<string, PartFigures>>>>
}

interface Part {
  readonly name: string
  readonly load: Load
  /** Goes on meanwhile, and is not measured. */
  readonly beside?: Load
}

interface Options {
  readonly seconds: number
  readonly rounds: number
  readonly largeBytes: number
  readonly small: number
  readonly connections: number
  readonly dir: string
  readonly isJson: boolean
}

function readOptions(): Options {
  const { values } = parseOptions(
    {
      options: {
        seconds: { type: 'string', default: '10' },
        rounds: { type: 'string', default: '3' },
        'large-mb': { type: 'string', default: '256' },
        small: { type: 'string', default: '1000' },
        connections: { type: 'string', default: '1000' },
        dir: { type: 'string', default: tmpdir() },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    },
    { command: 'npm run bench:gateway --', help: HELP },
  )
  const number = (key: 'seconds' | 'rounds' | 'large-mb' | 'small' | 'connections'): number => {
    const value = Number(values[key])
    if (Number.isSafeInteger(value) && value > 0) return value
    throw new MirrorError('invalid', `--${key} is a number above 0, not ${values[key]}`)
  }
  return {
    seconds: number('seconds'),
    rounds: number('rounds'),
    largeBytes: number('large-mb') * 1_000_000,
    small: number('small'),
    connections: number('connections'),
    dir: values.dir,
    isJson: values.json,
  }
}

async function measure(options: Options): Promise<GatewayDocument> {
  for (const [program, debian] of [
    ['nginx', 'nginx-light'],
    ['wrk', 'wrk'],
  ] as const) {
    if (hasProgram(program)) continue
    throw new MirrorError('unsupported', `there is no ${program} here`, { hint: `apt-get install ${debian}` })
  }
  const { seconds, rounds } = options
  const folder = mkdtempSync(join(options.dir, 'mirrormesh-bench-gateway-'))
  using _removed = removedOnSignal(folder)
  const servers: Server[] = []
  const stop = async (): Promise<void> => {
    for (const server of servers.toReversed()) await server.stop()
  }
  using _stopped = onSignal(stop)
  try {
    const source = join(folder, 'source')
    mkdirSync(source)
    const files = makeFiles(source, { largeBytes: options.largeBytes, small: options.small })
    const gateway = await startGateway(folder, source, servers)
    const nginx = await startNginx(folder, gateway.checkout, servers)
    const large = { paths: [files.large], connections: 4, seconds }
    const small = { paths: files.small, connections: 16, seconds }
    const parts: Part[] = [
      { name: 'one large file', load: large },
      { name: 'small files', load: small },
      {
        name: 'small files under load',
        load: { ...small, connections: 4 },
        beside: { ...large, connections: 8 },
      },
      { name: `${options.connections} connections`, load: { ...large, connections: options.connections } },
    ]
    const figures: Record<string, Record<string, PartFigures>> = {}
    for (const part of parts) {
      const taken: Record<string, PartFigures[]> = { mirrormesh: [], nginx: [] }
      for (let round = 0; round < rounds; round++) {
        for (const server of round % 2 === 0 ? [gateway, nginx] : [nginx, gateway])
          taken[server.name]!.push(await measurePart(folder, server, part))
      }
      figures[part.name] = Object.fromEntries(
        Object.entries(taken).map(([name, all]) => [name, medians(all)]),
      )
    }
    return { machine: machine(), seconds, rounds, parts: figures }
  } finally {
    await stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function measurePart(folder: string, server: Server, { load, beside }: Part): Promise<PartFigures> {
  const other = beside && runWrk(folder, server.url, { ...beside, seconds: beside.seconds + 1 })
  const cpuBefore = server.cpuSeconds()
  const result = await runWrk(folder, server.url, load)
  const cpuSeconds = server.cpuSeconds() - cpuBefore
  await other
  const isAlone = beside === undefined
  return {
    MBPerSecond: result.bytes / 1e6 / result.seconds,
    requestsPerSecond: result.requests / result.seconds,
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    // What the load beside cost cannot be told from it.
    cpuSecondsPerGB: isAlone ? cpuSeconds / (result.bytes / 1e9) : Number.NaN,
    cpuMsPerRequest: isAlone && result.requests > 0 ? (1000 * cpuSeconds) / result.requests : Number.NaN,
    peakMB: server.peakMB(),
  }
}

function medians(all: readonly PartFigures[]): PartFigures {
  const of = (key: keyof PartFigures): number => median(all.map((figures) => figures[key]))
  return {
    MBPerSecond: of('MBPerSecond'),
    requestsPerSecond: of('requestsPerSecond'),
    p50Ms: of('p50Ms'),
    p99Ms: of('p99Ms'),
    cpuSecondsPerGB: of('cpuSecondsPerGB'),
    cpuMsPerRequest: of('cpuMsPerRequest'),
    peakMB: Math.max(...all.map(({ peakMB }) => peakMB)),
  }
}

function asText({ parts, machine: on, seconds, rounds }: GatewayDocument): string {
  const show = (value: number, digits: number): string => (Number.isNaN(value) ? '-' : value.toFixed(digits))
  const rows = Object.entries(parts).flatMap(([part, servers]) =>
    Object.entries(servers).map(([name, one]) => [
      part,
      name,
      show(one.MBPerSecond, 0),
      show(one.requestsPerSecond, 0),
      show(one.p50Ms, 1),
      show(one.p99Ms, 1),
      show(one.cpuSecondsPerGB, 2),
      show(one.cpuMsPerRequest, 3),
      show(one.peakMB, 0),
    ]),
  )
  const head = [
    'part',
    'server',
    'MB/s',
    'requests/s',
    'p50 ms',
    'p99 ms',
    'CPU s/GB',
    'CPU ms/request',
    'peak MB',
  ]
  return `${JSON.stringify(on)}; ${rounds} rounds of ${seconds} s each\n\n${table(head, rows)}\n`
}

try {
  const options = readOptions()
  const document = await measure(options)
  process.stdout.write(options.isJson ? `${JSON.stringify(document, null, 2)}\n` : asText(document))
} catch (thrown) {
  const error = asMirrorError(thrown, 'measure the gateway')
  process.stderr.write(`${error.message}\n${error.hint === undefined ? '' : `${error.hint}\n`}`)
  process.exitCode = error.code === 'invalid' ? 2 : 1
}
