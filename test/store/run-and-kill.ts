/** Runs a program that writes to a store, and kills it with SIGKILL at a moment that the test draws. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'

/** Killed after so many of its lines, at a moment within the next. What it said, whole lines only. */
export async function runAndKill(
  words: readonly string[],
  { afterLines, spinMs }: { readonly afterLines: number; readonly spinMs: number },
): Promise<string[]> {
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  let errors = ''
  const ended = new Promise<NodeJS.Signals | null>((resolve) =>
    child.once('close', (_, signal) => resolve(signal)),
  )
  child.stderr.on('data', (chunk) => {
    errors += String(chunk)
  })
  child.stdout.on('data', (chunk) => {
    output += String(chunk)
    if (output.split('\n').length <= afterLines + 1) return
    // A wait shorter than a timer's grain: the kill falls between any two steps of the writer.
    for (const end = performance.now() + spinMs; performance.now() < end; );
    child.kill('SIGKILL')
  })
  assert.equal(await ended, 'SIGKILL', errors)
  return output.split('\n').slice(0, -1)
}
