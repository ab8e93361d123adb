/**
 * The tour: three nodes as separate processes on loopback, a real tree replicated twice, and the proof that it held.
 * Started by ./scripts/quickstart. It drives the program through its command line alone, judges the result with code
 * of its own (compare.ts), and ends with 0 only if every check held.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { copyFolder, editFolder, pickFile } from './change.ts'
import { compareFolders } from './compare.ts'
import { judge } from './judge.ts'
import { mirrormesh, mirrormeshJson, type Node, pause, planNode, startDaemon, stopDaemon } from './mesh.ts'
import { report } from './report.ts'
import type { Check, Published, Round } from './round.ts'
import { drawBars, eraseBars, mega, say } from './screen.ts'
import { type Status, trafficBetween } from './status.ts'

const HELP = `usage: ./scripts/quickstart [DIR] [--keep] [--json]

Starts three nodes (hq, lab-a, lab-b) on loopback, publishes DIR (default: this project's node_modules) at hq,
waits until both labs hold it, checks it out at both, compares every name, mode, time, link and byte, fetches one
file over HTTP, then edits a copy of the tree and does it again. DIR is only read.

  --keep   leave the mesh running, and say what to try next
  --json   print the facts as one JSON document on stdout
  --help   this text

It needs about six times DIR's size under $TMPDIR (default /tmp) and ends with 0 only if every check held.
`

const TREE = 'builds/demo'
const options = parseOptions()
const workspace = mkdtempSync(join(tmpdir(), 'mirrormesh-quickstart-'))
const nodes: Node[] = []
let leaving: Promise<void> | undefined

for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => void leave(false).finally(() => process.exit(status)))
}
try {
  const ok = await tour(resolve(options.directory))
  await leave(options.keep)
  process.exitCode = ok ? 0 : 1
} catch (error) {
  eraseBars()
  console.error(error instanceof Error ? error.message : error)
  for (const node of nodes) {
    if (existsSync(node.logFile)) console.error(`last lines of ${node.site}'s log:\n${tail(node.logFile)}`)
  }
  await leave(false)
  process.exitCode = 1
}

async function tour(source: string): Promise<boolean> {
  if (!statSync(source, { throwIfNoEntry: false })?.isDirectory())
    throw new Error(`${source} is not a folder: name one that exists`)
  const startMs = performance.now()
  const [hq, ...labs] = await startMesh()

  say(`publishing ${source} as ${TREE} at hq; lab-a and lab-b fetch it from hq and from each other`)
  const first = await replicate('first publish', hq, labs, source, new Map())

  say('making the next build of it: a copy with some edits')
  const edited = join(workspace, 'source')
  copyFolder(source, edited)
  const edits = editFolder(edited)
  say(`  ${edits.join('; ')}`)
  const second = await replicate('second publish', hq, labs, edited, await statuses())

  const rounds = [first, second]
  const ok = rounds.every((round) => round.checks.every((check) => check.ok))
  const seconds = round1((performance.now() - startMs) / 1000)
  const facts = {
    ok,
    tree: TREE,
    source,
    seconds,
    edits,
    rounds,
    nodes: nodes.map(({ site, region, home, http }) => ({ site, region, home, http })),
  }
  process.stdout.write(
    options.json ? `${JSON.stringify(facts, undefined, 2)}\n` : `\n${report(rounds, seconds)}\n`,
  )
  return ok
}

async function startMesh(): Promise<[Node, Node, Node]> {
  say(`three nodes under ${workspace}`)
  const hq = await planNode(workspace, 'hq', 'us')
  const labs = [await planNode(workspace, 'lab-a', 'eu'), await planNode(workspace, 'lab-b', 'eu')] as const
  nodes.push(hq, ...labs)
  await mirrormesh(hq, [
    'init',
    '--mesh',
    'quickstart',
    '--site',
    'hq',
    '--region',
    'us',
    '--listen',
    hq.listen,
    '--http',
    hq.http,
  ])
  await startDaemon(hq)
  for (const lab of labs) {
    const token = (await mirrormesh(hq, ['invite', '--site', lab.site, '--region', lab.region])).trim()
    await mirrormesh(lab, ['join', token, '--listen', lab.listen, '--http', lab.http])
    await startDaemon(lab)
    say(`  ${lab.site} joined with an invite`)
  }
  await mirrormesh(hq, ['tree', 'create', TREE])
  await mirrormesh(hq, ['pin', 'add', TREE, '--all'])
  return [hq, ...labs]
}

/** One round: publish, watch, check out, compare, fetch over HTTP, judge. */
async function replicate(
  name: string,
  hq: Node,
  labs: readonly Node[],
  source: string,
  before: Map<string, Status>,
): Promise<Round> {
  const startMs = performance.now()
  let published: Published | undefined
  const publishing = mirrormeshJson<Published>(hq, ['publish', source, '--tree', TREE, '--wait', 'all']).then(
    (result) => {
      published = result
      return result
    },
  )
  await Promise.race([publishing, watch(hq, () => published !== undefined)])
  const result = await publishing
  const seconds = round1((performance.now() - startMs) / 1000)
  eraseBars()
  say(
    `  snapshot ${result.sequence}: ${result.files} files, ${mega(result.bytes)}; every site complete after ${seconds} s`,
  )

  const after = await statuses()
  const facts = trafficBetween('hq', ['lab-a', 'lab-b'], before, after)
  const sinceStart = trafficBetween('hq', ['lab-a', 'lab-b'], new Map(), after)
  const ignored = new Set(result.uncaptured?.first.map((item) => item.path))
  const copies = []
  for (const lab of labs) {
    const checkout = join(workspace, `${lab.site}-checkout-${result.sequence}`)
    const from = performance.now()
    await mirrormesh(lab, ['checkout', `${TREE}@${result.sequence}`, checkout])
    const checkoutSeconds = round1((performance.now() - from) / 1000)
    const comparison = compareFolders(source, checkout, ignored)
    say(
      `  ${lab.site}: checked out in ${checkoutSeconds} s, ${comparison.identical ? 'identical' : `${comparison.differences} differences`}`,
    )
    copies.push({ site: lab.site, checkout, seconds: checkoutSeconds, ...comparison })
  }
  const http = fetchOneFile(labs[1]!, source)
  return {
    name,
    published: result,
    seconds,
    copies,
    ...facts,
    checks: [...judge(name, result, facts, sinceStart, copies), http],
  }
}

/** Draws a bar for each site from what hq hears of it, until `isDone`. */
async function watch(hq: Node, isDone: () => boolean): Promise<void> {
  while (!isDone()) {
    const status = await mirrormeshJson<Status>(hq, ['status']).catch(() => undefined)
    const tree = status?.trees.find((candidate) => candidate.tree === TREE)
    if (tree !== undefined && !isDone()) {
      drawBars(
        tree.sites.map(({ site, state, sequence, missingBytes }) => ({
          label: site,
          done: state === 'complete' && sequence === tree.sequence ? 1 : shareHeld(missingBytes, tree.bytes),
          note: missingBytes ? `${state}, ${mega(missingBytes)} to go` : notHeard(state),
        })),
      )
    }
    await pause(300)
  }
}

/** Before the first head there is nothing that a site could hold. */
function notHeard(state: string): string {
  return state === 'unknown' ? 'waits for the first snapshot' : state
}

function shareHeld(missingBytes: number | null, bytes: number | null): number {
  return missingBytes === null || !bytes ? 0 : 1 - missingBytes / bytes
}

function fetchOneFile(lab: Node, source: string): Check {
  const path = pickFile(source)
  const name = `curl gets a file from ${lab.site}`
  if (path === undefined) return { name, ok: true, detail: 'the tree has no file' }
  const url = `http://${lab.http}/${TREE}/${path.split('/').map(encodeURIComponent).join('/')}`
  const got = execFileSync('curl', ['--silent', '--show-error', '--fail', url], {
    maxBuffer: 128 * 1024 * 1024,
  })
  const ok = got.equals(readFileSync(join(source, path)))
  return { name, ok, detail: `${url}: ${ok ? 'the same' : 'other'} ${got.length} bytes` }
}

async function statuses(): Promise<Map<string, Status>> {
  return new Map(
    await Promise.all(
      nodes.map(async (node) => [node.site, await mirrormeshJson<Status>(node, ['status'])] as const),
    ),
  )
}

/** Ends what was started and removes the workspace, unless it is kept. Runs once, whoever asks. */
function leave(keep: boolean): Promise<void> {
  leaving ??= (async () => {
    if (keep) {
      const [hq, , labB] = nodes
      say(`
The mesh goes on under ${workspace}. Try:
  ./scripts/mirrormesh --home ${hq?.home} status
  ./scripts/mirrormesh --home ${hq?.home} tree history ${TREE}
  ./scripts/mirrormesh --home ${labB?.home} ls ${TREE}
  ./scripts/mirrormesh --home ${hq?.home} diff ${TREE}@1 ${TREE}@2
  curl http://${labB?.http}/${TREE}/
  ./scripts/mirrormesh --home ${hq?.home} publish DIR --tree ${TREE} --wait all
To end it: kill ${nodes.map((node) => node.daemon?.pid).join(' ')}; rm -rf ${workspace}`)
      for (const node of nodes) node.daemon?.unref()
      return
    }
    await Promise.all(nodes.map(stopDaemon))
    rmSync(workspace, { recursive: true, force: true })
  })()
  return leaving
}

function tail(file: string): string {
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-8).join('\n')
}

function round1(value: number): number {
  return Math.round(value * 10) / 10
}

function parseOptions(): { directory: string; keep: boolean; json: boolean } {
  const flags = {
    keep: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  } as const
  try {
    const { values, positionals } = parseArgs({ options: flags, allowPositionals: true })
    if (values.help) {
      process.stdout.write(HELP)
      process.exit(0)
    }
    if (positionals.length > 1) throw new Error(`one folder at most, not ${positionals.join(' ')}`)
    return {
      directory: positionals[0] ?? join(import.meta.dirname, '..', '..', 'node_modules'),
      keep: values.keep,
      json: values.json,
    }
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n\n${HELP}`)
    process.exit(2)
  }
}
