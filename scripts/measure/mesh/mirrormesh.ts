/** mirrormesh itself: a daemon at each site, joined by invites, told of the topology, the tree pinned with a check-out everywhere. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ApiClient, createApiClient } from '../../../node/cli/api-client.ts'
import { choosePaths } from '../../../node/paths.ts'
import { MirrorError } from '../../../src/base/errors.ts'
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import { type DaemonLog, followLog } from './daemon-log.ts'
import type { Lab } from './lab.ts'
import { cpuSecondsOf, pause, type Running, runAt, startAt, until } from './processes.ts'
import { type Contest, type MeshFacts, otherSites, type PhaseFacts, type System } from './system.ts'

const PROGRAM = join(import.meta.dirname, '..', '..', 'mirrormesh')
const TREE = 'builds/bench'
const WARM = 'builds/warm'
const READY = { timeoutMs: 120_000, everyMs: 250 }
/** How often the daemons' logs are looked at; what counts is the time that the daemon notes. */
const LOOK_MS = 100

interface Node {
  readonly site: string
  readonly home: string
  readonly copy: string
  readonly api: ApiClient
  readonly daemon: Running
}

interface Published {
  readonly blocks: number
}

export const mirrormesh: System = {
  name: 'mirrormesh',
  keeps: 'everything',
  canUpdate: true,
  needs: [],
  async run(contest) {
    const { lab, stopwatch, tree } = contest
    const nodes: Node[] = []
    try {
      await startMesh(contest, nodes)
      const origin = nodes[0]!
      const { before, warm } = contest
      if (warm !== undefined) await warmUp(contest, nodes, warm.path)
      if (before !== undefined) await seed(contest, nodes, before.path)
      const statusesBefore = await Promise.all(nodes.map(({ api }) => statusOf(api)))
      const logs = new Map(nodes.map((node) => [node, followLog(node.daemon.logFile, true)]))
      const cpuBefore = cpuSecondsOfAll(nodes)
      await stopwatch.start()
      const publishing = at(lab, origin, 'publish', tree.path, '--tree', TREE, '--json')
      let failure: unknown
      publishing.catch((error: unknown) => {
        failure = error
      })
      const phases = await watch(contest, nodes, logs, () => failure)
      await stopwatch.stop()
      const cpuSeconds = cpuSecondsOfAll(nodes) - cpuBefore
      const published = JSON.parse(await publishing) as Published
      const statuses = await Promise.all(nodes.map(({ api }) => statusOf(api)))
      return {
        copies: new Map(nodes.slice(1).map(({ site, copy }) => [site, copy])),
        cpuSeconds,
        mesh: {
          ...factsOf(published, statusesBefore, statuses),
          phases: phases.map((phase) => ({ ...phase, cpuSeconds: phase.cpuSeconds - cpuBefore })),
        },
      }
    } finally {
      await Promise.all(nodes.map(({ daemon }) => daemon.stop()))
    }
  },
}

async function startMesh({ lab, folder }: Contest, nodes: Node[]): Promise<void> {
  const { scenario } = lab
  const place = (name: string): { site: string; region: string } =>
    scenario.places.find(({ site }) => site === name)!
  const start = (site: string): Node => {
    const home = homeOf(folder, site)
    const node: Node = {
      site,
      home,
      copy: join(folder, site, 'copy'),
      api: createApiClient({ paths: choosePaths({ home, env: {}, uid: 0 }), self: 'mirrormesh' }),
      daemon: startAt(lab, site, [PROGRAM, '--home', home, 'daemon'], {
        logFile: join(folder, `${site}.log`),
        env: { MIRRORMESH_LOG_FORMAT: 'json' },
      }),
    }
    nodes.push(node)
    return node
  }
  const { site, region } = place(scenario.origin)
  for (const each of scenario.places) mkdirSync(join(folder, each.site))
  const listen = (of: string): string[] => ['--listen', `${lab.addressOf(of)}:4001`, '--http', 'off']
  await runAt(lab, site, [
    ...[PROGRAM, '--home', homeOf(folder, site), 'init', '--mesh', 'bench'],
    ...['--site', site, '--region', region, ...listen(site)],
  ])
  const origin = start(site)
  await answering(origin)
  for (const other of otherSites(lab)) {
    const token = await at(lab, origin, 'invite', '--site', other, '--region', place(other).region)
    const home = homeOf(folder, other)
    await runAt(lab, other, [PROGRAM, '--home', home, 'join', token.trim(), ...listen(other)])
    await answering(start(other))
  }
  const file = join(folder, 'topology.json')
  writeFileSync(file, JSON.stringify(scenario.topology))
  await at(lab, origin, 'topology', 'apply', file)
  await at(lab, origin, 'tree', 'create', TREE)
  // A place of its own for each: they share this machine's file system.
  for (const node of nodes.slice(1))
    await at(lab, origin, 'pin', 'add', TREE, '--site', node.site, '--checkout', node.copy)
  await Promise.all(
    nodes.map((node) => until(`${node.site} knows the mesh`, READY, () => isReady(node, nodes.length))),
  )
}

function homeOf(folder: string, site: string): string {
  return join(folder, site, 'home')
}

function at(lab: Lab, { site, home }: Pick<Node, 'site' | 'home'>, ...words: string[]): Promise<string> {
  return runAt(lab, site, [PROGRAM, '--home', home, ...words])
}

function statusOf(api: ApiClient): Promise<StatusDocument> {
  return api.get<StatusDocument>('/api/v1/status')
}

async function answering({ site, api, daemon }: Node): Promise<void> {
  await until(`the daemon of ${site} answers`, READY, async () => {
    if (daemon.hasEnded()) throw new MirrorError('io', `the daemon of ${site} ended: see ${daemon.logFile}`)
    return statusOf(api).catch(() => undefined)
  })
}

/** True once it is connected to all, and knows where its check-out is to be. */
async function isReady({ site, copy, api }: Node, members: number): Promise<true | undefined> {
  const status = await statusOf(api)
  const up = status.sites.filter(({ state }) => state === 'self' || state === 'up').length
  const tree = status.trees.find((each) => each.tree === TREE)
  const own = tree?.sites.find((each) => each.site === site)
  const isPinned = status.self.site === site && own?.checkouts.some(({ path }) => path === copy) === true
  const isPublisher = tree?.publisher === status.self.peer
  return up === members && (isPinned || isPublisher) ? true : undefined
}

/** Another tree, so that the daemons are what daemons are that have done this before. */
async function warmUp(contest: Contest, nodes: readonly Node[], path: string): Promise<void> {
  const { lab, folder } = contest
  await at(lab, nodes[0]!, 'tree', 'create', WARM)
  for (const { site } of nodes.slice(1))
    await at(lab, nodes[0]!, 'pin', 'add', WARM, '--site', site, '--checkout', join(folder, site, 'warm'))
  await seed(contest, nodes, path, WARM)
}

/** Brings what every site is to hold before the clock starts. */
async function seed(
  { lab, limitMs }: Contest,
  nodes: readonly Node[],
  path: string,
  tree = TREE,
): Promise<void> {
  const logs = nodes.slice(1).map((node) => followLog(node.daemon.logFile, true))
  await at(lab, nodes[0]!, 'publish', path, '--tree', tree)
  await until('every site has what was there before', { timeoutMs: limitMs, everyMs: 250 }, async () => {
    for (const log of logs) log.look()
    return logs.every((log) => log.first('checkout.moved') !== undefined) ? true : undefined
  })
}

function cpuSecondsOfAll(nodes: readonly Node[]): number {
  return nodes.reduce((sum, { daemon }) => sum + cpuSecondsOf(daemon.pid), 0)
}

/** Ends of the parts that all sites go through, as the daemons' logs name them. */
const PHASES = [
  { name: 'published', event: 'publish.head-signed', isAtOrigin: true },
  { name: 'complete everywhere', event: 'replica.complete', isAtOrigin: false },
  { name: 'checked out everywhere', event: 'checkout.moved', isAtOrigin: false },
] as const

/** Reads what the sites' agents say in their logs, until the check-out of each has moved. */
async function watch(
  { limitMs, stopwatch }: Contest,
  [origin, ...others]: readonly Node[],
  logs: ReadonlyMap<Node, DaemonLog>,
  failure: () => unknown,
): Promise<PhaseFacts[]> {
  const nodes = [origin!, ...others]
  const phases: PhaseFacts[] = []
  for (;;) {
    for (const node of nodes) {
      logs.get(node)!.look()
      const moved = logs.get(node)!.first('checkout.moved')
      if (moved?.path === node.copy) stopwatch.arrived(node.site, Date.parse(moved.time))
      if (node.daemon.hasEnded())
        throw new MirrorError('io', `the daemon of ${node.site} ended: see ${node.daemon.logFile}`)
    }
    const next = PHASES[phases.length]
    const of = next?.isAtOrigin === true ? [origin!] : others
    const ends = of.map((node) => logs.get(node)!.first(next?.event ?? ''))
    if (next !== undefined && ends.every((end) => end !== undefined))
      phases.push({
        name: next.name,
        seconds: stopwatch.secondsAt(Math.max(...ends.map((end) => Date.parse(end!.time)))),
        cpuSeconds: cpuSecondsOfAll(nodes),
      })
    if (failure() !== undefined) throw failure()
    if (phases.length === PHASES.length || stopwatch.elapsedMs() > limitMs) return phases
    await pause(LOOK_MS)
  }
}

function factsOf(
  published: Published,
  before: readonly StatusDocument[],
  statuses: readonly StatusDocument[],
): Omit<MeshFacts, 'phases'> {
  const received = statuses.slice(1).map((status, i) => {
    const [now, then] = [receivedOf(status), receivedOf(before[i + 1]!)]
    return { bytes: now.bytes - then.bytes, blocks: now.blocks - then.blocks }
  })
  const [origin, originBefore] = [statuses[0]!.traffic, before[0]!.traffic]
  const blocksSent = origin.blocksSent - originBefore.blocksSent
  const blocksSentMoreThanOnce = origin.blocksSentMoreThanOnce - originBefore.blocksSentMoreThanOnce
  const least = Math.min(...received.map(({ blocks }) => blocks))
  const all = received.reduce((sum, { blocks }) => sum + blocks, 0)
  return {
    // Every site had the same before: the one that took in the fewest bytes has no duplicates to speak of.
    travelBytes: Math.min(...received.map(({ bytes }) => bytes)),
    blocks: published.blocks,
    given: Object.fromEntries(
      statuses.flatMap(({ self, traffic: { peers } }, i) =>
        peers.map(({ site, bytesSent }) => {
          const then = before[i]!.traffic.peers.find((each) => each.site === site)?.bytesSent ?? 0
          return [`${self.site} ${site}`, bytesSent - then]
        }),
      ),
    ),
    blocksLeftOriginTwicePercent:
      blocksSent === 0 ? 0 : (100 * blocksSentMoreThanOnce) / (blocksSent - blocksSentMoreThanOnce),
    duplicatePercent: all === 0 ? 0 : (100 * (all - least * received.length)) / all,
  }
}

function receivedOf({ traffic: { peers } }: StatusDocument): { bytes: number; blocks: number } {
  return {
    bytes: peers.reduce((sum, { bytesReceived }) => sum + bytesReceived, 0),
    blocks: peers.reduce((sum, { blocksReceived }) => sum + blocksReceived, 0),
  }
}
