/**
 * What follows when a damaged copy was found on disk: every snapshot that counts as complete here is looked at again,
 * and the ones that lack a block are complete no longer. Those that this site keeps are then fetched again, which heals
 * them; the others are not offered to anybody. One look at a time, some time after the first of several finds.
 */
import type { Clock } from '../../base/clock.ts'
import { asMirrorError } from '../../base/errors.ts'
import type { BlockReader } from '../../store/block-store.ts'
import type { ReplicaLog } from '../fetch-network.ts'
import type { CompleteSnapshots } from '../holdings/complete-snapshots.ts'
import { findMissing } from '../holdings/index-check.ts'

export interface DamageWatch {
  /** A damaged copy was found and forgotten, or is about to be. */
  found(): void
  /** From here on finds are followed up, also those from before. */
  start(components: {
    readonly complete: Pick<CompleteSnapshots, 'list' | 'revoke'>
    readonly blocks: BlockReader
    /** Some snapshot is complete no longer. */
    readonly onRevoked: () => void
  }): void
  /** Resolves when nothing is looked at any more. */
  stop(): Promise<void>
}

/** Damage comes in runs: a bad sector, a pack that was cut. */
const GATHER_MS = 500

export function createDamageWatch({
  clock,
  logger,
}: {
  readonly clock: Clock
  readonly logger: ReplicaLog
}): DamageWatch {
  const stopped = new AbortController()
  let components: Parameters<DamageWatch['start']>[0] | undefined
  let isDue = false
  let cancel: (() => void) | undefined
  let looking: Promise<void> | undefined

  function lookSoon(): void {
    if (!isDue || components === undefined || looking !== undefined || stopped.signal.aborted) return
    const { complete, blocks, onRevoked } = components
    cancel ??= clock.after(GATHER_MS, () => {
      cancel = undefined
      isDue = false
      looking = look(complete, blocks, onRevoked).finally(() => {
        looking = undefined
        lookSoon()
      })
    })
  }

  async function look(
    complete: Pick<CompleteSnapshots, 'list' | 'revoke'>,
    blocks: BlockReader,
    onRevoked: () => void,
  ): Promise<void> {
    let isAnyRevoked = false
    for (const { tree, snapshot, view } of complete.list()) {
      if (stopped.signal.aborted) return
      try {
        const missing = await findMissing(blocks, snapshot, stopped.signal, view?.cid)
        if (missing === undefined) continue
        // Dropped by a collection while this looked: that is no damage.
        if (!complete.list().some((each) => each.tree === tree && each.snapshot.equals(snapshot))) continue
        await complete.revoke(tree, snapshot)
        isAnyRevoked = true
        const facts = { tree, snapshot: snapshot.toString(), missing: missing.toString() }
        logger.warn(facts, 'replica.damaged')
      } catch (error) {
        if (stopped.signal.aborted) return
        logger.warn({ tree, err: asMirrorError(error, `look for damage in ${tree}`) }, 'replica.check-failed')
      }
    }
    if (isAnyRevoked) onRevoked()
  }

  return {
    found() {
      isDue = true
      lookSoon()
    },
    start(given) {
      components = given
      lookSoon()
    },
    async stop() {
      stopped.abort()
      cancel?.()
      await looking
    },
  }
}
