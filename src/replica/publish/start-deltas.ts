/** Starts the deltas of a new snapshot against that of the head before it, where that is complete here. */
import { asMirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import type { Head } from '../../record/mesh-state.ts'
import type { DeltaMode } from '../deltas/delta-mode.ts'
import type { DeltaPublisher } from '../deltas/delta-publisher.ts'
import type { DeltaRequest, DeltaWork } from '../deltas/delta-work.ts'
import type { ReplicaLog } from '../fetch-network.ts'

/** Undefined: none are made. A snapshot without deltas is better than none, so nothing is thrown. */
export async function startDeltas(
  { deltas, logger }: { readonly deltas?: DeltaPublisher; readonly logger: ReplicaLog },
  {
    tree,
    snapshot,
    before,
    mode,
    onProgress,
  }: {
    readonly tree: string
    readonly snapshot: Cid
    readonly before: Head | undefined
    readonly mode: DeltaMode
    readonly onProgress?: DeltaRequest['onProgress']
  },
): Promise<DeltaWork | undefined> {
  if (mode === 'off' || before === undefined) return undefined
  try {
    return await deltas?.start({
      ...{ tree, snapshot, base: before.snapshot, baseSequence: before.sequence, mode },
      ...(onProgress === undefined ? {} : { onProgress }),
    })
  } catch (error) {
    logger.warn({ tree, err: asMirrorError(error, 'look for deltas') }, 'deltas.failed')
    return undefined
  }
}
