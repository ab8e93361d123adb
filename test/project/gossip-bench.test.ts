/** The bench of gossip on a mesh so small that its figures mean nothing; and that the script of faults knows its cases. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import type { GossipFigures } from '../../scripts/measure/gossip.ts'
import { skipWithout } from '../needs.ts'

const run = promisify(execFile)
const scripts = resolve(import.meta.dirname, '../../scripts')

test('the bench of gossip times heads and weighs an idle mesh of real nodes', {
  skip: skipWithout('ip', 'unshare'),
  timeout: 300_000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'gossip-bench-test-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const small = ['--sites', '3', '--heads', '2', '--settle', '1', '--idle', '2', '--json']
  const { stdout } = await run(join(scripts, 'bench'), ['gossip', ...small], {
    env: { ...process.env, TMPDIR: folder },
  })
  const [figures] = (JSON.parse(stdout) as { runs: GossipFigures[] }).runs
  assert.deepEqual([figures!.sites, figures!.processes, figures!.heads], [3, 2, 2])
  assert.ok(figures!.headMs.p50 >= 0 && figures!.headMs.p50 <= figures!.headMs.max)
  // Each site says how it is every 10 s: two seconds may be silent, and are when nobody repeats what all know.
  assert.ok(figures!.idle.bytesPerSecondPerSite >= 0 && figures!.idle.bytesPerSecondPerSite < 10_000)
  assert.ok(figures!.memoryMBPerSite > 1)
  assert.deepEqual(readdirSync(folder), [])
})

test('the script of faults lists its cases, and refuses one that there is not', async () => {
  const { stdout } = await run(join(scripts, 'run-faults'), ['--help'])
  assert.match(stdout, /^ {2}owner-killed .*^ {2}region-cut /ms)
  await assert.rejects(run(join(scripts, 'run-faults'), ['--only', 'earthquake']), {
    code: 2,
    stderr: /there is no case "earthquake"/,
  })
})
