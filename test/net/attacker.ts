/** A peer that speaks libp2p, is under a test's control, and meets one of our hosts. */
import { noise as noiseEncryption } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import type { Connection, Libp2p } from '@libp2p/interface'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import type { VirtualClock } from '../../src/base/virtual-clock.ts'
import { seedOf, type TestPeer, withHosts } from './mesh.ts'

export type Raw = Libp2p<{ gossip: ReturnType<ReturnType<typeof gossipsub>> }>

/** A libp2p node under the attacker's control, and a host that may or may not know it. */
export async function withAttacker(
  body: (victim: TestPeer, attacker: Raw, connect: () => Promise<Connection>) => Promise<void>,
  { isMember = true, clock }: { isMember?: boolean; clock?: VirtualClock } = {},
): Promise<void> {
  await withHosts(async (start) => {
    const victim = await start('victim', clock === undefined ? {} : { clock })
    const attacker = (await createLibp2p({
      privateKey: await generateKeyPairFromSeed('Ed25519', seedOf('mallory')),
      addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
      transports: [tcp()],
      connectionEncrypters: [noiseEncryption()],
      streamMuxers: [yamux()],
      services: {
        identify: identify(),
        ping: ping(),
        gossip: gossipsub({
          fallbackToFloodsub: false,
          allowPublishToZeroTopicPeers: true,
          floodPublish: true,
        }),
      },
    })) as unknown as Raw
    try {
      if (isMember) victim.members.add(attacker.peerId.toString())
      const target = multiaddr(`${victim.address}/p2p/${victim.host.peerId}`)
      await body(victim, attacker, () => attacker.dial(target))
    } finally {
      await attacker.stop()
    }
  })
}
