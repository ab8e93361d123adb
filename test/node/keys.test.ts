import assert from 'node:assert/strict'
import { chmod, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { encodeSealedKeyFile, loadKey, loadOrCreateKey } from '../../node/keys.ts'
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

test('a protected key opens with its passphrase alone, and shows nothing of its secret', async (t) => {
  const file = join(await tempDir(t), 'admin.key')
  const key = await loadOrCreateKey(file, 'the key')
  const text = await encodeSealedKeyFile(key, 'correct horse')
  await writeFile(file, text, { mode: 0o600 })
  assert.ok(!text.includes(Buffer.from(key.seed).toString('base64url')))
  const asked: string[] = []
  const ask = (passphrase: string) => async (question: string) => {
    asked.push(question)
    return passphrase
  }
  assert.deepEqual((await loadKey(file, 'the key', ask('correct horse'))).seed, key.seed)
  assert.match(asked[0]!, /^Passphrase of the key, .*admin\.key/)
  await assert.rejects(loadKey(file, 'the key'), (error) => isMirrorError(error, 'refused'))
  await assert.rejects(loadKey(file, 'the key', ask('correct horse ')), /does not open with this passphrase/)
  // Another key's name in the file, and costs that would take all memory.
  const { peer } = await loadOrCreateKey(join(await tempDir(t), 'other.key'), 'the key')
  await writeFile(file, text.replace(key.peer, peer))
  await assert.rejects(loadKey(file, 'the key', ask('correct horse')), (error) =>
    isMirrorError(error, 'refused'),
  )
  for (const [from, to] of [
    ['"n": 131072', '"n": 4194304'],
    ['"n": 131072', '"n": 131071'],
    ['"r": 8', '"r": 0'],
    ['"nonce": "', '"nonce": "AA'],
  ] as const) {
    await writeFile(file, text.replace(from, to))
    await assert.rejects(
      loadKey(file, 'the key', ask('correct horse')),
      (error) => isMirrorError(error, 'corrupt'),
      to,
    )
  }
  await writeFile(file, text.replace('"scrypt"', '"other"'))
  await assert.rejects(loadKey(file, 'the key', ask('x')), (error) => isMirrorError(error, 'unsupported'))
})
