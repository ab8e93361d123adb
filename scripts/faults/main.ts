/**
 * `npm run faults`: breaks meshes of real daemons over emulated links, one fault after the other, and holds what comes out to
 * what was promised. The quick ones, on loopback, are in the test suite.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { asMirrorError, MirrorError } from '../../src/base/errors.ts'
import { requireRoot } from '../../topology/emulator/emulator.ts'
import { readScenario } from '../../topology/scenario.ts'
import { CASES, type Check, type FaultCase } from './cases.ts'
import { type FaultMesh, startFaultMesh } from './mesh.ts'

const HELP = `usage: npm run faults -- [options]

Each case starts six daemons on the links of topology/labs6.yaml, brings a tree of random bytes from hq to the others, and
breaks something on the way. Takes root, gcc and iproute2 (network namespaces, a TUN device each).

${CASES.map(({ name, sentence }) => `  ${name.padEnd(18)} ${sentence}`).join('\n')}

  --only LIST        these cases alone, with commas
  --mb N             of the tree: 64 by default; what is on its way when a site dies counts more in a smaller one
  --limit SECONDS    for each wait: 300 by default
  --keep             leaves homes, logs and check-outs
  --json             prints what was found as one JSON document
  --help             this text

It ends with 0 when every check of every case held, else with 1.
`

interface CaseResult {
  readonly name: string
  readonly isGood: boolean
  readonly seconds: number
  readonly checks: readonly Check[]
  readonly error?: string
}

let standing: FaultMesh | undefined
let folder: string | undefined
let isKept = false
let leaving: Promise<void> | undefined
for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  process.once(signal, () => void leave().finally(() => process.exit(status)))

try {
  process.exitCode = await main()
} catch (error) {
  const { code, message, hint } = asMirrorError(error, 'faults')
  process.stderr.write(`faults: ${message}${hint === undefined ? '' : `. ${hint}`}\n`)
  process.exitCode = code === 'invalid' ? 2 : code === 'refused' ? 6 : 1
} finally {
  await leave()
}

async function main(): Promise<number> {
  const options = parseOptions()
  if (options === undefined) return 0
  requireRoot()
  isKept = options.isKept
  folder = mkdtempSync(join(tmpdir(), 'mirrormesh-faults-'))
  if (isKept) process.stderr.write(`kept in ${folder}\n`)
  const results: CaseResult[] = []
  for (const fault of options.cases) {
    process.stderr.write(`${fault.name}: ${fault.sentence}\n`)
    const result = await runCase(fault, join(folder, fault.name), options)
    results.push(result)
    process.stderr.write(`${format(result)}\n`)
  }
  if (options.isJson) process.stdout.write(`${JSON.stringify({ links: 'emulated', results }, null, 2)}\n`)
  return results.every(({ isGood }) => isGood) ? 0 : 1
}

async function runCase(
  { name, run }: FaultCase,
  own: string,
  options: { readonly treeBytes: number; readonly limitMs: number },
): Promise<CaseResult> {
  const startMs = performance.now()
  const seconds = (): number => Math.round((performance.now() - startMs) / 100) / 10
  mkdirSync(own)
  try {
    const scenario = await readScenario(join(import.meta.dirname, '../../topology/labs6.yaml'))
    standing = await startFaultMesh(scenario, { folder: own, ...options })
    const checks = await run(standing)
    return { name, isGood: checks.every(({ isGood }) => isGood), seconds: seconds(), checks }
  } catch (error) {
    const { message } = asMirrorError(error, name)
    return { name, isGood: false, seconds: seconds(), checks: [], error: message }
  } finally {
    await standing?.remove()
    standing = undefined
    if (!isKept) rmSync(own, { recursive: true, force: true })
  }
}

function format({ isGood, seconds, checks, error }: CaseResult): string {
  const lines = checks.map((check) => `  ${check.isGood ? 'ok    ' : 'FAILED'} ${check.what}: ${check.found}`)
  if (error !== undefined) lines.push(`  FAILED ${error}`)
  return [...lines, `  ${isGood ? 'held' : 'did not hold'}, ${seconds} s`].join('\n')
}

function leave(): Promise<void> {
  leaving ??= (async () => {
    await standing?.remove()
    if (folder !== undefined && !isKept) rmSync(folder, { recursive: true, force: true })
  })()
  return leaving
}

function parseOptions():
  | {
      readonly cases: readonly FaultCase[]
      readonly treeBytes: number
      readonly limitMs: number
      readonly isKept: boolean
      readonly isJson: boolean
    }
  | undefined {
  const flags = {
    only: { type: 'string' },
    mb: { type: 'string', default: '64' },
    limit: { type: 'string', default: '300' },
    keep: { type: 'boolean', default: false },
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
  const wanted = values.only?.split(',')
  const unknown = wanted?.find((name) => CASES.every((each) => each.name !== name))
  if (unknown !== undefined) throw invalid(`there is no case ${JSON.stringify(unknown)}`)
  return {
    cases: CASES.filter(({ name }) => wanted?.includes(name) ?? true),
    treeBytes: whole('--mb', values.mb) * 1_000_000,
    limitMs: whole('--limit', values.limit) * 1000,
    isKept: values.keep,
    isJson: values.json,
  }
}

function whole(name: string, text: string): number {
  if (/^[1-9]\d{0,4}$/.test(text)) return Number(text)
  throw invalid(`${name} is a number from 1, not ${JSON.stringify(text)}`)
}

function invalid(message: string): MirrorError {
  return new MirrorError('invalid', message, { hint: 'npm run faults -- --help tells more.' })
}
