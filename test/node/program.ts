/** Runs the program as users do: a process of its own, driven by its arguments, judged by what it prints. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { createApiClient } from '../../node/cli/api-client.ts'
import { choosePaths, socketToDial } from '../../node/paths.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'

export { freePort } from '../free-port.ts'

const MAIN = join(import.meta.dirname, '../../node/main.ts')

export interface Outcome {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

function launch(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  main: string = MAIN,
): ChildProcess {
  return spawn(process.execPath, ['--disable-warning=ExperimentalWarning', main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
}

function gather(child: ChildProcess): { stdout: () => string; stderr: () => string } {
  const text = { stdout: '', stderr: '' }
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    text.stdout += chunk
  })
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    text.stderr += chunk
  })
  return { stdout: () => text.stdout, stderr: () => text.stderr }
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly onStart?: (child: ChildProcess) => void
  /** The program, where it is another version. */
  readonly main?: string
}

export async function mirrormesh(
  args: readonly string[],
  { env = {}, onStart, main }: RunOptions = {},
): Promise<Outcome> {
  const child = launch(args, env, main)
  const text = gather(child)
  onStart?.(child)
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  return { status, stdout: text.stdout(), stderr: text.stderr() }
}

/** As `mirrormesh`, for what must succeed. */
export async function succeed(args: readonly string[], options: RunOptions = {}): Promise<string> {
  const outcome = await mirrormesh(args, options)
  assert.equal(outcome.status, 0, `mirrormesh ${args.join(' ')}\n${outcome.stdout}${outcome.stderr}`)
  return outcome.stdout
}

export async function succeedJson<T>(args: readonly string[]): Promise<T> {
  return JSON.parse(await succeed([...args, '--json'])) as T
}

export interface Daemon {
  readonly pid: number
  readonly home: string
  readonly stderr: () => string
  readonly status: () => Promise<StatusDocument>
  /** Asks its API on the Unix socket. */
  readonly get: <T>(path: string) => Promise<T>
  /** SIGTERM; resolves to the exit status. */
  stop(): Promise<number | null>
  /** SIGKILL. */
  kill(): Promise<void>
}

const READY_TIMEOUT_MS = 90_000

/** Resolves when the daemon says that it is ready. It is killed at the end of the test. */
export async function startDaemon(
  t: TestContext,
  home: string,
  env: Readonly<Record<string, string>> = {},
  main?: string,
): Promise<Daemon> {
  const child = launch(['--home', home, 'daemon'], env, main)
  const text = gather(child)
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve))
  const kill = async (signal: NodeJS.Signals): Promise<number | null> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal)
    return closed
  }
  t.after(() => kill('SIGKILL'))
  await new Promise<void>((resolve, reject) => {
    const fail = (why: string): void =>
      reject(new Error(`the daemon of ${home} ${why}:\n${text.stdout()}${text.stderr()}`))
    const timer = setTimeout(() => fail('is not ready'), READY_TIMEOUT_MS)
    const look = (): void => {
      if (!text.stdout().startsWith('ready: ')) return
      clearTimeout(timer)
      resolve()
    }
    child.stdout?.on('data', look)
    void closed.then(() => {
      clearTimeout(timer)
      fail('ended')
    })
  })
  const api = createApiClient({ paths: choosePaths({ home, env: {}, uid: 0 }), self: 'mirrormesh' })
  return {
    pid: child.pid!,
    home,
    stderr: text.stderr,
    status: () => api.get<StatusDocument>('/api/v1/status'),
    get: (path) => api.get(path),
    stop: () => kill('SIGTERM'),
    async kill() {
      await kill('SIGKILL')
    },
  }
}

/** Where the daemon of a home answers, once it runs: elsewhere when the home is too deep for a socket. */
export function socketOf(home: string): string {
  return socketToDial(choosePaths({ home, env: {}, uid: 0 }))
}

/**
 * Asks again and again, for as long as a test may wait: half of the time at most, for an answer may cost a program's start, and
 * ever more seldom, for daemons that are waited for share the processors with whoever asks them.
 */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined | false>,
  timeoutMs = 60_000,
): Promise<T> {
  const startedMs = performance.now()
  for (;;) {
    const askedMs = performance.now()
    const answer = await ask()
    if (answer !== undefined && answer !== false) return answer
    const nowMs = performance.now()
    if (nowMs > startedMs + timeoutMs) throw new Error(`${what}: not within ${timeoutMs} ms`)
    const waitMs = Math.max(20, nowMs - askedMs, Math.min(200, (nowMs - startedMs) / 10))
    await new Promise((resolve) => setTimeout(resolve, waitMs))
  }
}
