/** What is done to keep the store small and sound, as monitors are told. */
import type { Collector } from '../src/replica/retain/collector.ts'
import type { Scrubber } from '../src/replica/retain/scrubber.ts'
import type { Store } from '../src/store/store.ts'
import type { StoreCare } from './gateway/metrics.ts'

export function careOf({
  collector,
  scrubber,
  store,
}: {
  readonly collector: Pick<Collector, 'status'>
  readonly scrubber: Pick<Scrubber, 'status'>
  readonly store: Pick<Store, 'stats'>
}): StoreCare {
  const collected = collector.status()
  const scrubbed = scrubber.status()
  const { blocks, packBytes } = store.stats()
  return {
    blocks,
    packBytes,
    collections: collected.runs,
    collectedBytes: collected.deadBytes,
    freedBytes: collected.freedBytes,
    lastCollectionMs: collected.lastRunMs,
    scrubbedBytes: scrubbed.bytes,
    damagedBlocks: scrubbed.damagedBlocks,
    lastScrubMs: scrubbed.lastEndMs,
  }
}
