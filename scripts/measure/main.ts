/**
 * `npm run bench`: import, check-out, updates and disk use beside ordinary programs on the same data, and block transfer
 * between two processes. Prints JSON on stdout; docs/benchmarks.md is made from it.
 */
import { existsSync, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { onSignal } from '../on-signal.ts'
import { parseOptions, refuse } from '../options.ts'
import type { Arena } from './contest.ts'
import { makeSource, SOURCE_NAMES, type SourceName } from './data.ts'
import {
  asMarkdown,
  type BenchDocument,
  type ContestFigures,
  type DiskFigures,
  type PlaceFigures,
} from './markdown.ts'
import { compressions } from './ours.ts'
import { measureCheckout } from './parts/checkout.ts'
import { measureDisk } from './parts/disk.ts'
import { measureImport } from './parts/import.ts'
import { measureTransfer } from './parts/transfer.ts'
import { measureUnchanged } from './parts/unchanged.ts'
import { measureUpdate } from './parts/update.ts'
import { fileSystemOf, machine } from './run.ts'

const PARTS = ['import', 'checkout', 'unchanged', 'update', 'disk', 'transfer'] as const
const TMPFS = '/dev/shm'
/** Sources, setup and one program's output at a time. */
const TMPFS_COPIES = 6
/** Written at the same time, where trees stay until the end of a contest. */
const KEPT_COPIES = 8
const KERNEL_BYTES = 1.5e9
/** To make them anew after they were removed is slow on some file systems (contest.ts). */
const MANY_FILES = 1000
/** Parts that write a tree each round. */
const WRITING: ReadonlySet<string> = new Set(['import', 'checkout', 'update'])
const HELP = `usage: npm run bench -- [--only PART,...] [--sources NAME,...] [--dir DIR ...] [--rounds N] [--large-mb N]
                        [--small-files N] [--small-bytes N] [--transfer-mb N] [--cool-seconds N] [--markdown]

Prints one JSON document: for each part, source and program the median seconds, MB/s, files/s, CPU seconds (user and
system), peak memory and megabytes written; "ratio" is that program's seconds divided by mirrormesh's, the median over
the rounds. --markdown prints the tables of docs/benchmarks.md instead.

--only          of ${PARTS.join(', ')}; default all
--sources       of large (one file, which one thread reads), several (4 files that are together as large, which use two
                cores), small (many files), and of the kernel source in Debian's package linux-source, when it is
                installed: image (its tar, uncompressed), kernel (the tree); default large, several, image, and kernel
                or else small
--dir           where everything is written, several times for several file systems; default $TMPDIR or /tmp, and
                ${TMPFS} when there is one with room. Eight times the largest tree for each round has to fit
--rounds        default 3, and one that is not counted
--large-mb      of large, and of several; default 1000
--small-files   default 80000, of --small-bytes on average (default 8192)
--cool-seconds  wait after many files were removed (see contest.ts); default 61, and 0 on tmpfs
Programs that are not installed are named and left out: casync, rsync, b3sum, openssl. GNU time is needed.
`

const { values } = parseOptions(
  {
    options: {
      rounds: { type: 'string', default: '3' },
      only: { type: 'string', default: PARTS.join(',') },
      sources: { type: 'string' },
      dir: { type: 'string', multiple: true },
      'large-mb': { type: 'string', default: '1000' },
      'small-files': { type: 'string', default: '80000' },
      'small-bytes': { type: 'string', default: '8192' },
      'transfer-mb': { type: 'string', default: '512' },
      'cool-seconds': { type: 'string', default: '61' },
      markdown: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  },
  { command: 'npm run bench --', help: HELP },
)
const rounds = number('rounds')
const parts = choose('only', values.only, PARTS)
const sizes = {
  largeBytes: number('large-mb') * 1e6,
  smallFiles: number('small-files'),
  smallBytes: number('small-bytes'),
}
const missing = new Set<string>()
if (!existsSync('/usr/bin/time'))
  fail('GNU time is not installed (Debian: time): it tells what each program used')

const places: PlaceFigures[] = []
for (const dir of values.dir ?? defaultPlaces())
  if (parts.some((part) => part !== 'transfer')) places.push(await measurePlace(dir))
const document: BenchDocument = {
  machine: machine(),
  rounds,
  missing: [...missing],
  places,
  ...(parts.includes('transfer') ? { transfer: await measureTransfer(rounds, number('transfer-mb')) } : {}),
}
process.stdout.write(values.markdown ? asMarkdown(document) : `${JSON.stringify(document, undefined, 2)}\n`)

/** A tmpfs only where it has room for the largest source and what is made of it, which is memory. */
function defaultPlaces(): string[] {
  const needs = TMPFS_COPIES * Math.max(sizes.largeBytes, KERNEL_BYTES)
  return existsSync(TMPFS) && freeBytes(TMPFS) > needs ? [tmpdir(), TMPFS] : [tmpdir()]
}

async function measurePlace(dir: string): Promise<PlaceFigures> {
  const folder = mkdtempSync(join(dir, 'mirrormesh-bench-'))
  const remove = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  using _removed = onSignal(remove)
  // As scripts/mirrormesh, which also keeps compiled code.
  process.env.NODE_COMPILE_CACHE = join(folder, 'compile-cache')
  const fileSystem = fileSystemOf(folder)
  process.stderr.write(`on ${fileSystem}\n`)
  const isTmpfs = fileSystem === 'tmpfs'
  const contests: ContestFigures[] = []
  const disk: DiskFigures[] = []
  try {
    const kept = await compressions(folder)
    const wanted = values.sources === undefined ? undefined : choose('sources', values.sources, SOURCE_NAMES)
    const names: SourceName[] = [...(wanted ?? (['large', 'several', 'image', 'kernel'] as const))]
    for (let name = names.shift(); name !== undefined; name = names.shift()) {
      const source = await makeSource(name, folder, sizes)
      if (source === undefined) {
        missing.add('linux-source')
        if (name === 'kernel' && wanted === undefined) names.push('small')
        continue
      }
      const arena: Arena = { folder, rounds, keepsTrees: !isTmpfs && source.files >= MANY_FILES, missing }
      const isKept = arena.keepsTrees && parts.some((part) => WRITING.has(part))
      const needs = source.bytes * (isKept ? KEPT_COPIES * (rounds + 1) : TMPFS_COPIES)
      if (freeBytes(dir) < needs)
        throw new Error(
          `${dir} may need ${Math.ceil(needs / 1e6)} MB for ${source.name} and has not so much free: give another --dir or fewer --rounds`,
        )
      const cool = (): Promise<unknown> =>
        isTmpfs || source.files < MANY_FILES ? Promise.resolve() : sleep(number('cool-seconds') * 1000)
      for (const part of parts) {
        if (part === 'import') contests.push(await measureImport(arena, source, kept))
        else if (part === 'checkout') contests.push(await measureCheckout(arena, source, kept))
        else if (part === 'unchanged') contests.push(await measureUnchanged(arena, source))
        else if (part === 'update') contests.push(await measureUpdate(arena, source))
        else if (part === 'disk') disk.push(...(await measureDisk(folder, source, kept)))
        else continue
        await cool()
      }
      rmSync(source.path, { recursive: true, force: true })
      await cool()
    }
    return { fileSystem, contests, disk }
  } finally {
    // The transfer that follows would make the folder anew.
    delete process.env.NODE_COMPILE_CACHE
    remove()
  }
}

function freeBytes(path: string): number {
  const { bavail, bsize } = statfsSync(path)
  return bavail * bsize
}

function choose<Name extends string>(flag: string, text: string, known: readonly Name[]): Name[] {
  return text.split(',').map((name) => {
    const found = known.find((each) => each === name)
    return found ?? fail(`--${flag}: there is no "${name}": it is one of ${known.join(', ')}`)
  })
}

function number(
  flag: 'rounds' | 'large-mb' | 'small-files' | 'small-bytes' | 'transfer-mb' | 'cool-seconds',
): number {
  const value = Number(values[flag])
  return Number.isFinite(value) && value >= 0 ? value : fail(`--${flag} takes a number`)
}

function fail(message: string): never {
  refuse('npm run bench --', message)
}
