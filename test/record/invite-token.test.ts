import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isMirrorError } from '../../src/base/errors.ts'
import { encodeInviteToken, inviteSecretHash, parseInviteToken } from '../../src/record/invite-token.ts'
import { keyOf, NOW_MS, snapshotOf } from './author.ts'

const token = {
  mesh: snapshotOf('mesh'),
  peer: keyOf('peer').publicKey,
  addrs: ['127.0.0.1:4001', '[2001:db8::1]:4001'],
  secret: new Uint8Array(32).fill(9),
  invite: snapshotOf('invite'),
  site: 'london',
  region: 'emea',
  expiresMs: NOW_MS,
}

test('an invite token survives being printed, wrapped in blanks and pasted', () => {
  const text = encodeInviteToken(token)
  assert.match(text, /^mm1\.[A-Za-z0-9_-]+$/)
  assert.deepEqual(parseInviteToken(`  ${text}\n`), token)
})

test('a token that is cut, bent or not one at all is refused with a hint', () => {
  const text = encodeInviteToken(token)
  for (const bad of [
    '',
    'hello',
    'mm1.',
    text.slice(0, -4),
    `${text}AAAA`,
    `${text.slice(0, 30)} ${text.slice(30)}`,
    `mm1.${'A'.repeat(5000)}`,
  ]) {
    assert.throws(
      () => parseInviteToken(bad),
      (error) => isMirrorError(error, 'invalid') && error.hint !== undefined,
      bad,
    )
  }
  assert.throws(
    () => parseInviteToken(text.replace('mm1.', 'mm2.')),
    (error) => isMirrorError(error, 'unsupported'),
  )
})

test('a token that no node could use is not printed', () => {
  for (const change of [
    { addrs: [] },
    { addrs: ['two words'] },
    { site: 'No' },
    { secret: new Uint8Array(31) },
    { expiresMs: 0 },
  ]) {
    assert.throws(
      () => encodeInviteToken({ ...token, ...change }),
      (error) => isMirrorError(error, 'invalid'),
    )
  }
})

test('any text is a token or refused with a MirrorError', () => {
  const text = encodeInviteToken(token)
  fc.assert(
    fc.property(fc.nat(text.length - 1), fc.string({ unit: 'grapheme', maxLength: 3 }), (at, patch) => {
      try {
        parseInviteToken(text.slice(0, at) + patch + text.slice(at + patch.length))
      } catch (error) {
        assert.ok(isMirrorError(error), String(error))
      }
    }),
    { numRuns: 300 },
  )
})

test('the hash of a secret tells nothing of the secret and is its own', () => {
  const hash = inviteSecretHash(token.secret)
  assert.equal(hash.length, 32)
  assert.notDeepEqual(hash, token.secret)
  assert.deepEqual(hash, inviteSecretHash(token.secret))
  assert.notDeepEqual(hash, inviteSecretHash(new Uint8Array(32).fill(8)))
})
