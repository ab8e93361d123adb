import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import module from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { threadEnvironment } from '../../src/base/thread-environment.ts'

test('a thread has the compile cache that this one was given by a call', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'mirrormesh-thread-environment-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  // Where the environment names one already, that one stays.
  module.enableCompileCache(folder)
  const cache = module.getCompileCacheDir()
  assert.ok(cache !== undefined)
  const ask = `require('node:worker_threads').parentPort.postMessage(require('node:module').getCompileCacheDir())`
  const worker = new Worker(ask, { eval: true, env: threadEnvironment() })
  const [found] = await once(worker, 'message')
  assert.equal(found, cache)
  await once(worker, 'exit')
})
