/**
 * The text of /metrics, made at most so often: it is for everybody who reaches the port, and in a large mesh it takes the thread that
 * moves the bytes for tens of milliseconds. By the number of replicas and not by the clock of one reading, so that a small mesh
 * is shown as it is.
 */
import type { Clock } from '../../src/base/clock.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'

/** A hundred thousand replicas: two seconds. */
const REPLICAS_A_MS = 50

export interface KeptScrape {
  /** The status as of the reading that is under way. */
  readStatus(): StatusDocument
  text(): Promise<string>
}

export function createKeptScrape(
  readStatus: () => StatusDocument,
  { render, clock }: { readonly render: () => Promise<string>; readonly clock: Pick<Clock, 'monotonicMs'> },
): KeptScrape {
  let status: StatusDocument | undefined
  let kept: { readonly text: Promise<string>; readonly untilMs: number } | undefined

  /** A reading asks many times over. */
  function readOnce(): StatusDocument {
    if (status !== undefined) return status
    setImmediate(() => {
      status = undefined
    })
    status = readStatus()
    return status
  }

  return {
    readStatus: readOnce,
    async text() {
      const nowMs = clock.monotonicMs()
      if (kept === undefined || nowMs >= kept.untilMs) {
        const replicas = readOnce().trees.reduce((sum, { sites }) => sum + sites.length, 0)
        kept = { text: render(), untilMs: nowMs + Math.floor(replicas / REPLICAS_A_MS) }
      }
      const { text } = kept
      try {
        return await text
      } catch (error) {
        if (kept?.text === text) kept = undefined
        throw error
      }
    },
  }
}
