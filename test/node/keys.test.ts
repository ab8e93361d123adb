import assert from 'node:assert/strict'
import { chmod, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { loadKey, loadOrCreateKey } from '../../node/keys.ts'
import { isMirrorError } from '../../src/base/errors.ts'
import { tempDir } from './temp-dir.ts'

test('a key is made once, for its owner alone, and read back', async (t) => {
  const file = join(await tempDir(t), 'keys/node.key')
  const made = await loadOrCreateKey(file, 'the key')
  assert.equal((await stat(file)).mode & 0o777, 0o600)
  assert.equal((await loadOrCreateKey(file, 'the key')).peer, made.peer)
  assert.deepEqual((await loadKey(file, 'the key')).seed, made.seed)
})

test('a key that is missing, readable by others, or not what it says is refused', async (t) => {
  const file = join(await tempDir(t), 'node.key')
  await assert.rejects(loadKey(file, 'the key'), (error) => isMirrorError(error, 'not-found'))
  const { peer } = await loadOrCreateKey(file, 'the key')
  await chmod(file, 0o640)
  await assert.rejects(loadKey(file, 'the key'), (error) => {
    assert.ok(isMirrorError(error, 'refused'))
    assert.match(error.message, /can be read by others \(mode 640\)/)
    assert.match(error.hint ?? '', /chmod 600/)
    return true
  })
  await chmod(file, 0o600)
  const text = await readFile(file, 'utf8')
  await writeFile(file, text.replace(/"seed": "..../, '"seed": "AAAA'))
  await assert.rejects(loadKey(file, 'the key'), /does not hold the key that it names/)
  await writeFile(file, text.replace('"seed": "', '"seed": '))
  await assert.rejects(loadKey(file, 'the key'), (error) => {
    const seed = /"seed": "([^"]+)"/.exec(text)![1]!
    assert.ok(isMirrorError(error, 'corrupt'))
    assert.ok(!inspect(error).includes(seed.slice(0, 5)), 'a part of the secret is in the error')
    return true
  })
  await writeFile(file, text.slice(0, 20))
  await assert.rejects(loadKey(file, 'the key'), (error) => isMirrorError(error, 'corrupt'))
  await writeFile(file, text.replace('"mirrormeshKey": 1', '"mirrormeshKey": 2'))
  await assert.rejects(loadKey(file, 'the key'), (error) => isMirrorError(error, 'unsupported'))
  assert.ok(text.includes(peer))
})
