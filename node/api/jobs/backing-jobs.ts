/** The jobs behind `adopt` and `store drop-backing`: folders outside of the store that blocks lie in. */
import { isAbsolute } from 'node:path'
import { MirrorError } from '../../../src/base/errors.ts'
import type { ChunkerParams } from '../../../src/block/chunker.ts'
import { decodeSnapshot } from '../../../src/dag/snapshot.ts'
import { checkTreeName } from '../../../src/dag/tree-name.ts'
import { createBlocksOf } from '../../../src/replica/holdings/tree-views.ts'
import type { Backing } from '../../../src/store/block-backings.ts'
import { importTree } from '../../../src/tree/import/import.ts'
import type { JobBody } from '../schema/job-schema.ts'
import type { Services } from '../services.ts'
import type { AdoptAnswer, DropBackingAnswer } from './job-answers.ts'
import type { JobControl } from './jobs.ts'

/** Reads the folder like a publication and signs nothing: what a later fetch needs of it is then there. */
export function runAdoptJob(services: Services, body: JobBody<'adopt'>) {
  const { path } = body
  const tree = checkTreeName(body.tree)
  if (!isAbsolute(path))
    throw new MirrorError('invalid', `path must be absolute, not ${JSON.stringify(path.slice(0, 200))}`)
  return async ({ signal, report }: JobControl): Promise<AdoptAnswer> => {
    const { ledger, blocks, clock, tempDir, workers } = services
    const chunker = await chunkerOf(services, tree)
    const adopted = await importTree(
      { blocks: createBlocksOf(blocks, { state: ledger.state, clock })(tree), clock, tempDir },
      {
        path,
        tree,
        inPlace: 'adopted',
        ...(chunker === undefined ? {} : { chunker }),
        ...(workers === undefined ? {} : { workers }),
        signal,
        onProgress: report,
      },
    )
    const { files, bytes, blocks: blockCount, newBlocks, newBytes, uncaptured, seconds, backingId } = adopted
    return {
      tree,
      path,
      backing: backingId ?? null,
      files,
      bytes,
      blocks: blockCount,
      newBlocks,
      newBytes,
      uncaptured,
      seconds,
    }
  }
}

/** Cut otherwise than the newest snapshot, the same bytes would make other blocks. Undefined when it is not here yet. */
async function chunkerOf(services: Services, tree: string): Promise<ChunkerParams | undefined> {
  const head = services.ledger.state().trees.get(tree)?.newest
  const bytes = head && (await services.blocks.get(head.snapshot))
  return head && bytes && decodeSnapshot(head.snapshot, bytes).chunker
}

export function runDropBackingJob(
  { blocks, onBlocksLost }: Services,
  { id, copy: isCopying }: JobBody<'drop-backing'>,
) {
  return async ({ signal, report }: JobControl): Promise<DropBackingAnswer> => {
    const backing = findBacking(blocks.backings.list(), id)
    report({ phase: isCopying ? 'copy' : 'forget', bytes: 0 })
    const { moved, forgotten, lost } = await blocks.backings.evacuate(
      backing.id,
      async (cids) => cids.map(() => isCopying),
      signal,
    )
    if (forgotten.blocks + lost.blocks > 0) onBlocksLost()
    return { id, copied: moved, forgotten, lost }
  }
}

export function findBacking(backings: readonly Backing[], id: number): Backing {
  const backing = backings.find((each) => each.id === id)
  if (backing !== undefined) return backing
  throw new MirrorError('not-found', `there is no backing ${id}`, { hint: 'See: mirrormesh store backings' })
}
