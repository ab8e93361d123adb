/** What a stranger without a token can take of a node by the API's port: a bounded number of connections, for a bounded time. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { makeTcpApp } from '../../../node/api/server.ts'
import { createTcpListener, TCP_SERVER_LIMITS } from '../../../node/api/tcp-listener.ts'
import { systemClock } from '../../../src/base/clock.ts'

const log = { debug: () => undefined, info: () => undefined, warn: () => undefined }
const QUICK = {
  headersTimeout: 300,
  requestTimeout: 600,
  keepAliveTimeout: 300,
  connectionsCheckingInterval: 50,
}

async function listen(
  t: TestContext,
  { maxConnections = 64, maxClientConnections = 64 } = {},
): Promise<number> {
  const app = makeTcpApp({ forceCloseConnections: true }, null, QUICK)
  app.post('/console/login', { bodyLimit: 4096 }, () => ({}))
  const listener = createTcpListener(
    app,
    { host: '127.0.0.1', port: 0, files: undefined, names: [] },
    {
      clock: systemClock,
      log,
      onCertificate: () => undefined,
      limits: { maxConnections, maxClientConnections },
    },
  )
  await listener.start()
  t.after(() => listener.stop())
  return Number(new URL(listener.url()!).port)
}

async function open(t: TestContext, port: number, localAddress = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, localAddress })
  t.after(() => socket.destroy())
  socket.on('error', () => undefined)
  socket.resume()
  await once(socket, 'connect')
  return socket
}

const isClosed = (socket: Socket): Promise<unknown> =>
  socket.closed ? Promise.resolve() : once(socket, 'close', { signal: AbortSignal.timeout(20_000) })

test('a request that arrives slowly, or never, does not keep its connection', async (t) => {
  const port = await listen(t)
  const silent = await open(t, port)
  const slowHead = await open(t, port)
  slowHead.write('POST /console/login HTTP/1.1\r\nhost: localhost\r\nx-slow: ')
  const slowBody = await open(t, port)
  slowBody.write(
    'POST /console/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{',
  )
  await Promise.all([silent, slowHead, slowBody].map(isClosed))
  assert.ok(TCP_SERVER_LIMITS.headersTimeout > 0 && TCP_SERVER_LIMITS.requestTimeout > 0)
})

test('one client cannot take all connections, and all together not more than there are', async (t) => {
  const port = await listen(t, { maxConnections: 6, maxClientConnections: 3 })
  const ask = async (localAddress: string): Promise<number> => {
    const socket = connect({ host: '127.0.0.1', port, localAddress })
    t.after(() => socket.destroy())
    let text = ''
    socket.on('data', (piece) => {
      text += String(piece)
    })
    socket.on('error', () => undefined)
    socket.write(
      'POST /console/login HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n',
    )
    await isClosed(socket)
    return Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0)
  }
  for (let i = 0; i < 3; i++) await open(t, port, '127.0.0.1')
  assert.equal(await ask('127.0.0.1'), 0, 'its fourth is closed')
  assert.notEqual(await ask('127.0.0.2'), 0, 'another is heard')
})
