/** One command of mirrormesh against a node that may be killed at any moment, and what its exit status means then. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import type { Node } from '../tour/mesh.ts'

const program = join(import.meta.dirname, '..', 'mirrormesh')

export interface Outcome {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

export function command(node: Node, args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ['--home', node.home, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    const text = { stdout: '', stderr: '' }
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text.stdout += chunk
    })
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      text.stderr += chunk
    })
    child.once('error', reject)
    child.once('close', (status) => resolve({ status, ...text }))
  })
}

/** Not complete here, no such thing (yet), gone with its daemon, in the way of another: all of this is to be expected. */
const EXPECTED = new Set([0, 4, 5, 7, 8])

/** @throws Error for an outcome that nothing excuses */
export function checkExpected(
  node: Node,
  args: readonly string[],
  { status, stdout, stderr }: Outcome,
): void {
  if (status !== null && EXPECTED.has(status)) return
  // Cut off by a kill in the middle of its answer.
  if (/the daemon (stopped|went away|closed)|socket hang up|ECONNRESET/.test(stderr)) return
  throw new Error(
    `mirrormesh ${args.join(' ')} at ${node.site} ended with ${status}:\n${stdout.slice(-2000)}${stderr}`,
  )
}
