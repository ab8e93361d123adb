import assert from 'node:assert/strict'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadTokens, scopeCovers } from '../../node/tokens.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { tempDir } from './temp-dir.ts'

test('a token opens what it was made for, until it expires or is revoked, over a restart too', async (t) => {
  const file = join(await tempDir(t), 'keys', 'tokens.json')
  const clock = new VirtualClock(0)
  const tokens = await loadTokens({ file, clock })
  const read = await tokens.create({ kind: 'api', name: 'lab console', scope: 'read', expiresMs: null })
  const brief = await tokens.create({
    kind: 'gateway',
    name: 'ci',
    trees: ['secret/**'],
    expiresMs: clock.nowMs() + 1000,
  })
  const gone = await tokens.create({ kind: 'api', name: 'x', scope: 'admin', expiresMs: null })
  const revoked: string[] = []
  tokens.onRevoked((id) => revoked.push(id))
  assert.equal(await tokens.revoke(gone.token.id), true)
  assert.equal(await tokens.revoke(gone.token.id), false)
  assert.deepEqual(revoked, [gone.token.id])
  for (const each of [tokens, await loadTokens({ file, clock })]) {
    assert.equal(each.check(read.text, 'api')?.scope, 'read')
    assert.deepEqual(each.check(brief.text, 'gateway')?.trees, ['secret/**'])
    assert.equal(each.check(read.text, 'gateway'), undefined)
    assert.equal(each.check(gone.text, 'api'), undefined)
    const wrong = `${read.text.slice(0, -2)}${read.text.at(-2) === 'A' ? 'B' : 'A'}${read.text.at(-1)}`
    for (const text of ['', wrong, `${read.text}A`, read.text.replace('mmt_', 'mmt_0'), 'mmt__']) {
      assert.equal(each.check(text, 'api'), undefined, text)
    }
  }
  clock.advanceTo(1000)
  assert.equal(tokens.check(brief.text, 'gateway'), undefined)
  assert.equal(tokens.isInForce(brief.token.id), false)
  assert.deepEqual(
    tokens.list().map(({ name }) => name),
    ['lab console', 'ci'],
  )
})

test('the file holds no secret, and nobody else may read it', async (t) => {
  const file = join(await tempDir(t), 'tokens.json')
  const tokens = await loadTokens({ file, clock: new VirtualClock(0) })
  const { text } = await tokens.create({ kind: 'api', name: 'x', scope: 'admin', expiresMs: null })
  assert.ok(!(await readFile(file, 'utf8')).includes(text.slice(17)))
  assert.equal((await stat(file)).mode & 0o777, 0o600)
})

test('a tokens file that cannot be read is an error that says so, never an empty list', async (t) => {
  const file = join(await tempDir(t), 'tokens.json')
  for (const text of ['', '{', '{"mirrormeshTokens":2,"tokens":[]}', '{"mirrormeshTokens":1}']) {
    await writeFile(file, text)
    await assert.rejects(loadTokens({ file, clock: new VirtualClock(0) }), { code: 'corrupt' }, text)
  }
})

test('each scope may do what those before it may', () => {
  assert.ok(scopeCovers('admin', 'read') && scopeCovers('operate', 'operate') && scopeCovers('read', 'read'))
  assert.ok(!scopeCovers('read', 'operate') && !scopeCovers('operate', 'admin'))
})
