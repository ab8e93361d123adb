/**
 * `npm run scale`: an import, and what follows it, of a tree of many entries: seconds and peak memory of each step, each
 * in a process of its own. Prints JSON on stdout.
 */
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { machine, run } from '../measure/run.ts'
import { onSignal } from '../on-signal.ts'
import { parseOptions } from '../options.ts'
import { makeTree } from './make-tree.ts'

const HELP = `usage: npm run scale -- --files N [--dirs N] [--on DIR] [--image] [--steps import,again,changed,check,checkout]

Makes N files of a few bytes (7 of 8 different) spread over as many directories as --dirs says (default: one for each
1000 files; --dirs 1 puts all of them in one), imports them, and prints one JSON document: for each step seconds, CPU
seconds and peak memory of its process. Steps: import; again (the same tree into the same store, known by the stat
cache that the first import left); changed (once more, with one file that is new); check (the walk of the closure that a
fetch ends with); checkout. Default: import.

--on DIR   where everything is written, and removed in the end (default: $TMPDIR, else /tmp)
--image    the tree lies in a file system of its own, an ext4 with inline data in a sparse file: a tiny file then takes 256
           bytes where it takes 4 KiB of most disks, so that 10 million fit in 3 GB. Takes root, mkfs.ext4 and a loop device
`

const STEPS = ['import', 'again', 'changed', 'check', 'checkout'] as const
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  61267: 'ext4',
  16914836: 'tmpfs',
  1481003842: 'xfs',
  2435016766: 'btrfs',
}
/** Older than the grain of the file system's times, so that the stat cache vouches for all of it (stat-key.ts). */
const SETTLED_MS = 5000
/** As scripts/mirrormesh starts the program, which also keeps compiled code. */
const AS_LAUNCHED = ['--max-semi-space-size=8', join(import.meta.dirname, 'run-once.ts')]

const { values } = parseOptions(
  {
    options: {
      files: { type: 'string' },
      dirs: { type: 'string' },
      on: { type: 'string', default: tmpdir() },
      image: { type: 'boolean', default: false },
      steps: { type: 'string', default: 'import' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  },
  { command: 'npm run scale --', help: HELP },
)
const files = countOf('files', values.files)
const dirs = values.dirs === undefined ? Math.ceil(files / 1000) : countOf('dirs', values.dirs)
const steps = values.steps.split(',')
const unknown = steps.find((step) => !(STEPS as readonly string[]).includes(step))
if (unknown !== undefined) fail(`there is no step "${unknown}": they are ${STEPS.join(', ')}`)

const folder = mkdtempSync(join(values.on, 'mirrormesh-scale-'))
const mounted = join(folder, 'mnt')
process.env.NODE_COMPILE_CACHE = join(folder, 'compile-cache')
let isMounted = false
const remove = async (): Promise<void> => {
  if (isMounted) await run('umount', [mounted])
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
}
const ending = onSignal(remove)
try {
  process.stdout.write(`${JSON.stringify(await measure(), undefined, 2)}\n`)
} finally {
  ending[Symbol.dispose]()
  await remove()
}

async function measure(): Promise<Record<string, unknown>> {
  const place = values.image ? await mountImage() : folder
  note(`makes ${files} files in ${dirs} directories`)
  const startMs = performance.now()
  const source = join(place, 'tree')
  const directories = makeTree(source, files, dirs)
  const madeInSeconds = (performance.now() - startMs) / 1000
  const fileSystem = `${nameOf(place)}${values.image ? ' with inline data, in a sparse file' : ''}`
  const document: Record<string, unknown> = {
    machine: machine(),
    fileSystem,
    files,
    directories,
    madeInSeconds,
  }
  const store = join(folder, 'store')
  const once = async (step: string, args: readonly string[]): Promise<Record<string, unknown>> => {
    note(step)
    const { output } = await run(process.execPath, [...AS_LAUNCHED, ...args])
    return output as Record<string, unknown>
  }
  // A first small one, so that every step finds its code compiled, as in daily use.
  makeTree(join(folder, 'warm'), 100, 2)
  await once('warms up', ['import', join(folder, 'warm'), join(folder, 'warm-store')])
  await sleep(SETTLED_MS)
  const imported = await once('import', ['import', source, store])
  document.import = imported
  const snapshot = String(imported.snapshot)
  for (const step of steps) {
    if (step === 'again') document.again = await once(step, ['import', source, store, snapshot])
    if (step === 'changed') {
      writeFileSync(join(source, 'new'), 'new\n')
      document.changed = await once(step, ['import', source, store, snapshot])
    }
    if (step === 'check') document.check = await once(step, ['check', store, snapshot])
    if (step === 'checkout')
      document.checkout = await once(step, ['checkout', store, snapshot, join(place, 'checkout')])
  }
  return document
}

async function mountImage(): Promise<string> {
  const image = join(folder, 'image')
  // Room for two trees, and for the directories of both.
  const inodes = 2 * (files + dirs) + 10_000
  await run('truncate', ['-s', String(inodes * 512 + 64 * 1024 * 1024), image])
  await run('mkfs.ext4', ['-q', '-O', 'inline_data,^has_journal', '-I', '256', '-N', String(inodes), image])
  mkdirSync(mounted)
  await run('mount', ['-o', 'loop,noatime', image, mounted])
  isMounted = true
  return mounted
}

function nameOf(place: string): string {
  const { type } = statfsSync(place)
  return FILE_SYSTEMS[type] ?? `file system 0x${type.toString(16)}`
}

function countOf(name: string, text: string | undefined): number {
  const count = Number(text)
  if (!Number.isSafeInteger(count) || count < 1) fail(`--${name} takes a whole number of 1 or more`)
  return count
}

function note(text: string): void {
  process.stderr.write(`  ${text}\n`)
}

function fail(message: string): never {
  process.stderr.write(`scale: ${message}\n\n${HELP}`)
  process.exit(2)
}
