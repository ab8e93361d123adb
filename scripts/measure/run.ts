/** Runs one command as a process of its own and tells what it cost, from the kernel's accounts of the finished child. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'

export interface Cost {
  readonly seconds: number
  /** The last line of stdout, parsed, when the command prints JSON. */
  readonly output: unknown
}

/** @throws Error with the command's stderr when it does not end with 0 */
export async function run(command: string, args: readonly string[]): Promise<Cost> {
  const startMs = performance.now()
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
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
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}:\n${stderr}`)
  const seconds = (performance.now() - startMs) / 1000
  const line = stdout.trim().split('\n').at(-1) ?? ''
  return { seconds, output: line.startsWith('{') ? JSON.parse(line) : undefined }
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
