/**
 * The soak: three nodes as separate processes on loopback, and for some minutes everything at once, at random: publish,
 * fetch, check out, verify, collect, scrub, pin and unpin, kill -9. In the end every snapshot that any node calls
 * complete is verified block by block, and the logs must not know of any damage. Started by `npm run soak`.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onSignal } from '../on-signal.ts'
import { parseOptions, refuse } from '../options.ts'
import { compareFolders } from '../tour/compare.ts'
import {
  mirrormesh,
  mirrormeshJson,
  type Node,
  pause,
  planNode,
  startDaemon,
  stopDaemon,
} from '../tour/mesh.ts'
import { checkExpected, command } from './command.ts'
import { changeSource, pick, type Random, seededRandom } from './source.ts'

const HELP = `usage: npm run soak -- [--minutes N] [--seed N] [--keep]

Runs three nodes on loopback for N minutes (default 5) and does everything at once, at random, kill -9 included; then
verifies that every snapshot that a node calls complete is whole there. Ends with 0 only if that holds.

  --minutes N  how long
  --seed N     the same choices again (what they meet differs: these are real processes)
  --keep       leave the folder of the nodes
  --help       this text
`

const TREES = ['builds/one', 'builds/two'] as const
const { minutes, seed, isKeeping } = readOptions()
/** Everything that a node does by itself in hours, in this run's time. */
Object.assign(process.env, {
  MIRRORMESH_KEEP_SNAPSHOTS: '2',
  MIRRORMESH_KEEP_UNPINNED_DAYS: '0',
  MIRRORMESH_COLLECT_EVERY_MINUTES: '1',
})
const workspace = mkdtempSync(join(tmpdir(), 'mirrormesh-soak-'))
const nodes: Node[] = []
onSignal(async () => {
  for (const node of nodes) await stopDaemon(node)
  if (!isKeeping) rmSync(workspace, { recursive: true, force: true, maxRetries: 3 })
})
const counts = new Map<string, number>()
const failures: string[] = []
const endMs = Date.now() + minutes * 60_000
const isOver = (): boolean => Date.now() >= endMs || failures.length > 0

console.log(`soak: seed ${seed}, ${minutes} minutes, in ${workspace}`)
try {
  await startMesh()
  await Promise.all([
    ...TREES.map((tree, i) => loop(`publish ${tree}`, 11 + i, (random) => publish(tree, random), 1500)),
    loop('collect', 21, collect, 1500),
    loop('scrub', 31, scrub, 4000),
    loop('check out', 41, checkOutOnce, 1500),
    loop('verify', 51, verify, 1500),
    loop('pin', 61, changePin, 9000),
    loop('kill', 71, kill, 6000),
  ])
  if (failures.length === 0) await judge()
} catch (error) {
  failures.push(error instanceof Error ? error.message : String(error))
}
for (const node of nodes) await stopDaemon(node)
for (const failure of failures) console.error(`FAILED: ${failure}`)
console.log([...counts].map(([what, count]) => `${count} ${what}`).join(', '))
console.log(
  failures.length === 0
    ? 'soak: everything held'
    : `soak: failed, seed ${seed}; the nodes lie in ${workspace}`,
)
if (failures.length === 0 && !isKeeping) rmSync(workspace, { recursive: true, force: true })
process.exitCode = failures.length === 0 ? 0 : 1

async function startMesh(): Promise<void> {
  for (const [site, region] of [
    ['hq', 'eu'],
    ['lab', 'eu'],
    ['far', 'us'],
  ] as const) {
    nodes.push(await planNode(workspace, site, region))
  }
  const [hq, ...others] = nodes as [Node, ...Node[]]
  const place = (node: Node): string[] => ['--listen', node.listen, '--http', node.http]
  await mirrormesh(hq, ['init', '--mesh', 'soak', '--site', 'hq', '--region', 'eu', ...place(hq)])
  await startDaemon(hq)
  for (const node of others) {
    const token = await mirrormesh(hq, ['invite', '--site', node.site, '--region', node.region])
    await mirrormesh(node, ['join', token.trim(), ...place(node)])
    await startDaemon(node)
  }
  for (const tree of TREES) {
    changeSource(sourceOf(tree), seededRandom(seed))
    await mirrormesh(hq, ['publish', sourceOf(tree), '--tree', tree])
    for (const { site } of others) {
      await mirrormesh(hq, [
        'pin',
        'add',
        tree,
        '--site',
        site,
        '--checkout',
        join(workspace, `${site}-${tree.split('/')[1]}`),
      ])
    }
  }
}

function sourceOf(tree: string): string {
  return join(workspace, 'source', tree)
}

/** Does something again and again, with pauses of up to `pauseMs`, until the time is over or something failed. */
async function loop(
  what: string,
  salt: number,
  act: (random: Random) => Promise<void>,
  pauseMs: number,
): Promise<void> {
  const random = seededRandom(seed * 1000 + salt)
  while (!isOver()) {
    await pause(random() * pauseMs)
    try {
      await act(random)
      counts.set(what, (counts.get(what) ?? 0) + 1)
    } catch (error) {
      failures.push(`${what}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
}

async function attempt(
  node: Node,
  args: readonly string[],
): Promise<{ status: number | null; stdout: string }> {
  const outcome = await command(node, args)
  checkExpected(node, args, outcome)
  return outcome
}

async function publish(tree: string, random: Random): Promise<void> {
  changeSource(sourceOf(tree), random)
  await attempt(nodes[0]!, ['publish', sourceOf(tree), '--tree', tree])
  if (random() < 0.15) await attempt(nodes[0]!, ['tag', tree, pick(random, ['release', 'stable'])])
}

async function collect(random: Random): Promise<void> {
  await attempt(pick(random, nodes), ['gc', ...(random() < 0.2 ? ['--dry-run'] : [])])
}

async function scrub(random: Random): Promise<void> {
  await attempt(pick(random, nodes), ['scrub', '--rate', '200M'])
}

async function checkOutOnce(random: Random): Promise<void> {
  await attempt(pick(random, nodes), ['checkout', pick(random, TREES), join(workspace, 'out'), '--replace'])
}

async function verify(random: Random): Promise<void> {
  await attempt(pick(random, nodes), random() < 0.5 ? ['verify'] : ['verify', pick(random, TREES)])
}

/** The second tree comes and goes at one site. */
async function changePin(random: Random): Promise<void> {
  const args = [TREES[1], '--site', 'far']
  if (random() < 0.5) await attempt(nodes[0]!, ['pin', 'remove', ...args])
  else await attempt(nodes[0]!, ['pin', 'add', ...args])
}

async function kill(random: Random): Promise<void> {
  const node = pick(random, nodes)
  const { daemon } = node
  if (daemon === undefined) return
  const ended = new Promise<void>((resolve) => daemon.once('exit', () => resolve()))
  daemon.kill('SIGKILL')
  await ended
  await pause(random() * 500)
  await startDaemon(node)
}

interface Collected {
  readonly kept: readonly {
    readonly tree: string
    readonly sequence: number | null
    readonly isComplete: boolean
  }[]
  readonly dropped: readonly { readonly tree: string; readonly sequence: number | null }[]
}

/** Everything has ended: now every claim is checked. */
async function judge(): Promise<void> {
  const [hq] = nodes as [Node]
  for (const tree of TREES) {
    await command(hq, ['pin', 'add', tree, '--site', 'far'])
    await mirrormesh(hq, ['publish', sourceOf(tree), '--tree', tree])
  }
  await settled(hq)
  for (const node of nodes) {
    const { kept, dropped } = await mirrormeshJson<Collected>(node, ['gc', '--dry-run'])
    const claimed = [
      ...kept.filter(({ isComplete }) => isComplete).map((each) => ({ ...each, mayGo: false })),
      ...dropped.map((each) => ({ ...each, mayGo: true })),
    ]
    for (const { tree, sequence, mayGo } of claimed) {
      if (sequence === null) continue
      const { status, stdout, stderr } = await command(node, ['verify', `${tree}@${sequence}`])
      // The daemon may have dropped it by itself since it was listed: then it is not complete, and nobody says it is.
      if (status === 4 && mayGo) continue
      if (status !== 0) failures.push(`${node.site}: ${tree}@${sequence} is not whole: ${stdout}${stderr}`)
      counts.set('snapshots verified', (counts.get('snapshots verified') ?? 0) + 1)
    }
    await mirrormesh(node, ['gc'])
    await mirrormesh(node, ['verify'])
    await mirrormesh(node, ['scrub', '--rate', '1G'])
    for (const tree of TREES) {
      const out = join(workspace, `judged-${node.site}`)
      await mirrormesh(node, ['checkout', tree, out, '--replace'])
      const { differences, first } = compareFolders(sourceOf(tree), out)
      if (differences > 0) failures.push(`${node.site}: ${tree} differs: ${first.slice(0, 3).join('; ')}`)
    }
    const log = existsSync(node.logFile) ? readFileSync(node.logFile, 'utf8') : ''
    for (const event of ['store.block-damaged', 'replica.damaged', 'store.pack.lost', 'daemon.defect']) {
      if (log.includes(event)) failures.push(`${node.site}: its log has ${event}: ${node.logFile}`)
    }
  }
}

async function settled(hq: Node): Promise<void> {
  const deadlineMs = Date.now() + 90_000
  for (;;) {
    const { status, stdout } = await command(hq, ['status', '--check'])
    if (status === 0) return
    if (Date.now() > deadlineMs) throw new Error(`the mesh does not settle:\n${stdout}`)
    await pause(500)
  }
}

function readOptions(): { minutes: number; seed: number; isKeeping: boolean } {
  const { values } = parseOptions(
    {
      options: {
        minutes: { type: 'string', default: '5' },
        seed: { type: 'string', default: String(Date.now() % 1_000_000) },
        keep: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    },
    { command: 'npm run soak --', help: HELP },
  )
  const numbers = { minutes: Number(values.minutes), seed: Number(values.seed) }
  if (!(numbers.minutes > 0) || !Number.isInteger(numbers.seed)) {
    refuse('npm run soak --', '--minutes is a number above zero, --seed a whole number')
  }
  return { ...numbers, isKeeping: values.keep }
}
