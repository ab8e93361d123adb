import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Gateway } from '../../node/gateway/gateway.ts'
import { utf8 } from '../../src/base/bytes.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { askGateway } from './gateway-client.ts'
import { createTestMesh, type Node } from './gateway-mesh.ts'

const HOUR_MS = 3_600_000

async function withGateway(
  prepare: (mesh: Awaited<ReturnType<typeof createTestMesh>>, clock: VirtualClock) => Promise<void>,
  check: (gateway: Gateway, clock: VirtualClock) => Promise<void>,
  keepMovedMs = HOUR_MS,
): Promise<void> {
  const mesh = await createTestMesh()
  const clock = new VirtualClock()
  await prepare(mesh, clock)
  const gateway = await mesh.start({ keepMovedMs }, { clock })
  try {
    await check(gateway, clock)
  } finally {
    await gateway.stop(0)
  }
}

/** An index, and a file that it alone names. */
const repository = (version: number): Node => [
  ['by-hash', [[`index-${version}`, utf8(`index ${version}`)]]],
  ['index', utf8(`index-${version}`)],
  ...(version === 1
    ? [['only-in-1', [['file', utf8('1')]]] as const, ['out', { to: '/etc/passwd' }] as const]
    : []),
]

test('a path that is gone from the plain address is served from the snapshot before, which a header names', () =>
  withGateway(
    async (mesh, clock) => {
      for (const version of [1, 2, 3]) await mesh.publish('t', repository(version), { timeMs: clock.nowMs() })
    },
    async (gateway) => {
      for (const [version, behind] of [
        [3, 0],
        [2, 1],
        [1, 2],
      ]) {
        const answer = await askGateway(gateway, `/t/by-hash/index-${version}`)
        assert.equal(answer.body.toString(), `index ${version}`)
        assert.equal(answer.headers['x-mirrormesh-sequence'], String(version))
        assert.equal(answer.headers['x-mirrormesh-behind'], String(behind))
        assert.equal(answer.headers['cache-control'], 'public, no-cache')
      }
      assert.equal((await askGateway(gateway, '/t/index')).body.toString(), 'index-3')
      const head = await askGateway(gateway, '/t/by-hash/index-1', { method: 'HEAD' })
      assert.deepEqual([head.status, head.headers['content-length']], [200, '7'])
      const range = await askGateway(gateway, '/t/by-hash/index-1', { headers: { range: 'bytes=-1' } })
      assert.equal(range.body.toString(), '1')
    },
  ))

test('a sequence with a plus looks back as the plain address does; what it finds there is not for ever', () =>
  withGateway(
    async (mesh, clock) => {
      for (const version of [1, 2, 3]) await mesh.publish('t', repository(version), { timeMs: clock.nowMs() })
    },
    async (gateway, clock) => {
      const own = await askGateway(gateway, '/t/@2+/by-hash/index-2')
      assert.deepEqual([own.status, own.headers['cache-control']], [200, 'public, max-age=604800, immutable'])
      const older = await askGateway(gateway, '/t/@2+/by-hash/index-1')
      assert.deepEqual(
        [older.body.toString(), older.headers['cache-control']],
        ['index 1', 'public, no-cache'],
      )
      assert.equal(older.headers['x-mirrormesh-sequence'], '1')
      assert.equal((await askGateway(gateway, '/t/@2+/by-hash/index-3')).status, 404)
      assert.equal((await askGateway(gateway, '/t/@2%2B/index')).body.toString(), 'index-2')
      assert.equal((await askGateway(gateway, '/t/@9+/index')).status, 404)
      clock.advanceTo(clock.monotonicMs() + HOUR_MS + 1)
      assert.equal((await askGateway(gateway, '/t/@2+/by-hash/index-1')).status, 404)
      assert.equal((await askGateway(gateway, '/t/@2+/by-hash/index-2')).status, 200)
    },
  ))

test('no other address looks back: a version is what it is, and so is a folder', () =>
  withGateway(
    async (mesh, clock) => {
      for (const version of [1, 2]) await mesh.publish('t', repository(version), { timeMs: clock.nowMs() })
    },
    async (gateway) => {
      for (const path of [
        '/t/@2/by-hash/index-1',
        '/t/@head/by-hash/index-1',
        '/t/only-in-1/',
        '/t/only-in-1',
        '/t/only-in-1/file/',
        '/t/out',
        '/t/nowhere',
      ]) {
        assert.equal((await askGateway(gateway, path)).status, 404, path)
      }
      assert.equal((await askGateway(gateway, '/t/only-in-1/file')).status, 200)
    },
  ))

test('it ends the set time after the head that took its place, unless this node showed it since', () =>
  withGateway(
    async (mesh, clock) => {
      const start = clock.nowMs()
      await mesh.publish('t', repository(1), { timeMs: start - 5 * HOUR_MS })
      await mesh.publish('t', repository(2), { timeMs: start - 3 * HOUR_MS })
      await mesh.publish('t', repository(3), { timeMs: start - HOUR_MS / 2 })
    },
    async (gateway, clock) => {
      const status = async (version: number): Promise<number> =>
        (await askGateway(gateway, `/t/by-hash/index-${version}`)).status
      assert.deepEqual([await status(1), await status(2), await status(3)], [404, 200, 200])
      clock.advanceTo(clock.monotonicMs() + HOUR_MS)
      assert.deepEqual([await status(1), await status(2), await status(3)], [404, 404, 200])
    },
  ))

test('a snapshot that arrives late moves the address when it arrives', async () => {
  const mesh = await createTestMesh()
  const clock = new VirtualClock()
  const old = clock.nowMs() - 9 * HOUR_MS
  await mesh.publish('t', repository(1), { timeMs: old })
  const gateway = await mesh.start({ keepMovedMs: HOUR_MS }, { clock })
  try {
    assert.equal((await askGateway(gateway, '/t/index')).body.toString(), 'index-1')
    await mesh.publish('t', repository(2), { timeMs: old })
    await mesh.publish('t', repository(3), { timeMs: old })
    assert.equal((await askGateway(gateway, '/t/by-hash/index-1')).status, 200)
    assert.equal((await askGateway(gateway, '/t/by-hash/index-2')).status, 404, 'never shown here')
    clock.advanceTo(clock.monotonicMs() + HOUR_MS + 1)
    assert.equal((await askGateway(gateway, '/t/by-hash/index-1')).status, 404)
  } finally {
    await gateway.stop(0)
  }
})

test('a move of the tag latest counts from the move', () =>
  withGateway(
    async (mesh, clock) => {
      const old = clock.nowMs() - 9 * HOUR_MS
      for (const version of [1, 2]) await mesh.publish('t', repository(version), { timeMs: old })
      const third = await mesh.publish('t', repository(3), { timeMs: old })
      mesh.tag('t', 'latest', { ...third, timeMs: clock.nowMs() })
    },
    async (gateway, clock) => {
      assert.equal((await askGateway(gateway, '/t/by-hash/index-1')).status, 200)
      clock.advanceTo(clock.monotonicMs() + HOUR_MS + 1)
      assert.equal((await askGateway(gateway, '/t/by-hash/index-1')).status, 404)
    },
  ))

test('what is not complete here is not looked into, and 0 turns it off', async () => {
  const prepare = async (
    mesh: Awaited<ReturnType<typeof createTestMesh>>,
    clock: VirtualClock,
  ): Promise<void> => {
    const timeMs = clock.nowMs()
    await mesh.publish('t', repository(1), { timeMs })
    await mesh.publish('t', repository(2), { timeMs, isComplete: false })
    await mesh.publish('t', repository(3), { timeMs })
  }
  await withGateway(prepare, async (gateway) => {
    assert.equal((await askGateway(gateway, '/t/by-hash/index-2')).status, 404)
    assert.equal((await askGateway(gateway, '/t/by-hash/index-1')).status, 200)
  })
  await withGateway(
    prepare,
    async (gateway) => {
      assert.equal((await askGateway(gateway, '/t/by-hash/index-1')).status, 404)
    },
    0,
  )
})
