import assert from 'node:assert/strict'
import http from 'node:http'
import net from 'node:net'
import { type TestContext, test } from 'node:test'
import { clientKey } from '../../node/gateway/client-limits.ts'
import type { Gateway, GatewayOptions } from '../../node/gateway/gateway.ts'
import { MAX_WAITING_REQUESTS } from '../../node/gateway/turns.ts'
import { utf8 } from '../../src/base/bytes.ts'
import { systemClock } from '../../src/base/clock.ts'
import { createTestMesh } from './gateway-mesh.ts'
import { until } from './program.ts'

const big = Uint8Array.from({ length: 200_000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff)

/** More than the kernel takes of a client that does not read. */
const huge = new Uint8Array(16_000_000).fill(7)

async function start(
  t: TestContext,
  options: Partial<GatewayOptions>,
  more: readonly (readonly [string, Uint8Array])[] = [],
): Promise<Gateway> {
  const mesh = await createTestMesh()
  await mesh.publish('t', [['big', big], ['small', utf8('small')], ...more])
  const gateway = await mesh.start(options, { clock: systemClock })
  t.after(() => gateway.stop(0))
  return gateway
}

function ask(
  gateway: Gateway,
  path: string,
  agent: http.Agent | false = false,
): Promise<http.IncomingMessage & { body: Buffer }> {
  return new Promise((resolve, reject) => {
    http
      .get(`http://${gateway.address()}${path}`, { agent }, async (response) => {
        const pieces: Buffer[] = []
        for await (const piece of response) pieces.push(piece as Buffer)
        resolve(Object.assign(response, { body: Buffer.concat(pieces) }))
      })
      .on('error', reject)
  })
}

/** A connection that is open and asks for nothing. */
async function hold(t: TestContext, gateway: Gateway): Promise<net.Socket> {
  const [host, port] = gateway.address().split(':')
  const socket = net.connect(Number(port), host)
  t.after(() => socket.destroy())
  socket.on('error', () => undefined)
  await new Promise((resolve) => socket.once('connect', resolve))
  // Accepted, too: the answer to a request that came after it shows that.
  await ask(gateway, '/livez').catch(() => undefined)
  return socket
}

test('a client with too many connections gets 503 and is told when to come back; others are served', async (t) => {
  const gateway = await start(t, { maxClientConnections: 2 })
  const held = [await hold(t, gateway), await hold(t, gateway)]
  const refused = await ask(gateway, '/t/small')
  assert.equal(refused.statusCode, 503)
  assert.ok(Number(refused.headers['retry-after']) > 0)
  assert.equal(refused.headers.connection, 'close')
  assert.match(refused.body.toString(), /this client has as many connections/)
  // Those who watch it are answered all the same.
  const metrics = (await ask(gateway, '/metrics')).body.toString()
  assert.match(metrics, /^mirrormesh_gateway_refused_total\{reason="client-connections"\} 1$/m)
  assert.match(metrics, /^mirrormesh_gateway_connections 3$/m)
  const closed = held.map((socket) => new Promise((resolve) => socket.once('close', resolve)))
  for (const socket of held) socket.destroy()
  await Promise.all(closed)
  for (;;) {
    const again = await ask(gateway, '/t/small')
    if (again.statusCode === 200) break
    assert.equal(again.statusCode, 503)
  }
})

test('beyond all connections it is 503 for everybody, and far beyond them nothing', async (t) => {
  const gateway = await start(t, { maxConnections: 4 })
  for (let i = 0; i < 4; i++) await hold(t, gateway)
  const refused = await ask(gateway, '/t/small')
  assert.equal(refused.statusCode, 503)
  assert.match(refused.body.toString(), /this gateway has as many connections/)
  // One more is taken, so that it can be told; the next is not.
  await hold(t, gateway)
  await assert.rejects(ask(gateway, '/livez'), { code: /ECONNRESET|EPIPE/ })
})

test('what goes to one client keeps its rate, and does not slow down anything but bodies', async (t) => {
  const gateway = await start(t, { clientBytesPerSecond: 200_000 })
  const startMs = performance.now()
  const answer = await ask(gateway, '/t/big')
  const seconds = (performance.now() - startMs) / 1000
  assert.deepEqual(new Uint8Array(answer.body), big)
  // A tenth of a second's worth may go at once.
  assert.ok(seconds > 0.8, `${seconds} s for a second's worth`)
})

test('a rate for all is shared by those who are served', async (t) => {
  const gateway = await start(t, { bytesPerSecond: 400_000 })
  const startMs = performance.now()
  await Promise.all([ask(gateway, '/t/big'), ask(gateway, '/t/big')])
  const seconds = (performance.now() - startMs) / 1000
  assert.ok(seconds > 0.8, `${seconds} s for a second's worth`)
})

test('one that goes away while it waits for its turn holds up nothing', async (t) => {
  const gateway = await start(t, { clientBytesPerSecond: 1000 })
  const request = http.get(`http://${gateway.address()}/t/big`, { agent: false })
  const response = await new Promise<http.IncomingMessage>((resolve) => request.once('response', resolve))
  response.on('error', () => undefined)
  request.on('error', () => undefined)
  request.destroy()
  for (;;) {
    const metrics = (await ask(gateway, '/metrics')).body.toString()
    // The one that asks.
    if (/^mirrormesh_gateway_requests_in_flight 1$/m.test(metrics)) break
  }
})

test('headers and addresses have bounds', async (t) => {
  const gateway = await start(t, {})
  assert.equal((await ask(gateway, `/t/${'x'.repeat(9000)}`)).statusCode, 414)
  const [host, port] = gateway.address().split(':')
  const socket = net.connect(Number(port), host)
  t.after(() => socket.destroy())
  socket.write(`GET /t/small HTTP/1.1\r\nhost: x\r\nx-long: ${'y'.repeat(20_000)}\r\n\r\n`)
  const text = await new Promise<string>((resolve) => socket.once('data', (data) => resolve(data.toString())))
  assert.match(text, /^HTTP\/1.1 431 /)
})

/** A connection on which everything is written at once, and nothing read yet. */
async function pipeline(t: TestContext, gateway: Gateway, text: string): Promise<net.Socket> {
  const [host, port] = gateway.address().split(':')
  const socket = net.connect(Number(port), host)
  t.after(() => socket.destroy())
  socket.on('error', () => undefined)
  await new Promise((resolve) => socket.once('connect', resolve))
  socket.pause()
  socket.write(text)
  return socket
}

async function hasInFlight(gateway: Gateway, count: number): Promise<boolean> {
  const metrics = (await ask(gateway, '/metrics')).body.toString()
  return new RegExp(`^mirrormesh_gateway_requests_in_flight ${count}$`, 'm').test(metrics)
}

const get = (path: string, close = ''): string => `GET ${path} HTTP/1.1\r\nhost: x\r\n${close}\r\n`

test('what a client asks for in advance', async (t) => {
  const gateway = await start(t, { maxBodies: 3 }, [['huge', huge]])
  await t.test('waits for its turn, and takes no place of others', (each) => waitsForItsTurn(each, gateway))
  await t.test('without an answer ends with the connection when it is much', (each) =>
    isCutOff(each, gateway),
  )
  await t.test('and is no request does not get into an answer', (each) => keepsOut(each, gateway))
})

async function waitsForItsTurn(t: TestContext, gateway: Gateway): Promise<void> {
  const inAdvance = `${get('/t/huge')}${get('/t/big').repeat(8)}${get('/t/small', 'connection: close\r\n')}`
  const socket = await pipeline(t, gateway, inAdvance)
  // The ten, and the one that asks.
  await until('all have come', () => hasInFlight(gateway, 11))
  assert.equal((await ask(gateway, '/t/small')).statusCode, 200)
  let rest = Buffer.concat(await socket.toArray())
  const bodies: number[] = []
  while (rest.length > 0) {
    const head = rest.subarray(0, rest.indexOf('\r\n\r\n') + 4)
    assert.match(head.toString(), /^HTTP\/1\.1 200 /)
    const bytes = Number(/^content-length: (\d+)/im.exec(head.toString())![1])
    bodies.push(bytes)
    rest = rest.subarray(head.length + bytes)
  }
  assert.deepEqual(bodies, [huge.length, ...Array.from({ length: 8 }, () => big.length), 5])
}

async function isCutOff(t: TestContext, gateway: Gateway): Promise<void> {
  const socket = await pipeline(t, gateway, get('/t/huge') + get('/t/big').repeat(MAX_WAITING_REQUESTS + 1))
  await new Promise((resolve) => socket.resume().once('close', resolve))
  await until('nothing is left of it', () => hasInFlight(gateway, 1))
}

async function keepsOut(t: TestContext, gateway: Gateway): Promise<void> {
  const socket = await pipeline(t, gateway, get('/t/huge'))
  const pieces: Buffer[] = []
  socket.on('data', (piece) => {
    if (pieces.push(piece) === 1) socket.write('this is not HTTP\r\n\r\n')
  })
  await new Promise((resolve) => socket.once('close', resolve).resume())
  const all = Buffer.concat(pieces)
  const body = all.subarray(all.indexOf('\r\n\r\n') + 4)
  assert.ok(body.equals(huge.subarray(0, body.length)), 'whatever comes is of the file')
}

test('a client is an IPv4 address, or a /64', () => {
  assert.equal(clientKey('10.1.2.3'), '10.1.2.3')
  assert.equal(clientKey('::ffff:10.1.2.3'), '10.1.2.3')
  const same = ['2001:db8:0:1::1', '2001:db8:0:1:ffff::', '2001:0db8:0000:0001:1:2:3:4'].map(clientKey)
  assert.deepEqual(new Set(same), new Set(['2001:db8:0:1::/64']))
  assert.notEqual(clientKey('2001:db8:0:2::1'), same[0])
  assert.equal(clientKey('::1'), '0:0:0:0::/64')
  assert.equal(clientKey('fe80::1%eth0'), 'fe80:0:0:0::/64')
  assert.equal(clientKey(undefined), '')
})
