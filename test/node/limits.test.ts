import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadConfig } from '../../node/config.ts'
import { loadLimits } from '../../node/limits.ts'
import type { RateCaps } from '../../src/replica/fetch/rate-caps.ts'
import { tempDir } from './temp-dir.ts'

test('limits that are set go before the config, over a restart, until they are taken back', async (t) => {
  const dir = await tempDir(t)
  const file = join(dir, 'limits.json')
  const sources = { file: join(dir, 'none'), env: {}, flags: { wanUpBytesPerSecond: 5000 } }
  const config = await loadConfig(sources)
  const told: RateCaps[] = []
  const load = () => loadLimits({ file, config, onChange: (caps) => told.push(caps) })
  const limits = await load()
  assert.deepEqual(limits.caps(), { wan: { up: 5000, down: 0 }, region: { up: 0, down: 0 } })
  await limits.change({ wanUpBytesPerSecond: 0, regionDownBytesPerSecond: 70 })
  const expected = { wan: { up: 0, down: 0 }, region: { up: 0, down: 70 } }
  assert.deepEqual(told, [expected])
  const again = await load()
  assert.deepEqual(again.caps(), expected)
  assert.deepEqual(again.read().wanUpBytesPerSecond, { value: 0, from: 'set', configured: 5000 })
  await again.change({ wanUpBytesPerSecond: null, regionDownBytesPerSecond: null })
  assert.deepEqual(again.read().wanUpBytesPerSecond, { value: 5000, from: 'config', configured: 5000 })
  assert.deepEqual((await load()).caps(), { wan: { up: 5000, down: 0 }, region: { up: 0, down: 0 } })
  await writeFile(file, '{"wanUpBytesPerSecond":-1}')
  await assert.rejects(load(), { code: 'corrupt' })
})
