/**
 * Runs a node's hooks as its trees become complete, fail or fall behind. One after the other, in order; one that fails is
 * tried twice more. `complete` is told at least once for each snapshot: what was told is noted when the hooks have run, so a
 * node that is killed in between tells it again.
 */
import type { Clock } from '../../src/base/clock.ts'
import { sleep } from '../../src/base/clock.ts'
import { asMirrorError } from '../../src/base/errors.ts'
import { matchesTree } from '../../src/base/names.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'
import type { KeyValue } from '../../src/store/index/key-value.ts'
import type { Log } from '../log.ts'
import type { HookEvent } from './hook-events.ts'
import { createHookEvents } from './hook-events.ts'
import { type Hook, runHook } from './run-hook.ts'

export interface HookComponents {
  readonly clock: Clock
  readonly log: Log
  /** Of what was told. */
  readonly values: KeyValue
  readonly readStatus: () => StatusDocument
  readonly onStatusChange: (listener: () => void) => () => void
}

export interface HookOptions {
  readonly hooks: readonly Hook[]
  readonly behindMs: number
}

export interface Hooks {
  start(): Promise<void>
  /** Ends what runs. */
  stop(): Promise<void>
}

/** Beyond these the oldest is dropped, and the log says so. */
const MAX_WAITING = 1000
const RETRY_MS = [10_000, 60_000]
/** For what changes by time alone. */
const LOOK_MS = 30_000

export function createHooks(
  { clock, log, values, readStatus, onStatusChange }: HookComponents,
  { hooks, behindMs }: HookOptions,
): Hooks {
  const stopped = new AbortController()
  const waiting: HookEvent[] = []
  let unsubscribe: () => void = () => undefined
  let cancel: () => void = () => undefined
  let running: Promise<void> | undefined

  async function tell(event: HookEvent): Promise<void> {
    for (const hook of hooks) {
      if (hook.on.includes(event.event) && matchesTree(hook.tree, event.tree)) await attempt(hook, event)
    }
    if (event.event === 'complete') await values.put(event.tree, Buffer.from(String(event.sequence)))
  }

  async function attempt(hook: Hook, event: HookEvent): Promise<void> {
    const facts = {
      event: event.event,
      tree: event.tree,
      sequence: event.sequence,
      hook: hook.url ?? hook.command?.[0],
    }
    for (let tries = 0; ; tries++) {
      try {
        await runHook(hook, event, stopped.signal)
        log.info(facts, 'hook.done')
        return
      } catch (error) {
        if (stopped.signal.aborted) throw error
        log.warn({ ...facts, err: asMirrorError(error, 'run a hook'), tries: tries + 1 }, 'hook.failed')
        const pauseMs = RETRY_MS[tries]
        if (pauseMs === undefined) return
        await sleep(clock, pauseMs, stopped.signal)
      }
    }
  }

  async function run(): Promise<void> {
    for (let event = waiting.shift(); event !== undefined; event = waiting.shift()) {
      try {
        await tell(event)
      } catch (error) {
        if (stopped.signal.aborted) return
        log.warn({ tree: event.tree, err: asMirrorError(error, 'run hooks') }, 'hook.failed')
      }
    }
  }

  return {
    async start() {
      if (hooks.length === 0) return
      const told = new Map<string, number>()
      for await (const [tree, bytes] of values.entries())
        told.set(tree, Number(Buffer.from(bytes).toString()))
      const events = createHookEvents(told, behindMs)
      const look = (): void => {
        if (stopped.signal.aborted) return
        cancel()
        cancel = clock.after(LOOK_MS, look)
        waiting.push(...events.look(readStatus(), clock.monotonicMs()))
        const dropped = waiting.splice(0, Math.max(0, waiting.length - MAX_WAITING))
        if (dropped.length > 0) log.warn({ events: dropped.length }, 'hook.dropped')
        running ??= run().finally(() => {
          running = undefined
        })
      }
      unsubscribe = onStatusChange(look)
      look()
    },
    async stop() {
      stopped.abort()
      unsubscribe()
      cancel()
      await running
    },
  }
}
