/** The requests that wait at a member: with which codes, how many, from where, for how long. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { foldRecords } from '../../src/record/mesh-state-builder.ts'
import { decodeSigned } from '../../src/record/record.ts'
import { mallory, newcomer, setUp } from './join-request-scene.ts'
import { START_MS, testKey } from './test-mesh.ts'

test('a request is pending with the code that the newcomer shows, until it is a member', async () => {
  const { mesh, ledger, requests, exchange } = await setUp()
  let changes = 0
  requests.onChange(() => changes++)
  const code = exchange(newcomer)
  const [found] = requests.list()
  assert.deepEqual(
    [found?.peer, found?.code, found?.site, found?.region, found?.sinceMs],
    [newcomer.peer, code, 'lab', 'eu', START_MS],
  )
  assert.ok(requests.pending(newcomer.peer))
  assert.equal(requests.admitted(newcomer.peer), undefined)
  await ledger.offer([mesh.member(newcomer, 'lab', 'eu').bytes], 'local')
  const state = foldRecords(requests.admitted(newcomer.peer)!.map(decodeSigned), mesh.mesh)
  assert.equal(state.members.get(newcomer.peer)?.site, 'lab')
  assert.deepEqual(requests.list(), [])
  assert.equal(changes, 2)
})

test('one key has one request, and each exchange another code', async () => {
  const { requests, exchange } = await setUp()
  const codes = new Set([exchange(newcomer), exchange(newcomer), exchange(newcomer)])
  assert.equal(codes.size, 3)
  assert.equal(requests.list().length, 1)
  assert.equal(requests.list()[0]?.code, [...codes].at(-1))
})

test('requests are few in all, fewer from one address, and guesses at a code few in a minute', async () => {
  const { clock, requests, exchange } = await setUp({ maxRequests: 6, exchangesAMinute: 12 })
  for (let i = 0; i < 4; i++) exchange(testKey(40 + i))
  assert.throws(() => exchange(testKey(44)), /from this address wait/)
  for (let i = 0; i < 3; i++) exchange(testKey(50 + i), `10.0.0.${i}`)
  assert.equal(requests.pending(testKey(43).peer), undefined, 'the newest of the larger crowd made room')
  assert.throws(() => exchange(testKey(53), '10.0.0.9'), /too many requests wait/)
  for (let i = 0; i < 2; i++) exchange(testKey(40))
  assert.throws(() => exchange(testKey(40)), /in the last minute/)
  for (let i = 0; i < 3; i++) exchange(testKey(50), '10.0.0.0')
  assert.throws(() => exchange(testKey(51), '10.0.0.1'), /in the last minute/)
  clock.advanceTo(clock.nowMs() + 60_001)
  exchange(testKey(51), '10.0.0.1')
  assert.equal(requests.list().length, 6)
})

test('a flood from many addresses of few networks keeps nobody of another out, nor pushes it out', async () => {
  const { requests, exchange } = await setUp({ exchangesAMinute: 60 })
  const flood = (from: number): void => {
    for (let i = 0; i < 28; i++) {
      try {
        exchange(testKey(100 + i), `10.0.${i >> 2}.${from + (i % 4)}`)
      } catch (error) {
        assert.match(String(error), /too many requests/)
      }
    }
  }
  flood(1)
  for (let i = 0; i < 4; i++) exchange(testKey(140 + i), `10.1.0.${i}`)
  assert.equal(requests.list().length, 32)
  exchange(newcomer, '192.0.2.7')
  flood(100)
  assert.ok(requests.pending(newcomer.peer))
  assert.equal(requests.list().length, 32)
})

test('who does not ask again is forgotten, and who asks for days is too', async () => {
  const { clock, requests, exchange } = await setUp({ silentMs: 1000, maxAgeMs: 5000 })
  exchange(newcomer)
  clock.advanceTo(START_MS + 1001)
  assert.deepEqual(requests.list(), [])
  assert.equal(requests.pending(newcomer.peer), undefined)
  exchange(newcomer)
  for (let i = 1; i <= 5; i++) {
    clock.advanceTo(START_MS + 1001 + i * 999)
    assert.ok(requests.pending(newcomer.peer), `after ${i} s`)
  }
  clock.advanceTo(START_MS + 1001 + 5001)
  assert.deepEqual(requests.list(), [])
})

test('who was turned down, or revoked, is not listened to', async () => {
  const { mesh, clock, ledger, requests, membership, exchange } = await setUp()
  exchange(newcomer)
  assert.equal(requests.deny(newcomer.peer), true)
  assert.equal(requests.deny(newcomer.peer), false)
  assert.throws(() => requests.pending(newcomer.peer), /turned this request down/)
  assert.throws(() => exchange(newcomer), /turned this request down/)
  clock.advanceTo(START_MS + 3_600_001)
  exchange(newcomer)
  const end = mesh.sign(mesh.admin, 'revocation', {
    key: newcomer.publicKey,
    counter: 0,
    last: null,
    reason: 'unwanted',
  })
  await ledger.offer([end.bytes], 'local')
  assert.throws(() => requests.pending(newcomer.peer), /revoked/)
  assert.equal(membership.acceptsGuests(newcomer.peer), false)
  assert.equal(membership.acceptsGuests(mallory.peer), true)
})

// ---- over the wire -------------------------------------------------------------------------------------------------
