/** Our TLS against libp2p's own, and against bytes that come as they please. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p, Stream } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { generateCertificate, verifyPeerCertificate } from '@libp2p/tls/utils'
import type { Multiaddr } from '@multiformats/multiaddr'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { directTls } from '../../src/net/tls.ts'

const ECHO = '/test/echo'
const BYTES = 4 * 1024 * 1024

async function startNode(kind: 'ours' | 'theirs'): Promise<Libp2p> {
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [kind === 'ours' ? directTls() : tls()],
    streamMuxers: [yamux()],
  })
  await node.handle(ECHO, async (stream) => {
    for await (const chunk of stream) {
      if (!stream.send(chunk)) await once(stream, 'drain')
    }
    await stream.close()
  })
  return node
}

function portOf(node: Libp2p): number {
  return Number(/tcp\/(\d+)/.exec(String(node.getMultiaddrs()[0]))?.[1])
}

async function echoed(stream: Stream, sent: Uint8Array): Promise<Buffer> {
  const parts: Uint8Array[] = []
  const reading = (async () => {
    for await (const chunk of stream) parts.push(chunk instanceof Uint8Array ? chunk : chunk.subarray())
  })()
  for (let at = 0; at < sent.length; at += 100_000) {
    if (!stream.send(sent.subarray(at, at + 100_000))) await once(stream, 'drain')
  }
  await stream.close()
  await reading
  return Buffer.concat(parts)
}

for (const [dialer, listener] of [
  ['ours', 'theirs'],
  ['theirs', 'ours'],
  ['ours', 'ours'],
] as const) {
  test(`a stream passes between ${dialer}, dialling, and ${listener}, whole and both ways`, async (t) => {
    const [a, b] = await Promise.all([startNode(dialer), startNode(listener)])
    t.after(() => Promise.all([a.stop(), b.stop()]))
    const sent = Buffer.alloc(BYTES)
    for (let i = 0; i < BYTES; i += 4) sent.writeUInt32LE(Math.imul(i, 0x9e3779b1) >>> 0, i)
    const stream = await a.dialProtocol(b.getMultiaddrs() as Multiaddr[], ECHO)
    assert.ok(sent.equals(await echoed(stream, sent)))
    const gone = once(b, 'peer:disconnect')
    await a.hangUp(b.peerId)
    await gone
  })
}

test('another key than the one that was dialled is refused, by one that knows its certificate, too', async (t) => {
  const [a, b] = await Promise.all([startNode('ours'), startNode('ours')])
  t.after(() => Promise.all([a.stop(), b.stop()]))
  for (let i = 0; i < 2; i++) {
    const connection = await a.dial(b.getMultiaddrs())
    assert.ok(connection.remotePeer.equals(b.peerId))
    await a.hangUp(b.peerId)
  }
  const other = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
  const address = String(b.getMultiaddrs()[0]).replace(/\/p2p\/.*/, '')
  await assert.rejects(a.dial(multiaddr(`${address}/p2p/${other}`)))
  assert.equal(a.getConnections().length, 0)
})

test('a listener that stops in the turn in which a connection opens harms nobody', async (t) => {
  const a = await startNode('theirs')
  t.after(() => a.stop())
  for (let i = 0; i < 3; i++) {
    const b = await startNode('ours')
    const opened = once(b, 'connection:open')
    const dialled = a.dial(b.getMultiaddrs() as Multiaddr[]).catch(() => undefined)
    await opened
    await b.stop()
    await dialled
  }
})

test('a handshake that comes in one piece with the negotiation is taken up, and its end noticed', async (t) => {
  const node = await startNode('ours')
  t.after(() => node.stop())
  const socket = connectTcp(portOf(node), '127.0.0.1')
  await once(socket, 'connect')
  const words = Buffer.from('\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n')
  let left = words.length
  let isFirst = true
  const carrier = new Duplex({
    read: () => undefined,
    write(chunk: Buffer, _encoding, done) {
      socket.write(isFirst ? Buffer.concat([words, chunk]) : chunk, done)
      isFirst = false
    },
  })
  socket.on('data', (chunk: Buffer) => {
    const skipped = Math.min(left, chunk.length)
    left -= skipped
    if (skipped < chunk.length) carrier.push(chunk.subarray(skipped))
  })
  const key = await generateKeyPair('Ed25519')
  const secured = connectTls({
    ...(await generateCertificate(key)),
    socket: carrier,
    rejectUnauthorized: false,
    ALPNProtocols: ['/yamux/1.0.0', 'libp2p'],
  })
  const connected = once(node, 'connection:open') as Promise<[CustomEvent]>
  await once(secured, 'secureConnect')
  assert.equal(secured.alpnProtocol, '/yamux/1.0.0')
  const server = await verifyPeerCertificate(secured.getPeerCertificate().raw)
  assert.ok(server.equals(node.peerId))
  const [{ detail }] = await connected
  assert.ok(peerIdFromPrivateKey(key).equals(detail.remotePeer))
  const closed = once(node, 'connection:close')
  socket.destroy()
  await closed
})

test('bytes that are no handshake end the connection and nothing else', async (t) => {
  const node = await startNode('ours')
  t.after(() => node.stop())
  const socket = connectTcp(portOf(node), '127.0.0.1')
  socket.on('error', () => undefined)
  socket.resume()
  socket.write(`\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n${'nonsense'.repeat(1000)}`)
  await once(socket, 'close')
  assert.equal(node.getConnections().length, 0)
  const other = await startNode('theirs')
  t.after(() => other.stop())
  const opened = once(node, 'connection:open')
  await other.dial(node.getMultiaddrs() as Multiaddr[])
  await opened
  assert.equal(node.getConnections().length, 1)
})
