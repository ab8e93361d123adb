import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import type { Connection, MultiaddrConnection } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { createGate } from '../../src/net/gate.ts'
import {
  MAX_GUESTS,
  MAX_GUESTS_PER_ADDRESS,
  MAX_PENDING_INBOUND,
  MAX_PENDING_PER_ADDRESS,
} from '../../src/net/limits.ts'
import { seedOf } from './mesh.ts'

function startGate() {
  return createGate({
    membership: { isMember: () => false, acceptsGuests: () => true },
    clock: new VirtualClock(0),
    log: { debug: () => undefined, info: () => undefined, warn: () => undefined },
  })
}

/** Of strangers, each of a key of its own. */
function guestsFrom(addresses: readonly string[], aborted: string[]): Promise<Connection[]> {
  return Promise.all(
    addresses.map(async (address, i) => {
      const remotePeer = peerIdFromPrivateKey(await generateKeyPairFromSeed('Ed25519', seedOf(`guest-${i}`)))
      const abort = (): number => aborted.push(remotePeer.toString())
      const remoteAddr = multiaddr(address)
      return { remotePeer, remoteAddr, direction: 'inbound', abort } as unknown as Connection
    }),
  )
}

test('guests whose handshakes run at the same time are no more than those that come one by one', async () => {
  const gate = startGate()
  const aborted: string[] = []
  const addresses = Array.from({ length: MAX_GUESTS + 4 }, (_, i) => `/ip4/192.0.2.${i}/tcp/4001`)
  const connections = await guestsFrom(addresses, aborted)
  // All of them are judged before the first is open.
  for (const { remotePeer, remoteAddr } of connections) {
    assert.equal(gate.gater.denyInboundEncryptedConnection?.(remotePeer, { remoteAddr } as never), false)
  }
  for (const connection of connections) gate.onOpen(connection)
  assert.deepEqual(
    aborted,
    connections.slice(MAX_GUESTS).map(({ remotePeer }) => remotePeer.toString()),
  )
  gate.stop()
})

test('one stranger with many keys does not keep out all others', async () => {
  const gate = startGate()
  const aborted: string[] = []
  const flood = Array.from({ length: MAX_GUESTS }, (_, i) => `/ip6/2001:db8::${i + 1}/tcp/${4001 + i}`)
  const connections = await guestsFrom([...flood, '/ip6/2001:db8:0:1::1/tcp/4001'], aborted)
  for (const connection of connections) gate.onOpen(connection)
  assert.deepEqual(
    aborted,
    connections.slice(MAX_GUESTS_PER_ADDRESS, MAX_GUESTS).map(({ remotePeer }) => remotePeer.toString()),
  )
  // As soon as one of them is gone there is room for another.
  gate.onClose(connections[0]!)
  gate.onOpen(connections[5]!)
  assert.equal(aborted.length, MAX_GUESTS - MAX_GUESTS_PER_ADDRESS)
  gate.stop()
})

test('one that opens connections and says nothing takes a part of those that may be under way', async () => {
  const gate = startGate()
  const open = (address: string): MultiaddrConnection =>
    Object.assign(new EventTarget(), { remoteAddr: multiaddr(address) }) as unknown as MultiaddrConnection
  const denied = (connection: MultiaddrConnection) => gate.gater.denyInboundConnection?.(connection)
  assert.ok(MAX_PENDING_PER_ADDRESS * 2 < MAX_PENDING_INBOUND)
  const silent = Array.from({ length: MAX_PENDING_PER_ADDRESS }, (_, i) =>
    open(`/ip4/192.0.2.1/tcp/${1000 + i}`),
  )
  for (const connection of silent) assert.equal(denied(connection), false)
  assert.equal(denied(open('/ip4/192.0.2.1/tcp/9')), true)
  assert.equal(denied(open('/ip4/192.0.2.2/tcp/9')), false)
  // One has ended, and one has shown whose it is: there is room for as many.
  silent[0]!.dispatchEvent(new Event('close'))
  const [{ remotePeer }] = (await guestsFrom(['/ip4/192.0.2.1/tcp/1001'], [])) as [Connection]
  gate.gater.denyInboundEncryptedConnection?.(remotePeer, silent[1]!)
  assert.equal(denied(open('/ip4/192.0.2.1/tcp/8')), false)
  assert.equal(denied(open('/ip4/192.0.2.1/tcp/9')), false)
  assert.equal(denied(open('/ip4/192.0.2.1/tcp/10')), true)
  gate.stop()
})
