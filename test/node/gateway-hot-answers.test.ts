/** What a gateway answers out of memory is what one that is asked for the first time answers, whatever happened in between. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import net from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import type { Gateway, GatewayOptions } from '../../node/gateway/gateway.ts'
import { loadTokens } from '../../node/tokens.ts'
import { systemClock } from '../../src/base/clock.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { skipWithout } from '../needs.ts'
import { type AskOptions, askGateway } from './gateway-client.ts'
import { createTestMesh } from './gateway-mesh.ts'
import { tempDir } from './temp-dir.ts'

const body = Uint8Array.from({ length: 900 }, (_, i) => (i * 31) & 0xff)
const other = body.map((byte) => byte ^ 0xff)

async function setUp(t: TestContext, options: Partial<GatewayOptions> = {}) {
  const mesh = await createTestMesh()
  const first = await mesh.publish('t', [['dir', [['f', body]]]])
  const clock = new VirtualClock()
  const tokens = await loadTokens({ file: join(await tempDir(t), 'tokens.json'), clock })
  const start = async (): Promise<Gateway> => {
    const gateway = await mesh.start(options, { clock, tokens })
    t.after(() => gateway.stop(0))
    return gateway
  }
  return { mesh, first, clock, tokens, start }
}

async function shown(gateway: Gateway, path: string, options: AskOptions = {}): Promise<unknown> {
  const { status, headers, body } = await askGateway(gateway, path, options)
  const { date: _, ...said } = headers
  return { status, said, body: body.toString('latin1') }
}

const PATHS = ['/t/dir/f', '/t/@1/dir/f', '/t/@head/dir/f', '/t/@1+/dir/f', '/t/@ga/dir/f'] as const

test('what is asked for again is read no more, and answered the same in all its forms', async (t) => {
  const { mesh, first, start } = await setUp(t)
  mesh.tag('t', 'ga', first)
  const gateway = await start()
  const { headers } = await askGateway(await start(), '/t/dir/f')
  const forms: readonly AskOptions[] = [
    {},
    { method: 'HEAD' },
    { headers: { 'if-none-match': headers.etag! } },
    { method: 'HEAD', headers: { 'if-none-match': headers.etag! } },
    { headers: { 'if-modified-since': headers['last-modified']! } },
    { headers: { 'if-match': '"another"' } },
    { headers: { 'if-unmodified-since': 'Thu, 01 Jan 1970 00:00:01 GMT' } },
    { headers: { range: 'bytes=10-19' } },
    { headers: { 'accept-encoding': 'gzip' } },
    { headers: { authorization: 'Bearer nobody' } },
  ]
  for (const path of PATHS) await askGateway(gateway, path)
  const reads = mesh.reads()
  for (const path of PATHS) assert.deepEqual(new Uint8Array((await askGateway(gateway, path)).body), body)
  assert.equal(mesh.reads(), reads)
  for (const path of PATHS)
    for (const form of forms)
      assert.deepEqual(
        await shown(gateway, path, form),
        await shown(await start(), path, form),
        `${path} ${JSON.stringify(form)}`,
      )
})

test('whatever changes between two requests, the second sees it', async (t) => {
  const changes: Readonly<Record<string, (set: Awaited<ReturnType<typeof setUp>>) => unknown>> = {
    'nothing is different': () => undefined,
    'it is private now': ({ mesh }) => mesh.hide('t'),
    'it was taken down, or is complete no more': ({ mesh, first }) => mesh.revoke('t', first),
    'a newer one is complete': ({ mesh }) => mesh.publish('t', [['dir', [['f', other]]]]),
    'a newer one lacks it': ({ mesh }) => mesh.publish('t', [['dir', []]]),
    'a newer one is not complete here': ({ mesh }) =>
      mesh.publish('t', [['dir', [['f', other]]]], { isComplete: false }),
    'a tag has moved': async ({ mesh }) =>
      mesh.tag('t', 'ga', await mesh.publish('t', [['dir', [['f', other]]]])),
    'a tag is called as the folder': async ({ mesh }) =>
      mesh.tag('t', 'latest', await mesh.publish('t', [['dir', [['f', other]]]])),
    'a part of it is kept, without the file': async ({ mesh, first }) => {
      const view = await mesh.publish('t', [['other', body]], { isComplete: false })
      mesh.narrow(first, view, [{ include: ['other'], exclude: [] }])
    },
    'a tree of a longer name is there': ({ mesh }) => mesh.publish('t/dir', [['f', other]]),
    'a private tree of a longer name is there': async ({ mesh }) => {
      await mesh.publish('t/dir', [['f', other]])
      mesh.hide('t/dir')
    },
  }
  for (const [what, change] of Object.entries(changes)) {
    // What a gateway remembers of its own to have shown is another test's.
    const set = await setUp(t, { keepMovedMs: 0 })
    set.mesh.tag('t', 'ga', set.first)
    const gateway = await set.start()
    for (const path of [...PATHS, ...PATHS])
      assert.equal((await askGateway(gateway, path)).status, 200, `${what}: ${path}`)
    await change(set)
    for (const path of PATHS) {
      const fresh = await shown(await set.start(), path)
      assert.deepEqual(await shown(gateway, path), fresh, `${what}: ${path}`)
      assert.deepEqual(await shown(gateway, path), fresh, `${what}: ${path}, once more`)
    }
  }
})

test('what was shown out of memory counts as shown when it is gone', async (t) => {
  const { mesh, clock, start } = await setUp(t, { keepMovedMs: 1000 })
  const [asked, once] = [await start(), await start()]
  for (const gateway of [asked, once]) await askGateway(gateway, '/t/dir/f')
  clock.advanceTo(clock.nowMs() + 5000)
  const reads = mesh.reads()
  await askGateway(asked, '/t/dir/f')
  assert.equal(mesh.reads(), reads)
  await mesh.publish('t', [['dir', []]], { timeMs: 1 })
  clock.advanceTo(clock.nowMs() + 500)
  assert.equal((await askGateway(asked, '/t/dir/f')).headers['x-mirrormesh-sequence'], '1')
  assert.equal((await askGateway(once, '/t/dir/f')).status, 404)
})

test('private trees are never answered out of memory, and a token opens what it opens', async (t) => {
  const { mesh, clock, tokens, start } = await setUp(t)
  await mesh.publish('t/dir', [['f', other]])
  mesh.hide('t/dir')
  const gateway = await start()
  const { text, token } = await tokens.create({
    ...{ kind: 'gateway', trees: ['t/dir'], name: 'test' },
    expiresMs: clock.nowMs() + 1000,
  })
  const headers = { authorization: `Bearer ${text}` }
  for (let i = 0; i < 2; i++) {
    assert.deepEqual(new Uint8Array((await askGateway(gateway, '/t/dir/f', { headers })).body), other)
    assert.deepEqual(new Uint8Array((await askGateway(gateway, '/t/dir/f')).body), body)
  }
  await tokens.revoke(token.id)
  assert.deepEqual(new Uint8Array((await askGateway(gateway, '/t/dir/f', { headers })).body), body)
})

test('they count in metrics, in the access log, and against the bounds', async (t) => {
  const accessLog = join(await tempDir(t), 'access.log')
  const { start } = await setUp(t, { accessLog, maxBodies: 1 })
  const gateway = await start()
  for (let i = 0; i < 3; i++)
    await askGateway(gateway, '/t/dir/f', { headers: { 'user-agent': `agent ${i}` } })
  await askGateway(gateway, '/t/dir/f', { method: 'HEAD' })
  const text = (await askGateway(gateway, '/metrics')).body.toString()
  assert.match(text, /^mirrormesh_gateway_requests_total\{method="GET",status="200"\} 3$/m)
  assert.match(text, /^mirrormesh_gateway_requests_total\{method="HEAD",status="200"\} 1$/m)
  assert.match(text, new RegExp(`^mirrormesh_gateway_sent_bytes_total ${3 * body.length}$`, 'm'))
  assert.match(text, /^mirrormesh_gateway_requests_in_flight 1$/m)
  await gateway.stop()
  const lines = (await readFile(accessLog, 'utf8')).trim().split('\n')
  assert.deepEqual(
    lines.map((line) => /"(\w+) \/t\/dir\/f HTTP\/1.1" (\d+ \S+) .*"(.*)"$/.exec(line)?.slice(1).join(' ')),
    ['GET 200 900 agent 0', 'GET 200 900 agent 1', 'GET 200 900 agent 2', 'HEAD 200 - -', undefined],
  )
})

test('one that asks and asks and takes nothing holds up no memory, and is cut off', async (t) => {
  const mesh = await createTestMesh()
  const large = new Uint8Array(32 * 1024)
  await mesh.publish('t', [['f', large]])
  const gateway = await mesh.start({ stallTimeoutMs: 300, maxBodies: 4 }, { clock: systemClock })
  t.after(() => gateway.stop(0))
  await askGateway(gateway, '/t/f')
  const [host, port] = gateway.address().split(':')
  const socket = net.connect(Number(port), host)
  t.after(() => socket.destroy())
  socket.on('error', () => undefined)
  // Nothing is read of it: what the kernel does not hold, the gateway would have to.
  socket.pause()
  const request = 'GET /t/f HTTP/1.1\r\nhost: x\r\n\r\n'
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.write(request.repeat(2000))
  // A socket that is not read notices the end by writing.
  const nudge = setInterval(() => socket.write('x'), 50)
  t.after(() => clearInterval(nudge))
  await closed
  for (;;) {
    const text = (await askGateway(gateway, '/metrics')).body.toString()
    if (/^mirrormesh_gateway_requests_in_flight 1$/m.test(text)) break
  }
})

test('curl sees a takedown and a closed door on a connection that it keeps', {
  skip: skipWithout('curl'),
}, async (t) => {
  const { mesh, first, start } = await setUp(t)
  const gateway = await start()
  const url = `http://${gateway.address()}/t/dir/f`
  const codes = async (count: number): Promise<string> => {
    const asked = Array.from({ length: count }, () => ['-o', '/dev/null', url]).flat()
    return (await promisify(execFile)('curl', ['-s', '-w', '%{http_code} %{num_connects}\n', ...asked]))
      .stdout
  }
  assert.equal(await codes(3), '200 1\n200 0\n200 0\n')
  mesh.revoke('t', first)
  assert.equal(await codes(2), '503 1\n503 0\n')
  await mesh.publish('t', [['dir', [['f', other]]]])
  assert.equal(await codes(2), '200 1\n200 0\n')
  mesh.hide('t')
  assert.equal(await codes(2), '401 1\n401 0\n')
})
