import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

test('a stopped host ends what is open and keeps no process alive', async () => {
  const fixture = join(import.meta.dirname, 'stop-fixture.ts')
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [fixture], { timeout: 20_000 })
  assert.deepEqual(stdout.trim().split('\n').sort(), ['request ended', 'stopped', 'watch ended'])
  assert.equal(stderr, '')
})
