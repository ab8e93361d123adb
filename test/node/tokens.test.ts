import assert from 'node:assert/strict'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { opensTree, openTokens, type TokenUse } from '../../node/tokens.ts'
import { isMirrorError } from '../../src/base/errors.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { tempDir } from './temp-dir.ts'

const HOUR_MS = 3_600_000
const logs: TokenUse = { kind: 'gateway', trees: ['logs/*', 'secret/**'] }

test('a token counts until it expires or is revoked, after a restart too', async (t) => {
  const file = join(await tempDir(t), 'keys', 'tokens.json')
  const clock = new VirtualClock()
  const expiresMs = clock.nowMs() + HOUR_MS
  const first = await openTokens({ file, clock })
  assert.deepEqual(first.list(), [])
  const one = await first.create({ use: logs, label: 'lab', expiresMs })
  const two = await first.create({ use: { kind: 'api', scope: 'read' }, label: '', expiresMs })
  assert.deepEqual(first.check(one.token), one.info)
  await first.revoke(two.info.id.slice(0, 8))
  assert.equal(first.check(two.token), undefined)
  const again = await openTokens({ file, clock })
  assert.deepEqual(again.list(), [one.info])
  assert.deepEqual(again.check(one.token), one.info)
  assert.equal(again.check(two.token), undefined)
  clock.advanceTo(clock.nowMs() + HOUR_MS)
  assert.equal(again.check(one.token), undefined)
  assert.equal(again.list().length, 1, 'it is still shown')
  clock.advanceTo(clock.nowMs() + 31 * 24 * HOUR_MS)
  await again.create({ use: logs, label: '', expiresMs: clock.nowMs() + 1 })
  assert.equal(again.list().length, 1, 'the old one is forgotten')
})

test('the file holds no token, and is for its owner alone', async (t) => {
  const file = join(await tempDir(t), 'tokens.json')
  const tokens = await openTokens({ file, clock: new VirtualClock() })
  const { token } = await tokens.create({ use: logs, label: '', expiresMs: Number.MAX_SAFE_INTEGER })
  const text = await readFile(file, 'utf8')
  assert.equal(text.includes(token), false)
  assert.equal(text.includes(token.split('_')[2]!), false)
  assert.equal((await stat(file)).mode & 0o777, 0o600)
})

test('nothing but the whole token counts', async (t) => {
  const file = join(await tempDir(t), 'tokens.json')
  const tokens = await openTokens({ file, clock: new VirtualClock() })
  const { token } = await tokens.create({ use: logs, label: '', expiresMs: Number.MAX_SAFE_INTEGER })
  const other = await tokens.create({ use: logs, label: '', expiresMs: Number.MAX_SAFE_INTEGER })
  const [, id, secret] = token.split('_')
  const wrong = [
    '',
    'mmt_',
    token.slice(0, -1),
    `${token}0`,
    token.toUpperCase(),
    `mmt_${id}_${other.token.split('_')[2]}`,
    `mmt_${'0'.repeat(16)}_${secret}`,
  ]
  for (const text of wrong) assert.equal(tokens.check(text), undefined, text)
})

test('a token opens the trees of its patterns, and one for the API opens none', () => {
  assert.ok(opensTree({ use: logs }, 'logs/brq'))
  assert.ok(opensTree({ use: logs }, 'secret/a/b'))
  assert.equal(opensTree({ use: logs }, 'logs/a/b'), false)
  assert.equal(opensTree({ use: { kind: 'api', scope: 'admin' } }, 'logs/brq'), false)
})

test('a file that is not ours, or of a later version, is an error and stays as it is', async (t) => {
  const file = join(await tempDir(t), 'tokens.json')
  const clock = new VirtualClock()
  for (const [text, code] of [
    ['{', 'corrupt'],
    ['{"version":1,"tokens":[{"id":"x"}]}', 'corrupt'],
    ['{"version":2}', 'unsupported'],
  ] as const) {
    await writeFile(file, text)
    await assert.rejects(openTokens({ file, clock }), (error) => isMirrorError(error, code))
    assert.equal(await readFile(file, 'utf8'), text)
  }
})

test('revoking needs an id that is clear', async (t) => {
  const file = join(await tempDir(t), 'tokens.json')
  const tokens = await openTokens({ file, clock: new VirtualClock() })
  const { info } = await tokens.create({ use: logs, label: '', expiresMs: Number.MAX_SAFE_INTEGER })
  await assert.rejects(tokens.revoke(info.id.slice(0, 3)), (error) => isMirrorError(error, 'not-found'))
  await assert.rejects(tokens.revoke('nope'), (error) => isMirrorError(error, 'not-found'))
  const past = { use: logs, label: '', expiresMs: 1 }
  await assert.rejects(tokens.create(past), (error) => isMirrorError(error, 'invalid'))
})
