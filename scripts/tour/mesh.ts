/** Runs the nodes of the tour: one process and one home folder each, driven only through the command line. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePort } from '../../test/free-port.ts'

const run = promisify(execFile)
const program = join(import.meta.dirname, '..', 'mirrormesh')

export interface Node {
  readonly site: string
  readonly region: string
  readonly home: string
  readonly listen: string
  readonly http: string
  readonly logFile: string
  daemon: ChildProcess | undefined
}

/** Runs one command of mirrormesh against `node`'s home and returns what it printed. */
export async function mirrormesh(node: Node, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await run(program, ['--home', node.home, ...args], { maxBuffer: 64 * 1024 * 1024 })
    return stdout
  } catch (error) {
    const { code, stderr = '' } = error as { code?: number | string; stderr?: string }
    throw new Error(`mirrormesh ${args.join(' ')} at ${node.site} ended with ${code}:\n${stderr.trim()}`)
  }
}

export async function mirrormeshJson<T>(node: Node, args: readonly string[]): Promise<T> {
  return JSON.parse(await mirrormesh(node, [...args, '--json'])) as T
}

export async function planNode(folder: string, site: string, region: string): Promise<Node> {
  const [listenPort, httpPort] = await Promise.all([freePort(), freePort()])
  return {
    site,
    region,
    home: join(folder, site),
    listen: `127.0.0.1:${listenPort}`,
    http: `127.0.0.1:${httpPort}`,
    logFile: join(folder, `${site}.log`),
    daemon: undefined,
  }
}

/** Starts the daemon and waits until it says that it is ready. */
export async function startDaemon(node: Node): Promise<void> {
  const log = openSync(node.logFile, 'a')
  const daemon = spawn(program, ['--home', node.home, 'daemon'], {
    stdio: ['ignore', log, log],
    detached: true,
  })
  closeSync(log)
  node.daemon = daemon
  let ended = false
  daemon.once('exit', () => {
    ended = true
  })
  const deadline = Date.now() + 30_000
  while (Date.now() < deadline && !ended) {
    const answer = await fetch(`http://${node.http}/readyz`).catch(() => undefined)
    await answer?.body?.cancel()
    if (answer?.ok) return
    await pause(100)
  }
  throw new Error(
    `the daemon of ${node.site} ${ended ? 'ended' : 'was not ready after 30 s'}; its log: ${node.logFile}`,
  )
}

/** Asks the daemon to end, and makes it end after ten seconds. */
export async function stopDaemon(node: Node): Promise<void> {
  const { daemon } = node
  if (daemon === undefined || daemon.exitCode !== null || daemon.signalCode !== null) return
  const ended = new Promise<void>((resolve) => daemon.once('exit', () => resolve()))
  daemon.kill('SIGTERM')
  const last = setTimeout(() => daemon.kill('SIGKILL'), 10_000)
  await ended
  clearTimeout(last)
}

export function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs))
}
