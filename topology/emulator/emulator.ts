/**
 * Emulated sites on this machine: a network namespace for each, and one forwarding program between them. Nothing leaves
 * them: a namespace has no other link.
 *
 * An emulator is known by its ID and has a folder under /run, which is there before the first namespace and until the
 * last one is gone: whoever aborts in between leaves what `removeEmulator` and `removeAbandoned` find.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isMirrorError, MirrorError } from '../../src/base/errors.ts'
import { chooseCongestion, DEFAULT_CONGESTION } from './congestion.ts'
import { type Counters, readCounters } from './counters.ts'
import { connectForwarder, type Forwarder, startForwarder } from './forwarder.ts'
import { addNamespaces, argumentsIn, listNamespaces, namespaceOf, removeNamespaces } from './namespaces.ts'
import { type Network, type NetworkRoute, type NetworkSite, pathName, pipeOf, sitesOfEnd } from './network.ts'

const RUN_FOLDER = '/run/mirrormesh-emulator'
/** Marks one that is to stay. */
const STANDING = 'stays'

/** A rate of 0 is no limit; what is left out stays as it is. */
export interface PipeChange {
  readonly upKbit?: number
  readonly downKbit?: number
}

export interface PathChange {
  readonly rttMs?: number
  readonly lossPercent?: number
  /** Of each pair of sites by itself, in each direction. */
  readonly kbit?: number
}

/** Ends are sites, or regions as `region:NAME`. */
export interface Emulator {
  readonly id: string
  readonly network: Network
  site(name: string): NetworkSite
  /** The command that runs `command` at a site. */
  argumentsAt(site: string, command: readonly string[]): string[]
  /** A site's own pipe, or the one that a region shares. */
  setPipe(end: string, change: PipeChange): Promise<void>
  /** The paths between two ends, both ways. */
  setPath(a: string, b: string, change: PathChange): Promise<void>
  /** Nothing passes between the two, or between the one and all others; what is on its way is lost. */
  cut(a: string, b?: string): Promise<void>
  /** Without ends: everything that was cut. */
  heal(a?: string, b?: string): Promise<void>
  counters(): Promise<Counters>
  resetCounters(): Promise<void>
  /** From now on it goes on when this process has ended, until it is removed. */
  stay(): Promise<void>
  /** Ends the connection. One that is not to stay ends with the connection of the process that started it. */
  detach(): void
  /** Ends what runs at the sites, and removes everything. */
  remove(): Promise<void>
}

/**
 * @param options.congestion the sites' TCP congestion control, whatever the machine's own is
 * @throws MirrorError `refused` without root, `unsupported` where gcc, iproute2 or that congestion control is missing
 */
export async function startEmulator(
  network: Network,
  { seed = 1, congestion = DEFAULT_CONGESTION } = {},
): Promise<Emulator> {
  requireRoot()
  await removeAbandoned()
  const id = makeFolder()
  try {
    save(id, network)
    const namespaces = network.sites.map(({ site }) => namespaceOf(id, site))
    await addNamespaces(namespaces)
    chooseCongestion(namespaces, congestion)
    const forwarder = await startForwarder(socketOf(id), seed)
    await forwarder.sendAll([
      ...network.pipes.map((_, number) => pipeCommand(network, number)),
      ...network.sites.map(
        ({ site, address }, number) => `site ${number} ${address} ${namespaceOf(id, site)}`,
      ),
      ...network.routes.map(routeCommand),
    ])
    return createEmulator(id, network, forwarder)
  } catch (error) {
    await removeEmulator(id)
    throw error
  }
}

/** One that was told to stay; the only one when no ID is given. @throws MirrorError `not-found`, `conflict` */
export async function attachEmulator(id: string = onlyStanding()): Promise<Emulator> {
  requireRoot()
  let network: Network
  try {
    network = JSON.parse(readFileSync(join(RUN_FOLDER, id, 'network.json'), 'utf8')) as Network
  } catch (error) {
    throw new MirrorError('not-found', `there is no emulator ${id}`, { cause: error })
  }
  return createEmulator(id, network, await connectForwarder(socketOf(id)))
}

/** IDs of those that were told to stay. */
export function standingEmulators(): string[] {
  return knownIds().filter((id) => existsSync(join(RUN_FOLDER, id, STANDING)))
}

function knownIds(): string[] {
  try {
    return readdirSync(RUN_FOLDER)
  } catch {
    return []
  }
}

/** Safe to repeat, at any state in which a start, a removal or a crash left it. */
export async function removeEmulator(id: string): Promise<void> {
  requireRoot()
  await removeNamespaces(
    listNamespaces()
      .filter((each) => each.id === id)
      .map(({ name }) => name),
  )
  try {
    const forwarder = await connectForwarder(socketOf(id))
    // It ends at this, and may not answer any more.
    await forwarder.send('go').catch(() => undefined)
    forwarder.close()
  } catch (error) {
    if (!isMirrorError(error, 'unreachable')) throw error
  }
  rmSync(join(RUN_FOLDER, id), { recursive: true, force: true })
}

/** Removes what emulators left behind whose process was killed. @returns their IDs */
export async function removeAbandoned(): Promise<string[]> {
  const known = new Set([...knownIds(), ...listNamespaces().map(({ id }) => id)])
  const removed: string[] = []
  for (const id of known) {
    if (isRunning(Number.parseInt(id, 10)) || (await isAnswering(id))) continue
    await removeEmulator(id)
    removed.push(id)
  }
  return removed
}

export function requireRoot(): void {
  if (process.geteuid?.() !== 0)
    throw new MirrorError(
      'refused',
      'emulated links take root: they are network namespaces and TUN devices',
      {
        hint: 'Run it as root, or simulate: npm run simulate -- FILE.',
      },
    )
}

function createEmulator(id: string, started: Network, forwarder: Forwarder): Emulator {
  let network = started

  const pairsBetween = (a: string, b: string | undefined): [number, number][] => {
    const from = sitesOfEnd(network, a)
    const all = network.sites.map((_, number) => number)
    const to = b === undefined ? all.filter((number) => !from.includes(number)) : sitesOfEnd(network, b)
    return from.flatMap((x) => to.filter((y) => y !== x).map((y): [number, number] => [x, y]))
  }
  const cutAll = async (pairs: readonly [number, number][], flag: 0 | 1): Promise<void> =>
    forwarder.sendAll(pairs.flatMap(([x, y]) => [`cut ${x} ${y} ${flag}`, `cut ${y} ${x} ${flag}`]))

  async function setRate(name: string, kbit: number): Promise<number> {
    const known = network.pipes.findIndex((pipe) => pipe.name === name)
    const number = known === -1 ? network.pipes.length : known
    network = { ...network, pipes: network.pipes.toSpliced(number, 1, pipeOf(name, kbit)) }
    await forwarder.send(pipeCommand(network, number))
    return number
  }

  return {
    id,
    get network() {
      return network
    },
    site(name) {
      const found = network.sites.find(({ site }) => site === name)
      if (found === undefined) throw new MirrorError('not-found', `${network.name} has no site ${name}`)
      return found
    },
    argumentsAt(site, command) {
      return argumentsIn(namespaceOf(id, this.site(site).site), command)
    },
    async setPipe(end, { upKbit, downKbit }) {
      const sites = sitesOfEnd(network, end)
      const isSite = network.sites[sites[0]!]!.site === end
      const owner = isSite ? `site ${end}` : `region ${network.sites[sites[0]!]!.region}`
      if (upKbit !== undefined) await setRate(`${owner} up`, upKbit)
      if (downKbit !== undefined) await setRate(`${owner} down`, downKbit)
      save(id, network)
    },
    async setPath(a, b, change) {
      const pairs = new Set(pairsBetween(a, b).flatMap(([x, y]) => [`${x} ${y}`, `${y} ${x}`]))
      for (const [at, route] of network.routes.entries()) {
        if (!pairs.has(`${route.from} ${route.to}`)) continue
        const [from, to] = [network.sites[route.from]!.site, network.sites[route.to]!.site]
        const before =
          change.kbit === undefined
            ? route.before
            : route.before.with(-1, await setRate(`${pathName(from, to)} (sites)`, change.kbit))
        const changed: NetworkRoute = {
          ...route,
          before,
          ...(change.rttMs === undefined ? {} : { delayUs: Math.round(change.rttMs * 500) }),
          ...(change.lossPercent === undefined ? {} : { lossPpm: Math.round(change.lossPercent * 10_000) }),
        }
        await forwarder.send(routeCommand(changed))
        network = { ...network, routes: network.routes.with(at, changed) }
      }
      save(id, network)
    },
    cut: (a, b) => cutAll(pairsBetween(a, b), 1),
    heal: (a, b) =>
      cutAll(a === undefined ? network.routes.map(({ from, to }) => [from, to]) : pairsBetween(a, b), 0),
    counters: async () => readCounters(network, await forwarder.send('counters')),
    async resetCounters() {
      await forwarder.send('reset')
    },
    async stay() {
      writeFileSync(join(RUN_FOLDER, id, STANDING), '')
      await forwarder.send('stay')
    },
    detach: () => forwarder.close(),
    async remove() {
      await removeEmulator(id)
      forwarder.close()
    },
  }
}

function pipeCommand({ pipes }: Network, number: number): string {
  const { kbit, queueBytes } = pipes[number]!
  return `pipe ${number} ${kbit} ${queueBytes}`
}

function routeCommand({ from, to, delayUs, lossPpm, before, after }: NetworkRoute): string {
  return ['route', from, to, delayUs, lossPpm, before.length, ...before, after.length, ...after].join(' ')
}

function socketOf(id: string): string {
  return join(RUN_FOLDER, id, 'control')
}

/** Of this process; one process may have several. */
function makeFolder(): string {
  mkdirSync(RUN_FOLDER, { recursive: true, mode: 0o700 })
  for (let number = 1; ; number++) {
    const id = number === 1 ? `${process.pid}` : `${process.pid}x${number}`
    try {
      mkdirSync(join(RUN_FOLDER, id))
      return id
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
}

function save(id: string, network: Network): void {
  const file = join(RUN_FOLDER, id, 'network.json')
  writeFileSync(`${file}.new`, JSON.stringify(network))
  renameSync(`${file}.new`, file)
}

function onlyStanding(): string {
  const ids = standingEmulators()
  if (ids.length === 1) return ids[0]!
  if (ids.length === 0)
    throw new MirrorError('not-found', 'there is no emulator', { hint: 'Start one: up FILE.' })
  throw new MirrorError('conflict', `there are ${ids.length} emulators`, {
    hint: `Say which: --id ${ids.join(', --id ')}.`,
  })
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

async function isAnswering(id: string): Promise<boolean> {
  try {
    const forwarder = await connectForwarder(socketOf(id))
    forwarder.close()
    return true
  } catch {
    return false
  }
}
