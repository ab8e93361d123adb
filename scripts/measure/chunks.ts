/**
 * `npm run bench:chunks`: what a site has to fetch between two consecutive builds, for several average chunk sizes, beside
 * what rsync sends for the same pair. Bytes and blocks do not depend on the machine; seconds do.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import type { ChunkerParams } from '../../src/block/chunker.ts'
import { openStore } from '../../src/store/store.ts'
import { importTree } from '../../src/tree/import/import.ts'
import { removedOnSignal } from '../on-signal.ts'
import { parseOptions, refuse } from '../options.ts'
import { pairsIn } from './build-pairs.ts'
import { type ChunkDocument, chunkMarkdown, type PairFigures, type SizeFigures } from './chunk-tables.ts'
import { fetchBuilds } from './fetch-builds.ts'
import { type NewBlocks, newBlocks } from './new-blocks.ts'
import { rsyncBytes } from './rsync-bytes.ts'
import { hasProgram, machine, median } from './run.ts'

const HELP = `usage: npm run bench:chunks -- --fetch DIR
       npm run bench:chunks -- DIR [--sizes 64,128,256] [--only KIND/NAME] [--rounds N] [--markdown]

The first fetches pairs of consecutive builds (npm and Debian packages, 1 GB; 9 GB unpacked) to DIR. The second works without a
network: for each pair DIR/KIND/NAME/{old,new} it imports both into a fresh store under $TMPDIR (default /tmp), once for each
average chunk size (in KiB; the shortest chunk is a quarter of it, the longest four times), and weighs the blocks that
the new build adds; rsync does the same from a copy of the old build. Prints JSON, or tables with --markdown.
Seconds are medians of --rounds rounds (default 1).
`

const { values, positionals } = parseOptions(
  {
    allowPositionals: true,
    options: {
      fetch: { type: 'string' },
      sizes: { type: 'string', default: '64,128,256' },
      only: { type: 'string' },
      rounds: { type: 'string', default: '1' },
      markdown: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  },
  { command: 'npm run bench:chunks --', help: HELP },
)
const [dir] = positionals
if ((dir === undefined) === (values.fetch === undefined))
  refuse('npm run bench:chunks --', 'a folder of builds, or --fetch DIR, is needed')
if (values.fetch !== undefined) {
  fetchBuilds(values.fetch)
} else if (!hasProgram('rsync')) {
  process.stderr.write('rsync is not installed: install it, it is what the figures are beside\n')
  process.exit(1)
} else {
  const sizes = values.sizes.split(',').map((kib) => Number(kib) * 1024)
  const pairs: PairFigures[] = []
  for (const { kind, name } of pairsIn(dir!))
    if (values.only === undefined || `${kind}/${name}`.startsWith(values.only))
      pairs.push(await measurePair(kind, name, sizes))
  const document: ChunkDocument = { machine: machine(), pairs }
  process.stdout.write(
    values.markdown ? chunkMarkdown(document) : `${JSON.stringify(document, undefined, 2)}\n`,
  )
}

async function measurePair(kind: string, name: string, sizes: readonly number[]): Promise<PairFigures> {
  const [held, wanted] = [join(dir!, kind, name, 'old'), join(dir!, kind, name, 'new')]
  const work = mkdtempSync(join(tmpdir(), 'mirrormesh-chunks-'))
  using _removed = removedOnSignal(work)
  try {
    const weights = new Map<number, NewBlocks>()
    const imports = new Map<number, Imported[]>(sizes.map((avgBytes) => [avgBytes, []]))
    for (let round = 0; round < Number(values.rounds); round++)
      for (const avgBytes of round % 2 === 0 ? sizes : sizes.toReversed()) {
        process.stderr.write(`  ${kind}/${name}: ${avgBytes / 1024} KiB\n`)
        const home = join(work, `${avgBytes}-${round}`)
        const imported = await importBoth(home, held, wanted, avgBytes, round === 0)
        if (imported.weight !== undefined) weights.set(avgBytes, imported.weight)
        imports.get(avgBytes)!.push(imported)
      }
    process.stderr.write(`  ${kind}/${name}: rsync\n`)
    const plain = await rsyncBytes({ held, wanted, work }, [])
    const compressed = await rsyncBytes({ held, wanted, work }, ['-z'])
    const bySize = sizes.map((avgBytes): SizeFigures => {
      const list = imports.get(avgBytes)!
      const middle = (what: 'firstSeconds' | 'firstCpuSeconds' | 'nextSeconds'): number =>
        median(list.map((imported) => imported[what]))
      const { files, bytes, blocks } = list[0]!
      return {
        ...{ avgBytes, files, bytes, blocks },
        firstSeconds: middle('firstSeconds'),
        firstCpuSeconds: middle('firstCpuSeconds'),
        nextSeconds: middle('nextSeconds'),
        ...weights.get(avgBytes)!,
      }
    })
    return { kind, name, sizes: bySize, rsync: plain, rsyncCompressed: compressed }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

interface Imported {
  /** Of the new build. */
  readonly files: number
  readonly bytes: number
  readonly blocks: number
  readonly firstSeconds: number
  readonly firstCpuSeconds: number
  readonly nextSeconds: number
  readonly weight?: NewBlocks
}

async function importBoth(
  home: string,
  held: string,
  wanted: string,
  avgBytes: number,
  weighs: boolean,
): Promise<Imported> {
  const chunker: ChunkerParams = {
    kind: 'gear64',
    minBytes: avgBytes / 4,
    avgBytes,
    maxBytes: avgBytes * 4,
  }
  const store = await openStore({ dir: home, clock: systemClock })
  try {
    const parts = { blocks: store.blocks, tempDir: tmpdir(), clock: systemClock }
    const before = process.cpuUsage()
    const first = await importTree(parts, { path: held, tree: 'bench', chunker })
    const { user, system } = process.cpuUsage(before)
    const options = { path: wanted, tree: 'bench', chunker, parent: first.snapshotCid }
    const next = await importTree(parts, options)
    return {
      files: next.files,
      bytes: next.bytes,
      blocks: next.blocks,
      firstSeconds: first.seconds,
      firstCpuSeconds: (user + system) / 1e6,
      nextSeconds: next.seconds,
      ...(weighs ? { weight: await newBlocks(store.blocks, first.snapshotCid, next.snapshotCid) } : {}),
    }
  } finally {
    await store.close()
    rmSync(home, { recursive: true, force: true })
  }
}
