/** Programs that run at the sites of a lab, and what they cost the processor. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { MirrorError } from '../../../src/base/errors.ts'

/** Clock ticks of /proc: 100 a second on every Linux (USER_HZ). */
const TICKS_PER_SECOND = 100

/** Where programs can be run: a lab, or an emulator. */
export interface Sites {
  argumentsAt(site: string, command: readonly string[]): string[]
}

export interface Running {
  readonly site: string
  readonly pid: number
  readonly logFile: string
  /** Exit status; -1 when a signal ended it. */
  readonly exited: Promise<number>
  hasEnded(): boolean
  kill(signal: NodeJS.Signals): void
  /** Asks it to end, and makes it end after ten seconds. */
  stop(): Promise<void>
}

/** Output goes to `logFile`, added to its end. */
export function startAt(
  lab: Sites,
  site: string,
  command: readonly string[],
  { logFile, env = {} }: { readonly logFile: string; readonly env?: Readonly<Record<string, string>> },
): Running {
  const [program, ...words] = lab.argumentsAt(site, command)
  const log = openSync(logFile, 'a')
  const child: ChildProcess = spawn(program!, words, {
    stdio: ['ignore', log, log],
    env: { ...process.env, ...env },
  })
  closeSync(log)
  let ended = false
  const exited = new Promise<number>((resolve) => {
    const end = (status: number | null): void => {
      ended = true
      resolve(status ?? -1)
    }
    child.once('exit', end).once('error', () => end(127))
  })
  return {
    site,
    pid: child.pid ?? 0,
    logFile,
    exited,
    hasEnded: () => ended,
    kill(signal) {
      if (!ended) child.kill(signal)
    },
    async stop() {
      if (ended) return
      child.kill('SIGTERM')
      const last = setTimeout(() => child.kill('SIGKILL'), 10_000)
      await exited
      clearTimeout(last)
    },
  }
}

/** Runs a program at a site to its end. @returns what it printed @throws MirrorError `io` with its last words */
export async function runAt(lab: Sites, site: string, command: readonly string[]): Promise<string> {
  const [program, ...words] = lab.argumentsAt(site, command)
  const child = spawn(program!, words, { stdio: ['ignore', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-4096)
  })
  const status = await new Promise<number | null>((resolve, reject) =>
    child.once('error', reject).once('close', resolve),
  )
  if (status === 0) return stdout
  throw new MirrorError('io', `${command.join(' ')} at ${site} ended with ${status}: ${stderr.trim()}`)
}

/** Of a process, all its threads, and the children that it has waited for. 0 when it is gone. */
export function cpuSecondsOf(pid: number | 'self'): number {
  const [user = 0, system = 0, childUser = 0, childSystem = 0] = statOf(pid)
  return (user + system + childUser + childSystem) / TICKS_PER_SECOND
}

/** Of the children that this process has waited for. */
export function childCpuSeconds(): number {
  const [, , user = 0, system = 0] = statOf('self')
  return (user + system) / TICKS_PER_SECOND
}

/** utime, stime, cutime and cstime of proc(5). */
function statOf(pid: number | 'self'): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .slice(11, 15)
      .map(Number)
  } catch {
    return []
  }
}

/** Of all processors together, in ticks since the start of the machine. */
export function machineTicks(): { readonly busy: number; readonly all: number } {
  const fields = readFileSync('/proc/stat', 'utf8')
    .split('\n')[0]!
    .trim()
    .split(/\s+/)
    .slice(1, 9)
    .map(Number)
  const all = fields.reduce((sum, value) => sum + value, 0)
  return { busy: all - fields[3]! - fields[4]!, all }
}

export function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs))
}

/** Asks every `everyMs` until there is an answer. @throws MirrorError `timed-out` naming `what` */
export async function until<T>(
  what: string,
  { timeoutMs, everyMs }: { readonly timeoutMs: number; readonly everyMs: number },
  ask: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const answer = await ask()
    if (answer !== undefined) return answer
    if (performance.now() > deadline)
      throw new MirrorError('timed-out', `${what}: not within ${timeoutMs / 1000} s`)
    await pause(everyMs)
  }
}
