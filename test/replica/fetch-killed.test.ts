import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { tempDir } from '../store/temp-dir.ts'

interface Line {
  readonly heldBlocks: number
  readonly blocks: number
  readonly fetchedBlocks?: number
}

/** Runs the process until it ends, or kills it once it holds `killAt` blocks. Returns the last line it printed. */
async function run(dir: string, killAt = Number.POSITIVE_INFINITY): Promise<Line> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'fetching-process.ts'), dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let last: Line | undefined
  for await (const text of createInterface({ input: child.stdout })) {
    last = JSON.parse(text) as Line
    if (last.heldBlocks >= killAt) {
      child.kill('SIGKILL')
      break
    }
  }
  if (child.exitCode === null && child.signalCode === null)
    await new Promise((resolve) => child.once('exit', resolve))
  return last!
}

test('kill -9 in mid-fetch: the next start asks for nothing that was stored', async (t) => {
  const dir = tempDir(t)
  const first = await run(dir, 900)
  assert.ok(
    first.fetchedBlocks === undefined && first.heldBlocks < first.blocks,
    'it was killed in mid-fetch',
  )
  const second = await run(dir, 2200)
  assert.ok(second.fetchedBlocks === undefined && second.heldBlocks < second.blocks)
  const third = await run(dir)
  assert.equal(third.heldBlocks, third.blocks)
  assert.ok(third.fetchedBlocks! <= third.blocks - 2200, `${third.fetchedBlocks} of ${third.blocks}`)
})
