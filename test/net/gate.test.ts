import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import type { Connection } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { createGate } from '../../src/net/gate.ts'
import { MAX_GUESTS } from '../../src/net/limits.ts'
import { seedOf } from './mesh.ts'

test('guests whose handshakes run at the same time are no more than those that come one by one', async () => {
  const gate = createGate({
    membership: { isMember: () => false, acceptsGuests: () => true },
    clock: new VirtualClock(0),
    log: { debug: () => undefined, info: () => undefined, warn: () => undefined },
  })
  const aborted: string[] = []
  const connections = await Promise.all(
    Array.from({ length: MAX_GUESTS + 4 }, async (_, i) => {
      const key = await generateKeyPairFromSeed('Ed25519', seedOf(`guest-${i}`))
      const remotePeer = peerIdFromPrivateKey(key)
      const abort = (): number => aborted.push(remotePeer.toString())
      return { remotePeer, direction: 'inbound', abort } as unknown as Connection
    }),
  )
  // All of them are judged before the first is open.
  for (const { remotePeer } of connections) {
    assert.equal(gate.gater.denyInboundEncryptedConnection?.(remotePeer, {} as never), false)
  }
  for (const connection of connections) gate.onOpen(connection)
  assert.deepEqual(
    aborted,
    connections.slice(MAX_GUESTS).map(({ remotePeer }) => remotePeer.toString()),
  )
  gate.stop()
})
