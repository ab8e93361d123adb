/** The pacer on real connections: what the kernel is told of them, and when it is told no more. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { createPathPacer } from '../../src/net/path-pacer.ts'
import { boundPacing, boundUnsent, readTcpInfo } from '../../src/posix/tcp.ts'

/** Many packets, also of those of a machine with itself, which have 64 KiB. */
const MESSAGE = new Uint8Array(512 * 1024)
/** Any queue at all is too much: on this machine itself round trips are microseconds, and no two are the same. */
const NO_QUEUE = { targetMs: 0.000_001, minBytesPerSecond: 100_000 }

/** A connection to a server that says a byte for each that it hears. */
async function connected(t: TestContext): Promise<Socket> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined).pipe(socket)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as { port: number }
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  t.after(() => {
    socket.destroy()
    server.close()
  })
  return socket
}

async function exchange(socket: Socket): Promise<void> {
  socket.write(MESSAGE)
  for (let bytes = 0; bytes < MESSAGE.length; ) {
    const [data] = (await once(socket, 'data')) as [Uint8Array]
    bytes += data.length
  }
}

const fdOf = (socket: Socket): number =>
  (socket as unknown as { readonly _handle: { readonly fd: number } })._handle.fd

test('the kernel tells of a connection, and takes bounds for it', async (t) => {
  const socket = await connected(t)
  await exchange(socket)
  const info = readTcpInfo(fdOf(socket))!
  assert.ok(info.rttMs > 0 && info.minRttMs > 0 && info.minRttMs <= info.rttMs, JSON.stringify(info))
  assert.ok(info.receivedBytes >= MESSAGE.length)
  assert.equal(info.maxBytesPerSecond, undefined)
  assert.equal(boundPacing(fdOf(socket), 1_000_000), true)
  assert.equal(boundUnsent(fdOf(socket), 100_000), true)
  assert.equal(readTcpInfo(fdOf(socket))?.maxBytesPerSecond, 1_000_000)
  assert.equal(boundPacing(fdOf(socket), undefined), true)
  assert.equal(boundUnsent(fdOf(socket), undefined), true)
  assert.equal(readTcpInfo(fdOf(socket))?.maxBytesPerSecond, undefined)
  assert.equal(readTcpInfo(0xffff), undefined)
  assert.equal(boundPacing(0xffff, 1), false)
})

test('connections to far peers are paced while a queue stands, together at the rate of the path, and then no more', async (t) => {
  const clock = new VirtualClock()
  const pacer = createPathPacer({ clock, isFar: (peer) => peer !== 'near' }, NO_QUEUE)
  t.after(() => pacer.stop())
  const [a, b, near] = [await connected(t), await connected(t), await connected(t)]
  pacer.add('far', a)
  pacer.add('far', b)
  pacer.add('near', near)
  const bounds = () =>
    [a, b, near].map((socket) => readTcpInfo(fdOf(socket))?.maxBytesPerSecond ?? Number.POSITIVE_INFINITY)
  const pass = async (): Promise<void> => {
    await Promise.all([a, b, near].map(exchange))
    clock.advanceTo(clock.monotonicMs() + 50)
  }
  for (
    let i = 0;
    i < 100 &&
    bounds()
      .slice(0, 2)
      .some((bound) => bound === Number.POSITIVE_INFINITY);
    i++
  )
    await pass()
  for (const bound of bounds().slice(0, 2)) assert.ok(bound >= 25_000 && bound < 1e9, `${bound}`)
  assert.equal(bounds()[2], Number.POSITIVE_INFINITY)
  const path = pacer.pathTo('far')
  assert.equal(path?.connections, 2)
  assert.ok(path.bytesPerSecond! >= NO_QUEUE.minBytesPerSecond && path.queueMs >= 0 && path.baseMs > 0)
  assert.equal(pacer.pathTo('near'), undefined)
  assert.deepEqual(
    pacer.paths().map(({ peer }) => peer),
    ['far'],
  )

  // Nobody is given way to any more.
  pacer.change(undefined)
  assert.deepEqual(bounds(), [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY])
  await pass()
  assert.equal(pacer.pathTo('far')?.bytesPerSecond, undefined)

  // A connection that has ended is looked at no more: its number may be another's by now.
  a.destroy()
  await once(a, 'close')
  assert.equal(pacer.pathTo('far')?.connections, 1)
  b.destroy()
  await once(b, 'close')
  assert.equal(pacer.pathTo('far'), undefined)
})

test('a path that carries nothing is bounded no more when it is used again', async (t) => {
  const clock = new VirtualClock()
  const pacer = createPathPacer({ clock, isFar: () => true }, NO_QUEUE)
  t.after(() => pacer.stop())
  const socket = await connected(t)
  pacer.add('far', socket)
  const bound = () => readTcpInfo(fdOf(socket))?.maxBytesPerSecond
  for (let i = 0; i < 100 && bound() === undefined; i++) {
    await exchange(socket)
    clock.advanceTo(clock.monotonicMs() + 50)
  }
  assert.notEqual(bound(), undefined)
  clock.advanceTo(clock.monotonicMs() + 11_000)
  assert.equal(bound(), undefined)
})

test('lone small messages tell of no queue: their acknowledgements may wait at the other end', async (t) => {
  const clock = new VirtualClock()
  const pacer = createPathPacer({ clock, isFar: () => true }, NO_QUEUE)
  t.after(() => pacer.stop())
  const socket = await connected(t)
  pacer.add('far', socket)
  for (let i = 0; i < 50; i++) {
    socket.write(new Uint8Array(100))
    await once(socket, 'data')
    clock.advanceTo(clock.monotonicMs() + 50)
  }
  assert.equal(pacer.pathTo('far'), undefined)
  assert.equal(readTcpInfo(fdOf(socket))?.maxBytesPerSecond, undefined)
})
