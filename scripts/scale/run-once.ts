/**
 * One step as a process of its own: `run-once.ts import SOURCE STORE [SNAPSHOT]`, `run-once.ts checkout STORE SNAPSHOT
 * DEST`, `run-once.ts check STORE SNAPSHOT`. An import reads and leaves a stat cache; with the snapshot that the source
 * became before it first asks whether the source is unchanged, as a publisher does. Prints one line of JSON.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { parseCid } from '../../src/block/cid.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import { checkClosure } from '../../src/replica/holdings/closure-check.ts'
import type { Store } from '../../src/store/store.ts'
import { openStore } from '../../src/store/store.ts'
import { checkOut } from '../../src/tree/checkout/checkout.ts'
import { importTree } from '../../src/tree/import/import.ts'
import { isUnchanged } from '../../src/tree/stat-cache/find-unchanged.ts'
import { openStatCaches } from '../../src/tree/stat-cache/stat-caches.ts'

const [verb, ...args] = process.argv.slice(2)
const startMs = performance.now()
let facts: Record<string, unknown>
if (verb === 'import' && (args.length === 2 || args.length === 3))
  facts = await runImport(args[0]!, args[1]!, args[2])
else if (verb === 'checkout' && args.length === 3) facts = await runCheckout(args[0]!, args[1]!, args[2]!)
else if (verb === 'check' && args.length === 2) facts = await runCheck(args[0]!, args[1]!)
else
  throw new Error(
    'usage: run-once.ts import SOURCE STORE [SNAPSHOT] | checkout STORE SNAPSHOT DEST | check STORE SNAPSHOT',
  )
const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage()
const cost = { cpuSeconds: (userCPUTime + systemCPUTime) / 1e6, peakMB: maxRSS / 1024 }
console.log(JSON.stringify({ ...facts, ...cost }))

function seconds(): number {
  return (performance.now() - startMs) / 1000
}

function open(dir: string): Promise<Store> {
  mkdirSync(join(dir, 'tmp'), { recursive: true })
  return openStore({ dir: join(dir, 'store'), clock: systemClock })
}

async function runImport(source: string, dir: string, before?: string): Promise<Record<string, unknown>> {
  const store = await open(dir)
  const log = {
    info: () => undefined,
    warn: (fields: object, event: string) => console.error(event, fields),
  }
  const tempDir = join(dir, 'tmp')
  const statCaches = openStatCaches({ dir: join(dir, 'cache'), log })
  const subject = { path: source, tree: 'scale', statCaches }
  const isSame =
    before !== undefined &&
    (await isUnchanged(
      { statCaches, tempDir, clock: systemClock },
      { ...subject, snapshot: parseCid(before) },
    ))
  if (isSame) {
    const facts = { seconds: seconds(), isUnchanged: true, snapshot: before }
    await store.close()
    return facts
  }
  const { cache, files, directories, blocks, newBlocks, snapshotCid } = await importTree(
    { blocks: store.blocks, tempDir, clock: systemClock },
    subject,
  )
  await cache?.keep(snapshotCid)
  const facts = {
    seconds: seconds(),
    files,
    directories,
    blocks,
    newBlocks,
    snapshot: snapshotCid.toString(),
  }
  await store.close()
  return facts
}

async function runCheckout(dir: string, cid: string, dest: string): Promise<Record<string, unknown>> {
  const store = await open(dir)
  const snapshot = await readSnapshot(store, cid)
  const { files } = await checkOut(
    { blocks: store.blocks, clock: systemClock },
    { root: snapshot.root, dest, counts: snapshot.counts },
  )
  const facts = { seconds: seconds(), files }
  await store.close()
  return facts
}

async function runCheck(dir: string, cid: string): Promise<Record<string, unknown>> {
  const store = await open(dir)
  const snapshot = await readSnapshot(store, cid)
  await checkClosure(store.blocks, snapshot, new AbortController().signal)
  const facts = { seconds: seconds(), blocks: snapshot.counts.blocks }
  await store.close()
  return facts
}

async function readSnapshot(store: Store, cid: string): Promise<ReturnType<typeof decodeSnapshot>> {
  const bytes = await store.blocks.get(parseCid(cid))
  if (bytes === undefined) throw new Error(`the store has no snapshot ${cid}`)
  return decodeSnapshot(parseCid(cid), bytes)
}
