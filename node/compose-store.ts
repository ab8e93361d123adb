/** The part of the composition (compose.ts) that lies on the disk: the store, what watches its damage, and scratch files. */
import type { Clock } from '../src/base/clock.ts'
import { createDamageWatch, type DamageWatch } from '../src/replica/retain/damage-watch.ts'
import { openStore, type Store } from '../src/store/store.ts'
import { createCheckoutStorage } from '../src/tree/checkout/checkout-storage.ts'
import { createFileScratch } from '../src/tree/spool/file-scratch.ts'
import type { Config } from './config.ts'
import { makePrivateDir } from './durable-file.ts'
import type { Log } from './log.ts'
import type { Paths } from './paths.ts'

export interface ComposedStore {
  readonly store: Store
  readonly damageWatch: DamageWatch
  readonly scratch: ReturnType<typeof createFileScratch>
}

/** What is opened is deferred to `parts`, which ends it. */
export async function composeStore(
  {
    paths,
    config,
    clock,
    log,
    parts,
  }: {
    readonly paths: Paths
    readonly config: Config
    readonly clock: Clock
    readonly log: Log
    readonly parts: AsyncDisposableStack
  },
  /** Asked for bytes before anything is refused for want of space. Answers with how many went. */
  makeRoom: (sizeBytes: number) => number,
): Promise<ComposedStore> {
  const damageWatch = createDamageWatch({ clock, logger: log })
  const store = await openStore(
    {
      dir: paths.storeDir,
      clock,
      log: (event, facts) => log.info(facts, event),
      onCorrupt(damage) {
        log.error({ damage }, 'store.block-damaged')
        damageWatch.found()
      },
    },
    { compression: config.storeCompression, makeRoom },
  )
  parts.defer(() => store.close())
  parts.defer(() => damageWatch.stop())
  // Before anything is read: what is not where it should be counts as lost.
  await createCheckoutStorage({ blocks: store.blocks }).find()
  await makePrivateDir(paths.tempDir)
  return { store, damageWatch, scratch: createFileScratch(paths.tempDir) }
}
