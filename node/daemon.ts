/**
 * The life of a daemon: composed, started, ready, and, when the signal fires, drained. What stops it from becoming ready
 * is thrown; what it was doing when it is told to stop is cancelled, and nothing that was reported as done is lost.
 */
import type { Writable } from 'node:stream'
import { setFlagsFromString } from 'node:v8'
import type { Clock } from '../src/base/clock.ts'
import { asMirrorError } from '../src/base/errors.ts'
import { composeNode } from './compose.ts'
import type { Config, Setting } from './config.ts'
import { createLog, type Log } from './log.ts'
import { notifySystemd } from './notify-systemd.ts'
import { type Paths, socketToBind } from './paths.ts'
import { readVersion } from './version.ts'

export interface DaemonComponents {
  readonly paths: Paths
  readonly config: Config
  readonly settings: readonly Setting[]
  readonly clock: Clock
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stderr: { readonly stream: Writable; readonly isTty: boolean }
}

export async function runDaemon(
  { paths, config, settings, clock, env, stderr }: DaemonComponents,
  { signal, onReady }: { signal: AbortSignal; onReady: (line: string) => Promise<void> },
): Promise<void> {
  boundGarbage()
  const log = createLog(config, stderr)
  watchForDefects(log)
  const version = readVersion()
  const startedMs = clock.monotonicMs()
  const elapsedMs = (sinceMs: number): number => Math.round(clock.monotonicMs() - sinceMs)
  log.info(
    { version, node: process.versions.node, pid: process.pid, store: paths.storeDir },
    'daemon.starting',
  )
  const socket = socketToBind(paths, { env, uid: process.getuid?.() ?? 0 })
  const node = await composeNode({ paths, config, settings, clock, log, version, socket })
  try {
    await node.start()
    const self = node.readSelf()
    const listen = self.addresses.join(',')
    log.info({ ...self, socket: socket.file, ms: elapsedMs(startedMs) }, 'daemon.ready')
    await onReady(
      `ready: site ${self.site}, region ${self.region}, mesh ${self.mesh.name}, peer ${self.peer}, listen ${listen || 'off'}, http ${self.http ?? 'off'}${self.api === null ? '' : `, api ${self.api}`}`,
    )
    await notifySystemd({ env, log }, 'READY=1')
    await firing(signal)
  } finally {
    const stoppingMs = clock.monotonicMs()
    log.info({}, 'daemon.stopping')
    await notifySystemd({ env, log }, 'STOPPING=1')
    const failure = await node.stop().then(
      () => undefined,
      (error: unknown) => asMirrorError(causeOf(error), 'stop the daemon'),
    )
    // Every part was told, and what was reported as done was on disk before: who asked for the end has it.
    if (failure !== undefined) log.error({ err: failure }, 'daemon.stop-failed')
    log.info({ ms: elapsedMs(stoppingMs) }, 'daemon.stopped')
  }
}

/**
 * V8 lets a heap of 60 MB grow to four times that before it looks for garbage: under a thousand clients that was half of what
 * serving them took (docs/decisions/0017-serving-small-files.md).
 */
function boundGarbage(): void {
  setFlagsFromString('--heap-growing-percent=60')
}

/** Of parts that failed one after the other the first. */
function causeOf(error: unknown): unknown {
  return error instanceof SuppressedError ? causeOf(error.suppressed) : error
}

function firing(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

/** Whatever nobody caught leaves the program in a state that nobody thought of: better to end and be started again. */
function watchForDefects(log: Log): void {
  const onDefect = (error: unknown): void => {
    log.fatal({ err: error instanceof Error ? error : new Error(String(error)) }, 'daemon.defect')
    process.exit(1)
  }
  process.on('uncaughtException', onDefect)
  process.on('unhandledRejection', onDefect)
}
