/** Follows the log of a daemon: the first event of each name, with the time that the daemon noted. */
import { closeSync, openSync, readSync, statSync } from 'node:fs'

export interface LogEvent {
  readonly event: string
  readonly time: string
  readonly path?: string
}

export interface DaemonLog {
  /** Reads what has come since the last time. */
  look(): void
  first(event: string): LogEvent | undefined
}

/** @param isFromNow what the log says already does not count */
export function followLog(file: string, isFromNow = false): DaemonLog {
  const found = new Map<string, LogEvent>()
  const buffer = Buffer.allocUnsafe(64 * 1024)
  let position = isFromNow ? statSync(file).size : 0
  let rest = ''
  return {
    look() {
      const log = openSync(file, 'r')
      try {
        for (;;) {
          const count = readSync(log, buffer, 0, buffer.length, position)
          if (count === 0) return
          position += count
          const lines = (rest + buffer.toString('utf8', 0, count)).split('\n')
          rest = lines.pop() ?? ''
          for (const line of lines) {
            // What the runtime itself says is no event.
            if (!line.startsWith('{')) continue
            const event = JSON.parse(line) as LogEvent
            if (!found.has(event.event)) found.set(event.event, event)
          }
        }
      } finally {
        closeSync(log)
      }
    },
    first: (event) => found.get(event),
  }
}
