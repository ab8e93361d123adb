/**
 * Tells systemd about readiness (Type=notify, NotifyAccess=all), when it started us. Node has no datagram sockets in the
 * Unix domain, so systemd's own program sends the message; without systemd this does nothing.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Log } from './log.ts'

export async function notifySystemd(
  { env, log }: { env: Readonly<Record<string, string | undefined>>; log: Log },
  state: 'READY=1' | 'STOPPING=1',
): Promise<void> {
  if (env.NOTIFY_SOCKET === undefined) return
  try {
    await promisify(execFile)('systemd-notify', [`--pid=${process.pid}`, state], {
      env: { ...process.env, NOTIFY_SOCKET: env.NOTIFY_SOCKET },
      timeout: 5000,
    })
  } catch (error) {
    log.warn({ err: error, state }, 'daemon.systemd-notify-failed')
  }
}
