/**
 * Work that nobody waits for: kept count of, reported when it fails, and waited for at the end. So no promise floats,
 * and nothing of an agent runs on after its stop.
 */
import { asMirrorError } from '../../base/errors.ts'
import type { ReplicaLog } from '../fetch-network.ts'

export interface Background {
  readonly signal: AbortSignal
  /** @param what is part of the log line when it fails; an abort is no failure */
  run(what: string, task: (signal: AbortSignal) => Promise<unknown>): void
  /** Ends what runs, and resolves when all of it has ended. */
  stop(reason: Error): Promise<void>
}

export function createBackground(logger: ReplicaLog): Background {
  const controller = new AbortController()
  const running = new Set<Promise<void>>()
  return {
    signal: controller.signal,
    run(what, task) {
      if (controller.signal.aborted) return
      const work = (async () => {
        try {
          await task(controller.signal)
        } catch (error) {
          const err = asMirrorError(error, what)
          if (err.code !== 'aborted' && !controller.signal.aborted)
            logger.warn({ what, err }, 'agent.task-failed')
        }
      })()
      running.add(work)
      void work.finally(() => running.delete(work))
    },
    async stop(reason) {
      controller.abort(reason)
      await Promise.all(running)
    },
  }
}
