import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { hex } from '../../src/base/bytes.ts'
import { publicKeyOf } from '../../src/record/key.ts'
import { isJoinCode, joinCode, joinCommitment } from '../../src/record/request-code.ts'
import { keyOf, snapshotOf } from './author.ts'

const given = {
  mesh: snapshotOf('mesh'),
  newcomer: keyOf('newcomer').publicKey,
  newcomerNonce: new Uint8Array(32).fill(1),
  member: keyOf('member').publicKey,
  memberNonce: new Uint8Array(32).fill(2),
  site: 'lab',
  region: 'eu',
}

test('commitment and code are what they were: both sides may be of different versions', () => {
  assert.equal(joinCode(given), '8448-8864')
  assert.equal(hex(joinCommitment(given)), '353b99bdafc2efead6c4643b5299933888ba7488a06758a95d3376d866ec148e')
  const { site: _, region: __, ...wishless } = given
  assert.notEqual(joinCode(wishless), joinCode(given))
})

test('whatever differs makes another code, and another commitment if the newcomer said it', () => {
  const nonce = fc.uint8Array({ minLength: 32, maxLength: 32 })
  fc.assert(
    fc.property(
      fc.constantFrom('newcomerNonce', 'memberNonce', 'newcomer', 'member', 'site', 'region', 'mesh'),
      nonce,
      fc.stringMatching(/^[a-z]{1,64}$/),
      (field, bytes, name) => {
        const value =
          field === 'mesh'
            ? snapshotOf(name)
            : field === 'site' || field === 'region'
              ? name
              : field === 'newcomer' || field === 'member'
                ? keyOf(name).publicKey
                : bytes
        const other = { ...given, [field]: value } as typeof given
        fc.pre(String(other[field]) !== String(given[field]))
        assert.ok(isJoinCode(joinCode(other)))
        assert.notEqual(joinCode(other), joinCode(given))
        const isHis = field !== 'memberNonce' && field !== 'member'
        assert.equal(hex(joinCommitment(other)) !== hex(joinCommitment(given)), isHis)
      },
    ),
    { numRuns: 300, seed: 1 },
  )
})

test('names do not run into each other', () => {
  assert.notEqual(
    hex(joinCommitment({ ...given, site: 'ab', region: 'c' })),
    hex(joinCommitment({ ...given, site: 'a', region: 'bc' })),
  )
  assert.deepEqual(publicKeyOf(keyOf('member').peer), given.member)
})
