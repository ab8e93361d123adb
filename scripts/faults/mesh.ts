/** Daemons at the sites of emulated links, which a case kills, stops, cuts off and starts again; and what it asks of them. */
import { randomFillSync } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { PublishAnswer } from '../../node/api/jobs/job-answers.ts'
import { type ApiClient, createApiClient } from '../../node/cli/api-client.ts'
import { MirrorError } from '../../src/base/errors.ts'
import type { ReplicaStatus, StatusDocument } from '../../src/replica/status/status.ts'
import type { Emulator } from '../../topology/emulator/emulator.ts'
import { startEmulator } from '../../topology/emulator/emulator.ts'
import { planNetwork } from '../../topology/emulator/network.ts'
import type { Scenario } from '../../topology/scenario.ts'
import { type Home, makeHomes, pathsOf, TREE } from '../measure/homes.ts'
import { differencesOf } from '../measure/mesh/judge.ts'
import { type Running, runAt, startAt, until } from '../measure/mesh/processes.ts'

const PROGRAM = join(import.meta.dirname, '..', 'mirrormesh')
const PORT = 4001
const FILES = 16

export interface FaultMesh {
  readonly emulator: Emulator
  readonly origin: string
  /** All but the origin. */
  readonly labs: readonly string[]
  /** Of the snapshot that was published last: plain, and random, so nothing is saved by compressing. */
  readonly treeBytes: number
  start(site: string): Promise<void>
  /** SIGKILL, and its end. */
  kill(site: string): Promise<void>
  signal(site: string, signal: 'SIGSTOP' | 'SIGCONT'): void
  status(site: string): Promise<StatusDocument>
  replica(site: string): Promise<ReplicaStatus | undefined>
  /** Asks a site's API. */
  get<T>(site: string, path: string): Promise<T>
  /** Runs the program at a site. @returns what it printed */
  command(site: string, ...words: readonly string[]): Promise<string>
  /** @throws MirrorError `timed-out` when it does not come true */
  comesTrue(what: string, isTrue: () => Promise<boolean>): Promise<void>
  /** Bytes of the head that the site has not got yet. */
  missing(site: string): Promise<number>
  /** Rewrites so many of the tree's files, publishes it, and says where it is then. */
  publish(changedFiles?: number): Promise<PublishAnswer>
  /** Waits until the site holds this head and has checked it out. */
  holds(site: string, sequence: number, timeoutMs?: number): Promise<void>
  /** Waits until between these shares of the tree are missing. */
  inMidFetch(site: string, least: number, most: number): Promise<number>
  /** @throws MirrorError `corrupt` when the site's check-out is not the tree */
  isSame(site: string): void
  remove(): Promise<void>
}

export async function startFaultMesh(
  scenario: Scenario,
  {
    folder,
    treeBytes,
    limitMs,
  }: { readonly folder: string; readonly treeBytes: number; readonly limitMs: number },
): Promise<FaultMesh> {
  const emulator = await startEmulator(planNetwork(scenario))
  const running = new Map<string, Running>()
  const apis = new Map<string, ApiClient>()
  const source = join(folder, 'source')
  const waitFor = <T>(what: string, ask: () => Promise<T | undefined>, timeoutMs = limitMs): Promise<T> =>
    until(what, { timeoutMs, everyMs: 100 }, ask)
  const remove = async (): Promise<void> => {
    for (const daemon of running.values()) daemon.kill('SIGCONT')
    await Promise.all([...running.values()].map((daemon) => daemon.stop()))
    await emulator.remove()
  }
  try {
    mkdirSync(source)
    const places = scenario.places
      .toSorted((a, b) => Number(b.site === scenario.origin) - Number(a.site === scenario.origin))
      .map((place) => ({ ...place, address: emulator.site(place.site).address, port: PORT }))
    const homes = await makeHomes(folder, places, { isPinned: true, topology: scenario.topology })
    const homeOf = (site: string): Home => homes.find((home) => home.site === site)!
    for (const { site, home } of homes)
      apis.set(site, createApiClient({ paths: pathsOf(home), self: 'mirrormesh' }))
    const mesh: FaultMesh = {
      emulator,
      origin: scenario.origin,
      labs: homes.slice(1).map(({ site }) => site),
      treeBytes,
      async start(site) {
        const daemon = startAt(emulator, site, [PROGRAM, '--home', homeOf(site).home, 'daemon'], {
          logFile: join(folder, `${site}.log`),
        })
        running.set(site, daemon)
        await waitFor(`the daemon of ${site} answers`, async () => {
          if (daemon.hasEnded())
            throw new MirrorError('io', `the daemon of ${site} ended: see ${daemon.logFile}`)
          return mesh.status(site).catch(() => undefined)
        })
      },
      async kill(site) {
        const daemon = running.get(site)!
        running.delete(site)
        daemon.kill('SIGKILL')
        await daemon.exited
      },
      signal: (site, signal) => running.get(site)!.kill(signal),
      status: (site) => apis.get(site)!.get<StatusDocument>('/api/v1/status'),
      get: (site, path) => apis.get(site)!.get(path),
      command: (site, ...words) => runAt(emulator, site, [PROGRAM, '--home', homeOf(site).home, ...words]),
      async comesTrue(what, isTrue) {
        await waitFor(what, async () => ((await isTrue()) ? true : undefined))
      },
      async replica(site) {
        const { trees } = await mesh.status(site)
        return trees.find(({ tree }) => tree === TREE)?.sites.find((each) => each.site === site)
      },
      missing: async (site) => (await mesh.replica(site))?.missingBytes ?? 0,
      async publish(changedFiles = FILES) {
        const bytes = Math.floor(treeBytes / FILES)
        for (let number = 0; number < changedFiles; number++)
          writeFileSync(join(source, `file-${number}`), randomFillSync(Buffer.allocUnsafe(bytes)))
        const command = [PROGRAM, '--home', homeOf(scenario.origin).home, 'publish', source]
        const text = await runAt(emulator, scenario.origin, [...command, '--tree', TREE, '--json'])
        return JSON.parse(text) as PublishAnswer
      },
      async holds(site, sequence, timeoutMs) {
        const isThere = async (): Promise<true | undefined> => {
          const found = await mesh.replica(site)
          const isComplete = found?.state === 'complete' && found.sequence === sequence
          return isComplete && found.checkouts[0]?.sequence === sequence ? true : undefined
        }
        await waitFor(`${site} holds @${sequence}`, isThere, timeoutMs)
      },
      inMidFetch: (site, least, most) =>
        waitFor(`${site} is in mid-fetch`, async () => {
          const missing = await mesh.missing(site)
          return missing >= least * treeBytes && missing <= most * treeBytes ? missing : undefined
        }),
      isSame(site) {
        const [difference] = differencesOf(source, homeOf(site).checkout, 'everything')
        if (difference !== undefined)
          throw new MirrorError('corrupt', `the check-out at ${site} is not the tree: ${difference}`)
      },
      remove,
    }
    await Promise.all(homes.map(({ site }) => mesh.start(site)))
    for (const { site } of homes)
      await waitFor(`${site} is connected to all`, async () =>
        (await mesh.status(site)).sites.every(({ state }) => state === 'self' || state === 'up')
          ? true
          : undefined,
      )
    return mesh
  } catch (error) {
    await remove()
    throw error
  }
}
