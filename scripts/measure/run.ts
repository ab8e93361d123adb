/** Runs one command as a process of its own and tells what it cost, from the kernel's accounts of the finished child. */
import { spawn } from 'node:child_process'
import { accessSync, constants, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { onSignal, removedOnSignal } from '../on-signal.ts'

export interface Cost {
  readonly seconds: number
  /** Of the processor, user and system, of the command and all processes that it waited for. */
  readonly cpuSeconds: number
  /** Of the largest of these processes. */
  readonly peakMB: number
  /** Given to file systems on disks, as the kernel counts pages that became dirty. */
  readonly writtenMB: number
  /** The end of it, 64 KiB at most. */
  readonly stdout: string
  /** The last line of stdout, parsed, when the command prints JSON. */
  readonly output: unknown
}

/**
 * Under GNU time, which waits for the command with wait4: Node tells nothing of what its children used.
 * @throws Error with the command's stderr when it does not end with 0
 */
export async function run(command: string, args: readonly string[]): Promise<Cost> {
  const notes = mkdtempSync(join(tmpdir(), 'mirrormesh-cost-'))
  using _removed = removedOnSignal(notes)
  const file = join(notes, 'cost')
  try {
    const startMs = performance.now()
    const child = spawn('/usr/bin/time', ['-q', '-f', '%U %S %M %O', '-o', file, command, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own, with what `time` starts: what is left running would keep folders and mounts busy.
      detached: true,
    })
    using _killed = onSignal(async () => {
      const closed = new Promise((resolve) => child.once('close', resolve))
      process.kill(-child.pid!, 'SIGKILL')
      await closed
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout = (stdout + text).slice(-65_536)
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-65_536)
    })
    const status = await new Promise<number | null>((resolve, reject) =>
      child.once('error', reject).once('close', resolve),
    )
    const seconds = (performance.now() - startMs) / 1000
    if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}:\n${stderr}`)
    const [user, system, peakKiB, writes] = readFileSync(file, 'utf8').trim().split(' ').map(Number)
    const line = stdout.trim().split('\n').at(-1) ?? ''
    return {
      seconds,
      cpuSeconds: user! + system!,
      peakMB: peakKiB! / 1024,
      writtenMB: (writes! * 512) / 1e6,
      stdout,
      output: line.startsWith('{') ? JSON.parse(line) : undefined,
    }
  } finally {
    rmSync(notes, { recursive: true, force: true })
  }
}

export function hasProgram(name: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** What the figures were taken on. */
export function machine(): Record<string, string | number> {
  const cpu = /model name\s*:\s*(.+)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown'
  return {
    cpu,
    cores: navigator.hardwareConcurrency,
    node: process.version,
    kernel: readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim(),
  }
}

/** The kind of file system that `path` is on, as `mount` names it. */
export function fileSystemOf(path: string): string {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, at]) => at === '/' || path === at || path.startsWith(`${at}/`))
    .sort(([, a], [, b]) => b!.length - a!.length)
  return mounts[0]?.[2] ?? 'an unknown file system'
}

export function shell(script: string, ...args: readonly string[]): Promise<Cost> {
  return run('sh', ['-c', script, 'sh', ...args])
}
