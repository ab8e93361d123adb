import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createFailureLimit } from '../../../node/api/failure-limit.ts'
import { createSessions, SESSION_MS } from '../../../node/api/sessions.ts'
import type { ApiToken } from '../../../node/tokens.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'

test('failures are counted by address, an IPv6 one by its /64, and forgiven with time', () => {
  const clock = new VirtualClock(0)
  const limit = createFailureLimit({ clock }, { burst: 3, everyMs: 1000 })
  for (let i = 0; i < 3; i++) {
    assert.equal(limit.waitSeconds('10.0.0.1'), 0)
    limit.failed('10.0.0.1')
  }
  assert.equal(limit.waitSeconds('10.0.0.1'), 1)
  assert.equal(limit.waitSeconds('::ffff:10.0.0.1'), 1)
  assert.equal(limit.waitSeconds('10.0.0.2'), 0)
  clock.advanceTo(1000)
  assert.equal(limit.waitSeconds('10.0.0.1'), 0)
  for (let i = 0; i < 3; i++) limit.failed(`2001:db8:0:1::${i}`)
  assert.equal(limit.waitSeconds('2001:db8:0:1:ffff::9'), 1)
  assert.equal(limit.waitSeconds('2001:db8:0:2::1'), 0)
})

test('the addresses that are remembered are bounded: the oldest is forgotten', () => {
  const limit = createFailureLimit({ clock: new VirtualClock(0) }, { burst: 1, maxAddresses: 2 })
  for (const address of ['10.0.0.1', '10.0.0.2', '10.0.0.3']) limit.failed(address)
  assert.equal(limit.waitSeconds('10.0.0.1'), 0)
  assert.ok(limit.waitSeconds('10.0.0.3') > 0)
})

test('sessions end with their time or their token, and are bounded for each token', () => {
  const clock = new VirtualClock(0)
  const gone = new Set<string>()
  const sessions = createSessions({ tokens: { isInForce: (id) => !gone.has(id) }, clock }, { maxOfToken: 2 })
  const token = (id: string, expiresMs: number | null = null): ApiToken => {
    return { id, name: id, kind: 'api', scope: 'read', createdMs: 0, expiresMs }
  }
  const [one, two, three] = [sessions.open(token('a')), sessions.open(token('a')), sessions.open(token('a'))]
  const other = sessions.open(token('b', clock.nowMs() + 1000))
  assert.equal(sessions.find(one.secret), undefined)
  assert.equal(sessions.find(two.secret)?.token.id, 'a')
  assert.equal(sessions.find('x'), undefined)
  assert.equal(sessions.find(other.secret)?.token.id, 'b')
  clock.advanceTo(1000)
  assert.equal(sessions.find(other.secret), undefined)
  sessions.close(two.secret)
  assert.equal(sessions.find(two.secret), undefined)
  assert.equal(sessions.find(three.secret)?.token.id, 'a')
  gone.add('a')
  assert.equal(sessions.find(three.secret), undefined)
  gone.clear()
  clock.advanceTo(SESSION_MS)
  assert.equal(sessions.find(three.secret), undefined)
})
