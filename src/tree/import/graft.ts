/**
 * A snapshot made of an older one with folders at its root put in or taken out. What stays is not read again: only the
 * metadata of the tree is walked, to list its blocks. So a version of a tree can be published where the other versions
 * are not lying about as files.
 *
 * When it resolves every block of the new snapshot is durable. The caller holds a lease on what goes in.
 */
import { compareBytes, printableName } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { MirrorError } from '../../base/errors.ts'
import type { Block } from '../../block/block.ts'
import type { Cid } from '../../block/cid.ts'
import { createBlockIndexBuilder } from '../../dag/block-index.ts'
import { buildDirectory } from '../../dag/directory.ts'
import type { Entry } from '../../dag/entry.ts'
import { MAX_UNCAPTURED_LISTED } from '../../dag/limits.ts'
import { closure, readDirectory, walk } from '../../dag/reader.ts'
import type { Snapshot, SnapshotCounts } from '../../dag/snapshot.ts'
import { encodeSnapshot } from '../../dag/snapshot.ts'
import type { BlockStore } from '../../store/block-store.ts'
import { createFileScratch } from '../spool/file-scratch.ts'

export interface GraftOptions {
  /** The snapshot to start from, and its CID. */
  readonly base?: { readonly snapshot: Snapshot; readonly cid: Cid }
  /** Goes in at the root under this name, in place of what has it. */
  readonly add?: { readonly name: Uint8Array; readonly snapshot: Snapshot }
  /** Names at the root that go. */
  readonly remove?: readonly Uint8Array[]
  readonly signal?: AbortSignal
}

export interface GraftResult {
  readonly snapshot: Snapshot
  readonly snapshotCid: Cid
  /** Blocks that the store did not have, and their bytes; what was added is not counted. */
  readonly newBlocks: number
  readonly newBytes: number
}

const BATCH_BLOCKS = 64

/** @throws MirrorError `not-found` for a name that is to go and is not there, or a block of the base that is not here; `invalid` when nothing is left */
export async function graft(
  { blocks, tempDir, clock }: { blocks: BlockStore; tempDir: string; clock: Clock },
  { base, add, remove = [], signal }: GraftOptions,
): Promise<GraftResult> {
  const model = add?.snapshot ?? base?.snapshot
  if (model === undefined) throw new MirrorError('internal', 'a graft of nothing onto nothing')
  const counted = { newBlocks: 0, newBytes: 0 }
  const source = { get: (cid: Cid) => blocks.get(cid) }

  async function store(batch: readonly Block[]): Promise<void> {
    const known = await blocks.has(batch.map(({ cid }) => cid))
    const fresh = batch.filter((_, i) => !known[i])
    if (fresh.length === 0) return
    await blocks.put(fresh, { verified: true })
    counted.newBlocks += fresh.length
    counted.newBytes += fresh.reduce((sum, { bytes }) => sum + bytes.length, 0)
  }

  const before = base?.snapshot.root
  // Mode, owner and time of the root: as the folder that goes in has them, or else as they were.
  const like = model.root
  if (like.type !== 'directory' || (before !== undefined && before.type !== 'directory'))
    throw new MirrorError('invalid', 'a version is a folder, and lies in one: this is no folder')
  const entries = new Map<string, Entry>()
  const gone: Entry[] = []
  if (before?.type === 'directory') {
    for await (const entry of readDirectory(source, before.directory, { signal }))
      entries.set(keyOf(entry.name), entry)
  }
  for (const name of remove) {
    const entry = entries.get(keyOf(name))
    if (entry === undefined)
      throw new MirrorError('not-found', `there is no ${printableName(name)} at the root of the tree`)
    gone.push(entry)
    entries.delete(keyOf(name))
  }
  if (add !== undefined) {
    const replaced = entries.get(keyOf(add.name))
    if (replaced !== undefined) gone.push(replaced)
    entries.set(keyOf(add.name), { ...add.snapshot.root, name: add.name })
  }

  const nodes: Block[] = []
  const sorted = [...entries.values()].toSorted((a, b) => compareBytes(a.name, b.name))
  const directory = buildDirectory(sorted, (block) => nodes.push(block))
  await store(nodes)
  const root: Entry = {
    ...like,
    name: new Uint8Array(),
    type: 'directory',
    directory,
  }

  let pending: Block[] = []
  const index = createBlockIndexBuilder((block) => pending.push(block), {
    scratch: createFileScratch(tempDir),
  })
  for await (const { cid, lengthBytes } of closure(source, root, signal, createFileScratch(tempDir))) {
    index.add(cid, lengthBytes)
    if (pending.length < BATCH_BLOCKS) continue
    const batch = pending
    pending = []
    await store(batch)
  }
  const { root: indexRoot, blocks: count, sizeBytes } = index.finish()
  await store(pending)

  let counts: EntryCounts = base?.snapshot.counts ?? BARE_ROOT
  if (add !== undefined) counts = sumOf(counts, add.snapshot.counts)
  for (const entry of gone) counts = minus(counts, await countsOf(source, entry, signal))
  const snapshot: Snapshot = {
    ...model,
    root,
    index: indexRoot,
    ...(base === undefined ? {} : { parent: base.cid }),
    createdMs: clock.nowMs(),
    counts: { ...counts, blocks: count, blockBytes: sizeBytes },
    uncaptured: uncapturedOf(base?.snapshot, add, remove),
  }
  const block = encodeSnapshot(snapshot)
  await store([block])
  await blocks.flush()
  return { snapshot, snapshotCid: block.cid, ...counted }
}

type EntryCounts = Omit<SnapshotCounts, 'blocks' | 'blockBytes'>

/** What is added becomes a folder below it. */
const BARE_ROOT: EntryCounts = { files: 0, directories: 1, symlinks: 0, bytes: 0 }

function sumOf(a: EntryCounts, b: EntryCounts): EntryCounts {
  const specials = (a.specials ?? 0) + (b.specials ?? 0)
  return {
    files: a.files + b.files,
    directories: a.directories + b.directories,
    symlinks: a.symlinks + b.symlinks,
    bytes: a.bytes + b.bytes,
    ...(specials === 0 ? {} : { specials }),
  }
}

function minus(a: EntryCounts, b: EntryCounts): EntryCounts {
  const specials = (a.specials ?? 0) - (b.specials ?? 0)
  return {
    files: a.files - b.files,
    directories: a.directories - b.directories,
    symlinks: a.symlinks - b.symlinks,
    bytes: a.bytes - b.bytes,
    ...(specials <= 0 ? {} : { specials }),
  }
}

async function countsOf(
  source: { get(cid: Cid): Promise<Uint8Array | undefined> },
  root: Entry,
  signal: AbortSignal | undefined,
): Promise<EntryCounts> {
  const counts = { files: 0, directories: 0, symlinks: 0, bytes: 0, specials: 0 }
  for await (const { entry } of walk(source, root, signal)) {
    if (entry.type === 'directory') counts.directories += 1
    else if (entry.type === 'symlink') counts.symlinks += 1
    else if (entry.type === 'file') {
      counts.files += 1
      counts.bytes += entry.sizeBytes
    } else counts.specials += 1
  }
  return counts
}

function uncapturedOf(
  base: Snapshot | undefined,
  add: GraftOptions['add'],
  remove: readonly Uint8Array[],
): Snapshot['uncaptured'] {
  const gone = [...remove, ...(add === undefined ? [] : [add.name])].map(printableName)
  const isGone = (path: string): boolean => gone.some((name) => path === name || path.startsWith(`${name}/`))
  const stays = (base?.uncaptured.first ?? []).filter(({ path }) => !isGone(path))
  const lost = (base?.uncaptured.first.length ?? 0) - stays.length
  const name = add === undefined ? '' : printableName(add.name)
  const added = (add?.snapshot.uncaptured.first ?? []).map(({ path, reason }) => ({
    path: path === '.' ? name : `${name}/${path}`,
    reason,
  }))
  return {
    count: (base?.uncaptured.count ?? 0) - lost + (add?.snapshot.uncaptured.count ?? 0),
    first: [...stays, ...added].slice(0, MAX_UNCAPTURED_LISTED),
  }
}

function keyOf(name: Uint8Array): string {
  return Buffer.from(name).toString('latin1')
}
