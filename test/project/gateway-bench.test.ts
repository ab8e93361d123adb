/** The bench of the gateway with sizes so small that its figures mean nothing. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import type { GatewayDocument } from '../../scripts/measure/gateway.ts'
import { skipWithout } from '../needs.ts'

const run = promisify(execFile)
const bench = resolve(import.meta.dirname, '../../scripts/bench')

test('the bench of the gateway loads it and nginx alike', {
  skip: skipWithout('nginx', 'wrk'),
  timeout: 300_000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'gateway-bench-test-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const small = ['--seconds', '1', '--rounds', '1', '--large-mb', '1', '--small', '5', '--connections', '20']
  const { stdout } = await run(bench, ['gateway', ...small, '--dir', folder, '--json'])
  const { parts } = JSON.parse(stdout) as GatewayDocument
  assert.deepEqual(Object.keys(parts), [
    'one large file',
    'small files',
    'small files under load',
    '20 connections',
  ])
  for (const [part, servers] of Object.entries(parts)) {
    for (const name of ['mirrormesh', 'nginx']) {
      const { requestsPerSecond, MBPerSecond, peakMB } = servers[name]!
      assert.ok(requestsPerSecond > 0 && MBPerSecond > 0 && peakMB > 1, `${part}, ${name}`)
    }
  }
  assert.deepEqual(readdirSync(folder), [])
})
