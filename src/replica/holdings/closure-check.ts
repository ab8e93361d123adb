/**
 * The proof that a snapshot is complete here: its DAG is walked from the root through the store, and every block that
 * it reaches is there, with the length that the tree says. The block index was only a plan; a snapshot whose index leaves something out is not complete.
 */
import { isMirrorError, MirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import { cidKey, parseCid, RAW } from '../../block/cid.ts'
import type { ClosureBlock } from '../../dag/closure.ts'
import { closureRuns, listPages, readPage } from '../../dag/reader.ts'
import type { Scratch } from '../../dag/scratch.ts'
import type { Snapshot } from '../../dag/snapshot.ts'
import type { BlockReader, BlockStore } from '../../store/block-store.ts'

const BATCH = 1024

/**
 * @param view what of it has to be here; all of it without one
 * @throws MirrorError `corrupt` when the snapshot reaches a block that its index does not list, or lies about the length
 *   of one; `unstable` when a listed block is no longer stored here (its copy was found damaged): fetching again mends it
 */
export async function checkClosure(
  blocks: Pick<BlockStore, 'get' | 'getMany' | 'has' | 'locate'>,
  snapshot: Snapshot,
  signal: AbortSignal,
  scratch?: Scratch,
  view?: Snapshot,
): Promise<void> {
  let batch: ClosureBlock[] = []
  const check = async (): Promise<void> => {
    const places = await blocks.locate(batch.map(({ cid }) => cid))
    for (const [at, { cid, lengthBytes }] of batch.entries()) {
      const storedBytes = places[at]?.lengthBytes ?? (await blocks.get(cid, signal))?.length
      if (storedBytes === undefined) throw await explainMissing(blocks, snapshot, cid, signal)
      if (storedBytes !== lengthBytes) throw wrongLength(snapshot, cid, lengthBytes, storedBytes)
    }
    batch = []
  }
  try {
    for await (const run of closureUnder(blocks, snapshot, view, signal, scratch)) {
      for (const block of run) {
        batch.push(block)
        if (batch.length < BATCH) continue
        await check()
        signal.throwIfAborted()
      }
    }
    await check()
  } catch (error) {
    if (!isMirrorError(error, 'not-found') || typeof error.facts.cid !== 'string') throw error
    throw await explainMissing(blocks, snapshot, parseCid(error.facts.cid), signal)
  }
}

async function* closureUnder(
  blocks: Pick<BlockStore, 'get' | 'getMany'>,
  snapshot: Snapshot,
  view: Snapshot | undefined,
  signal: AbortSignal,
  scratch: Scratch | undefined,
): AsyncGenerator<readonly ClosureBlock[], void, undefined> {
  for await (const run of closureRuns(blocks, snapshot.root, signal, scratch))
    yield view === undefined ? run : run.filter(({ cid }) => cid.code !== RAW)
  if (view !== undefined) yield* closureRuns(blocks, view.root, signal, scratch)
}

export async function explainMissing(
  blocks: BlockReader,
  snapshot: Snapshot,
  missing: Cid,
  signal: AbortSignal,
): Promise<MirrorError> {
  const key = cidKey(missing)
  const facts = { cid: missing.toString(), tree: snapshot.tree }
  for await (const { cid } of listPages(blocks, snapshot.index, signal)) {
    const page = await readPage(blocks, cid, signal)
    if (page.blocks.some((block) => cidKey(block.cid) === key))
      return new MirrorError('unstable', `block ${missing.toString()} was stored and is not any more`, {
        facts,
        hint: 'Its copy was damaged on disk. It is fetched again; check the disk.',
      })
  }
  return new MirrorError(
    'corrupt',
    `the snapshot of ${snapshot.tree} reaches block ${missing.toString()}, which its block index does not list`,
    {
      facts,
      hint: 'The publisher has to publish the tree again; this snapshot cannot be completed anywhere.',
    },
  )
}

function wrongLength(snapshot: Snapshot, cid: Cid, saidBytes: number, bytes: number): MirrorError {
  return new MirrorError(
    'corrupt',
    `the snapshot of ${snapshot.tree} says that block ${cid.toString()} has ${saidBytes} bytes; it has ${bytes}`,
    {
      facts: { cid: cid.toString(), tree: snapshot.tree },
      hint: 'The publisher has to publish the tree again; this snapshot cannot be completed anywhere.',
    },
  )
}
