/**
 * A fetch's part in the deltas of its snapshot: where this node holds a base it makes blocks of them (delta-feed.ts); where it
 * does not, it leaves to the neighbours that do what comes of them there (delta-wait.ts).
 */
import { createDeltaFeed, type DeltaFeed, type DeltaFeedOptions } from './delta-feed.ts'
import type { DeltaComponents } from './delta-session.ts'
import { createDeltaWait } from './delta-wait.ts'

export function createDeltaPart(components: DeltaComponents, options: DeltaFeedOptions): DeltaFeed {
  const feed = createDeltaFeed(components, options)
  const wait = createDeltaWait(components, options)
  return {
    ...feed,
    start(fetch) {
      feed.start(fetch)
      wait.start(fetch)
    },
    takePage(page, first, blocks, has) {
      const { withheld } = feed.takePage(page, first, blocks, has)
      const missing = new Set([...has.keys()].filter((offset) => has[offset] !== true))
      for (const offset of withheld) missing.delete(offset)
      return { withheld, withheldFromFar: wait.takePage(page, first, missing) }
    },
    takePlain(page, offset) {
      wait.took(page, offset)
      return feed.takePlain(page, offset)
    },
    dropPage(page) {
      feed.dropPage(page)
      wait.dropPage(page)
    },
    nearIsComplete() {
      feed.nearIsComplete()
      // All of it is taken from there.
      wait.close()
    },
    close() {
      feed.close()
      wait.close()
    },
  }
}
