/** A mesh of processes on this machine with something to see: sites in three regions, trees with a history, a fetch under way. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { appendFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ChainDocument, HeadDocument } from '../../node/api/answers.ts'
import { forkTree } from '../../test/console/fork-tree.ts'
import { freePort } from '../../test/free-port.ts'

const MAIN = join(import.meta.dirname, '../../node/main.ts')
const READY_MS = 60_000
const execute = promisify(execFile)

export interface DemoMesh {
  readonly url: string
  readonly token: string
  readonly adminKey: string
  run(site: string, ...args: string[]): Promise<string>
  /** Puts a tree in dispute. */
  dispute(): Promise<void>
  /** A publish that goes on for some seconds. */
  publishSlowly(): Promise<void>
  stop(): Promise<void>
}

const SITES = [
  ['hq', 'us'],
  ['boston-lab', 'us'],
  ['brno', 'eu'],
  ['munich', 'eu'],
  ['pune', 'apac'],
  ['beijing', 'apac'],
] as const

const TOPOLOGY = `regions:
  us: { up: 400 Mbit/s, down: 400 Mbit/s }
  eu: { up: 200 Mbit/s, down: 200 Mbit/s }
  apac: { up: 100 Mbit/s, down: 100 Mbit/s }
sites:
  hq: { region: us, up: 400 Mbit/s, down: 400 Mbit/s }
  boston-lab: { region: us, up: 100 Mbit/s, down: 400 Mbit/s }
  brno: { region: eu, up: 200 Mbit/s, down: 200 Mbit/s }
  munich: { region: eu, up: 50 Mbit/s, down: 100 Mbit/s }
  pune: { region: apac, up: 50 Mbit/s, down: 100 Mbit/s }
  beijing: { region: apac, up: 20 Mbit/s, down: 50 Mbit/s }
paths:
  - { between: [us, eu], rtt: 95 ms, rate: 200 Mbit/s }
  - { between: [us, apac], rtt: 230 ms, rate: 100 Mbit/s }
  - { between: [eu, apac], rtt: 160 ms, rate: 50 Mbit/s }
`

export async function startDemoMesh(dir: string): Promise<DemoMesh> {
  const children: ChildProcess[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(children.map(end))
  }
  try {
    return await build(dir, children, stop)
  } catch (error) {
    await stop()
    throw error
  }
}

async function end(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('close', resolve))
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  await ended
}

async function build(dir: string, children: ChildProcess[], stop: () => Promise<void>): Promise<DemoMesh> {
  const home = (site: string): string => join(dir, site)
  const run = async (site: string, ...args: string[]): Promise<string> =>
    (
      await execute(process.execPath, [
        '--disable-warning=ExperimentalWarning',
        MAIN,
        '--home',
        home(site),
        ...args,
      ])
    ).stdout
  const start = async (site: string): Promise<void> => {
    children.push(await startDaemon(home(site)))
  }
  const place = ['--listen', '127.0.0.1:0', '--http', 'off']
  await run('hq', 'init', '--mesh', 'acme', '--site', 'hq', '--region', 'us', ...place)
  const port = await freePort()
  await appendFile(join(home('hq'), 'config.yaml'), `apiListen: 127.0.0.1:${port}\n`)
  await start('hq')
  for (const [site, region] of SITES.slice(1)) {
    const invite = (await run('hq', 'invite', 'create', '--site', site, '--region', region)).trim()
    await run(site, 'join', invite, ...place)
    // A slow link: what goes on can be seen.
    await appendFile(
      join(home(site), 'config.yaml'),
      'wanDownBytesPerSecond: 1500000\nregionDownBytesPerSecond: 2500000\n',
    )
    await start(site)
  }
  const file = join(dir, 'topology.yaml')
  await writeFile(file, TOPOLOGY)
  await run('hq', 'topology', 'apply', file)
  await run('hq', 'site', 'label', 'brno', 'office')
  await run('hq', 'site', 'label', 'munich', 'office')

  const publish = async (
    tree: string,
    files: Readonly<Record<string, number>>,
    seed: number,
  ): Promise<void> => {
    const source = join(dir, 'sources', tree)
    for (const [name, bytes] of Object.entries(files)) {
      await mkdir(join(source, name, '..'), { recursive: true })
      await writeFile(join(source, name), noise(bytes, seed + name.length))
    }
    await run('hq', 'publish', source, '--tree', tree)
  }
  await run('hq', 'pin', 'add', 'builds/**', '--all')
  await run('hq', 'pin', 'add', 'mirrors/**', '--label', 'office', '--keep-last', '2')
  await run('hq', 'pin', 'add', 'firmware', '--region', 'apac', '--priority', '8')
  for (const seed of [1, 2, 3]) {
    await publish(
      'builds/rhel-10/nightly',
      {
        'x86_64/images/boot.iso': 900_000,
        [`x86_64/packages/kernel-6.12-${seed}.rpm`]: 400_000,
        'compose.json': 4000,
      },
      seed * 100,
    )
  }
  await publish(
    'builds/rhel-9/candidate',
    { 'x86_64/images/boot.iso': 700_000, 'aarch64/images/boot.iso': 600_000 },
    7,
  )
  await publish('builds/tools/installer', { 'installer.run': 120_000, README: 900 }, 8)
  await publish(
    'mirrors/fedora-42',
    { 'repodata/primary.xml.zst': 300_000, 'Packages/b/bash.rpm': 180_000 },
    9,
  )
  await publish('firmware', { 'bmc/v14.bin': 250_000 }, 10)
  await run('hq', 'tag', 'builds/rhel-10/nightly@2', 'ga')
  const operator = ['--role', 'operator', '--tree', 'builds/**', '--may', 'pins', '--may', 'tags']
  await run('hq', 'grant', 'add', 'brno', ...operator, '--name', 'release team', '--expires', '90d')
  await run('hq', 'grant', 'add', 'pune', '--role', 'publisher', '--tree', 'logs/pune/**')
  await run('hq', 'grant', 'add', 'munich', '--role', 'reader', '--tree', 'builds/private/*')
  const token = (await run('hq', 'token', 'create', '--name', 'console', '--scope', 'admin')).trim()
  return {
    url: `http://127.0.0.1:${port}/console/`,
    token,
    adminKey: join(home('hq'), 'keys/admin.key'),
    run,
    async dispute() {
      for (const seed of [50, 51, 52])
        await publish(
          'logs/audit',
          { [`2026-0${seed - 49}/events.jsonl`]: 40_000 * (seed - 49), README: 900 },
          seed,
        )
      const history = await run('hq', 'tree', 'history', 'logs/audit', '--json')
      const { heads } = JSON.parse(history) as { heads: HeadDocument[] }
      const answer = await fetch(`http://127.0.0.1:${port}/api/v1/chain/${heads[0]!.publisher}`, {
        headers: { authorization: `Bearer ${token}` },
      })
      const chain = (await answer.json()) as ChainDocument
      await end(children.pop()!)
      const [last] = SITES.at(-1)!
      await forkTree({ heads, chain, publisherHome: home('hq'), stoppedHome: home(last) })
      await start(last)
    },
    publishSlowly: () =>
      publish(
        'builds/rhel-10/nightly',
        { 'x86_64/images/live.iso': 60_000_000, 'x86_64/packages/kernel-6.12-4.rpm': 400_000 },
        400,
      ),
    stop,
  }
}

function startDaemon(home: string): Promise<ChildProcess> {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', MAIN, '--home', home, 'daemon'],
    {
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  )
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the daemon of ${home} is not ready`)), READY_MS)
    child.once('close', () => reject(new Error(`the daemon of ${home} ended`)))
    child.stdout.once('data', () => {
      clearTimeout(timer)
      resolve(child)
    })
  })
}

/** The same bytes for the same seed, which no compression makes smaller. */
function noise(bytes: number, seed: number): Buffer {
  const out = Buffer.alloc(bytes)
  let state = (seed * 2_654_435_761) >>> 0 || 1
  for (let i = 0; i < bytes; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    out[i] = state & 0xff
  }
  return out
}
