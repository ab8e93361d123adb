/**
 * `npm run bench:inline`: blocks of a build, and bytes of it and of the next one as they travel, by the size up to which files lie
 * in their directories. Does not depend on the machine.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { DEFAULT_CHUNKER } from '../../src/block/chunker.ts'
import { makeDeltas } from '../../src/delta/make-deltas.ts'
import { openStore } from '../../src/store/store.ts'
import { importTree } from '../../src/tree/import/import.ts'
import { removedOnSignal } from '../on-signal.ts'
import { parseOptions, refuse } from '../options.ts'
import { pairsIn } from './build-pairs.ts'
import { deltaBytes } from './delta-bytes.ts'
import { createDeltaWriter, readDeltaPlan } from './made-deltas.ts'
import { table } from './markdown.ts'
import { type NewBlocks, newBlocks } from './new-blocks.ts'

const HELP = `usage: npm run bench:inline -- DIR [--limits 0,1024,2048,4096,8192] [--only KIND/NAME] [--markdown]

For each pair DIR/KIND/NAME/{old,new} of builds (\`npm run bench:chunks -- --fetch DIR\`) and each limit in bytes: blocks of the new
build, its bytes as they travel, and what a site that has the old one takes in, with deltas and without. Imports into
fresh stores under $TMPDIR (default /tmp). Prints JSON, or a table with --markdown.
`

interface InlineFigures {
  readonly inlineBytes: number
  readonly blocks: number
  readonly firstBytes: number
  readonly nextBytes: number
  readonly nextDeltaBytes: number
}

const { values, positionals } = parseOptions(
  {
    allowPositionals: true,
    options: {
      limits: { type: 'string', default: '0,1024,2048,4096,8192' },
      only: { type: 'string' },
      markdown: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  },
  { command: 'npm run bench:inline --', help: HELP },
)
const [dir] = positionals
if (dir === undefined) refuse('npm run bench:inline --', 'a folder of builds is needed')
const pairs: { readonly name: string; readonly limits: readonly InlineFigures[] }[] = []
for (const { kind, name, path } of pairsIn(dir)) {
  if (values.only !== undefined && !`${kind}/${name}`.startsWith(values.only)) continue
  const limits: InlineFigures[] = []
  for (const limit of values.limits.split(',').map(Number)) {
    process.stderr.write(`  ${kind}/${name}: ${limit}\n`)
    limits.push(await measure(path, limit))
  }
  pairs.push({ name: `${kind}/${name}`, limits })
}
process.stdout.write(values.markdown ? markdown() : `${JSON.stringify({ pairs }, undefined, 2)}\n`)

async function measure(path: string, inlineBytes: number): Promise<InlineFigures> {
  const work = mkdtempSync(join(tmpdir(), 'mirrormesh-inline-'))
  using _removed = removedOnSignal(work)
  const store = await openStore({ dir: join(work, 'store'), clock: systemClock })
  try {
    const { blocks } = store
    const parts = { blocks, tempDir: work, clock: systemClock }
    const options = { tree: 'bench', chunker: { ...DEFAULT_CHUNKER, inlineBytes } }
    const { snapshotCid: base } = await importTree(parts, { ...options, path: join(path, 'old') })
    const { snapshotCid: target, blocks: count } = await importTree(parts, {
      ...options,
      path: join(path, 'new'),
      parent: base,
    })
    const writer = createDeltaWriter(work)
    for await (const delta of makeDeltas({ source: blocks }, { base, target })) writer.add(delta)
    writer.finish()
    const made = await deltaBytes(blocks, { base, target }, { dir: work, plan: readDeltaPlan(work) })
    return {
      inlineBytes,
      blocks: count,
      firstBytes: travelling(await newBlocks(blocks, undefined, target)),
      nextBytes: travelling(await newBlocks(blocks, base, target)),
      nextDeltaBytes: made.deltaBytes + made.restBytes + made.metadataBytes + made.planBytes,
    }
  } finally {
    await store.close()
    rmSync(work, { recursive: true, force: true })
  }
}

function travelling({ chunks, metadata }: NewBlocks): number {
  return chunks.zstd3Bytes + metadata.zstd3Bytes
}

function markdown(): string {
  const rows = pairs.flatMap(({ name, limits }) =>
    limits.map((each) => [
      name,
      String(each.inlineBytes),
      String(each.blocks),
      ...[each.firstBytes, each.nextBytes, each.nextDeltaBytes].map((bytes) => (bytes / 1e6).toFixed(2)),
    ]),
  )
  return table(
    ['pair', 'files up to, bytes', 'blocks', 'first, MB', 'next without deltas, MB', 'next, MB'],
    rows,
  )
}
