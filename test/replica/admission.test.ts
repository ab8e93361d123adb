import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isMirrorError } from '../../src/base/errors.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { inviteSecretHash } from '../../src/record/invite-token.ts'
import { foldRecords } from '../../src/record/mesh-state-builder.ts'
import { decodeSigned } from '../../src/record/record.ts'
import { createAdmission, createMembership } from '../../src/replica/records/admission.ts'
import { createLedger } from '../../src/replica/records/ledger.ts'
import { createTestLog, createTestLogger, createTestMesh, START_MS, testKey } from './test-mesh.ts'

const hq = testKey(30)
const newcomer = testKey(31)
const rival = testKey(32)
const secret = new Uint8Array(32).fill(7)

async function setUp({ admitter = hq, expiresMs = START_MS + 60_000 } = {}) {
  const mesh = createTestMesh()
  const clock = new VirtualClock(START_MS)
  const log = createTestLog()
  const logger = createTestLogger()
  const ledger = await createLedger({ log, clock, logger }, { mesh: mesh.mesh })
  const member = mesh.member(hq, 'hq', 'eu')
  const invite = mesh.sign(mesh.admin, 'invite', {
    admitter: admitter.publicKey,
    secretHash: inviteSecretHash(secret),
    site: 'lab',
    region: 'us',
    roles: ['site'],
    expiresMs,
  })
  await ledger.offer(
    [mesh.genesis, member, invite].map(({ bytes }) => bytes),
    'local',
  )
  const admission = createAdmission({ ledger, nodeKey: hq, clock, logger })
  const membership = createMembership({ ledger, nodeKey: hq, clock })
  const claim = (peer = newcomer.peer, with_ = secret, id = invite.id) =>
    admission.claim({ peer, secret: with_, invite: id })
  return { mesh, clock, log, ledger, invite, claim, membership }
}

const refusedFor = (why: RegExp) => (error: unknown) =>
  isMirrorError(error, 'refused') && why.test(error.message) && /new invite/.test(error.hint ?? '')

test('a withdrawn invite is refused, and nobody is listened to on its account', async () => {
  const { mesh, ledger, invite, claim, membership } = await setUp()
  const withdrawal = mesh.sign(mesh.admin, 'withdrawal', { invite: invite.id })
  await ledger.offer([withdrawal.bytes], 'local')
  assert.equal(membership.acceptsGuests(newcomer.peer), false)
  await assert.rejects(claim(), refusedFor(/withdrawn/))
})

test('an invite makes a member, durably before it is told, with records that prove it by themselves', async () => {
  const { mesh, log, ledger, claim, membership } = await setUp()
  assert.equal(membership.isMember(newcomer.peer), false)
  assert.equal(membership.acceptsGuests(newcomer.peer), true)
  const { records } = await claim()
  const state = foldRecords(records.map(decodeSigned), mesh.mesh)
  assert.equal(state.members.get(newcomer.peer)?.site, 'lab')
  assert.equal(state.members.get(newcomer.peer)?.isActive, true)
  assert.equal(state.members.get(hq.peer)?.site, 'hq')
  assert.equal(state.name, 'test')
  assert.equal(log.records.length, 4)
  assert.equal(ledger.state().members.get(newcomer.peer)?.region, 'us')
  assert.equal(membership.isMember(newcomer.peer), true)
})

test('an invite lets in one node; the same one may ask again', async () => {
  const { claim, log } = await setUp()
  const first = await claim()
  await assert.rejects(claim(rival.peer), refusedFor(/has been used/))
  const again = await claim()
  assert.deepEqual(again.records, first.records)
  assert.equal(log.records.length, 4)
})

test('two nodes that show one invite at the same time: one gets in', async () => {
  const { claim, ledger } = await setUp()
  const answers = await Promise.allSettled([claim(), claim(rival.peer)])
  assert.deepEqual(
    answers.map(({ status }) => status),
    ['fulfilled', 'rejected'],
  )
  const { members } = ledger.state()
  assert.equal(members.has(newcomer.peer), true)
  assert.equal(members.has(rival.peer), false)
})

test('a wrong secret, an unknown invite, an expired one, and one for another admitter are refused', async () => {
  const { claim, clock, mesh, membership, ledger } = await setUp()
  await assert.rejects(claim(newcomer.peer, new Uint8Array(32)), refusedFor(/secret/))
  await assert.rejects(claim(newcomer.peer, new Uint8Array(5)), refusedFor(/secret/))
  await assert.rejects(claim(newcomer.peer, secret, mesh.mesh), refusedFor(/no such invite/))
  clock.advanceTo(START_MS + 60_000)
  await assert.rejects(claim(), refusedFor(/expired/))
  assert.equal(membership.acceptsGuests(newcomer.peer), false)
  assert.equal(ledger.state().members.size, 1)
  const elsewhere = await setUp({ admitter: rival })
  await assert.rejects(elsewhere.claim(), refusedFor(/another node/))
  assert.equal(elsewhere.membership.acceptsGuests(newcomer.peer), false)
})

test('when the disk is full nobody is admitted, and the invite can be used later', async () => {
  const { claim, log, membership } = await setUp()
  log.failWith(new Error('ENOSPC'))
  await assert.rejects(claim(), /ENOSPC/)
  assert.equal(membership.isMember(newcomer.peer), false)
  log.failWith(undefined)
  await claim()
  assert.equal(membership.isMember(newcomer.peer), true)
})

test('a revoked member is no member', async () => {
  const { claim, mesh, ledger, membership } = await setUp()
  await claim()
  const tip = ledger.tip(mesh.admin.publicKey)
  const body = { key: newcomer.publicKey, counter: 0, last: null, reason: 'stolen' }
  await ledger.submit(mesh.signAt(mesh.admin, tip, 'revocation', body).bytes)
  assert.equal(membership.isMember(newcomer.peer), false)
  await assert.rejects(claim(), refusedFor(/revoked/))
})
