import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { isMirrorError, MirrorError } from '../../src/base/errors.ts'
import { cidOf, RAW } from '../../src/block/cid.ts'
import type { HoldingUpdate } from '../../src/net/ports.ts'
import { keyPairFromSeed } from '../../src/record/key.ts'
import { introduce, MESH, noise, seedOf, TREE, until, withHosts, withPair } from './mesh.ts'

test('a host has the PeerId that records give its key', async () => {
  const seed = seedOf('anybody')
  const { peer } = keyPairFromSeed(seed)
  assert.equal(peerIdFromPrivateKey(await generateKeyPairFromSeed('Ed25519', seed)).toString(), peer)
  await withHosts(async (start) => {
    assert.equal((await start('anybody')).host.peerId, peer)
  })
})

for (const security of ['noise', 'tls'] as const) {
  test(`members connect over ${security}, see each other, and part`, async () => {
    await withPair(
      async (a, b) => {
        const events: string[] = []
        a.host.onPeer(({ connected }) => events.push(`a ${connected}`))
        b.host.onPeer(({ connected }) => events.push(`b ${connected}`))
        assert.equal(a.host.peers()[0]?.peer, b.host.peerId)
        assert.equal(a.host.peers()[0]?.direction, 'outbound')
        assert.deepEqual(a.host.peers()[0]?.addresses, [b.address])
        assert.equal(typeof a.host.peers()[0]?.rttMs, 'number')
        assert.equal(b.host.peers()[0]?.direction, 'inbound')
        await a.host.disconnect(b.host.peerId)
        await until(() => events.length === 2, 'both see the end')
        assert.deepEqual(events.sort(), ['a false', 'b false'])
      },
      { security: [security] },
    )
  })
}

test('a stranger is refused, whoever dials', async () => {
  await withHosts(async (start) => {
    const a = await start('alice')
    const b = await start('bob')
    a.members.add(b.host.peerId)
    const seen: unknown[] = []
    a.host.onPeer((event) => seen.push(event))
    await assert.rejects(a.host.dial(b.host.peerId, [b.address]), (error) =>
      isMirrorError(error, 'unreachable'),
    )
    await assert.rejects(b.host.dial(a.host.peerId, [a.address]), (error) => isMirrorError(error, 'refused'))
    assert.deepEqual(a.host.peers(), [])
    assert.deepEqual(seen, [])
    assert.deepEqual(b.host.peers(), [])
  })
})

test('dialling says what is wrong', async () => {
  await withHosts(async (start) => {
    const a = await start('alice')
    const b = await start('bob')
    introduce(a, b)
    await assert.rejects(a.host.dial(b.host.peerId, []), (error) => isMirrorError(error, 'unreachable'))
    await assert.rejects(a.host.dial(b.host.peerId, ['/ip4/127.0.0.1/tcp/1']), (error) => {
      assert.ok(isMirrorError(error, 'unreachable'))
      assert.match(error.message, /ECONNREFUSED/)
      return true
    })
    for (const address of [
      '/ip4/127.0.0.1/udp/1/quic-v1',
      `/ip4/1.2.3.4/tcp/1/p2p/${b.host.peerId}/p2p-circuit`,
      'nonsense',
      '/ip4/999.0.0.1/tcp/1',
    ]) {
      await assert.rejects(a.host.dial(b.host.peerId, [address]), (error) => isMirrorError(error, 'invalid'))
    }
    const cancelled = AbortSignal.abort(new Error('never mind'))
    await assert.rejects(a.host.dial(b.host.peerId, [b.address], cancelled), /never mind/)
    // Somebody else at the address of bob.
    const eve = await start('eve')
    await assert.rejects(a.host.dial(b.host.peerId, [eve.address]), (error) =>
      isMirrorError(error, 'unreachable'),
    )
  })
})

test('a member that is revoked loses its connection', async () => {
  await withPair(async (a, b) => {
    b.members.delete(a.host.peerId)
    await b.host.enforceMembership()
    await until(() => a.host.peers().length === 0 && b.host.peers().length === 0, 'the connection ends')
    await assert.rejects(a.host.dial(b.host.peerId, [b.address]), (error) =>
      isMirrorError(error, 'unreachable'),
    )
  })
})

test('a revoked member gets nothing even before its connection is closed', async () => {
  await withPair(async (a, b) => {
    const cid = b.blocks.addObject(noise(100))
    b.members.delete(a.host.peerId)
    await assert.rejects(a.host.fetchObject(b.host.peerId, { tree: TREE, cid }), (error) =>
      isMirrorError(error, 'unreachable'),
    )
    await assert.rejects(a.host.reconcile(b.host.peerId), (error) => isMirrorError(error, 'unreachable'))
    assert.deepEqual(b.records.offers, [])
  })
})

test('objects come verified; missing ones and foreign trees are undefined', async () => {
  await withPair(async (a, b) => {
    const bytes = noise(300_000)
    const cid = b.blocks.addObject(bytes)
    assert.deepEqual(await a.host.fetchObject(b.host.peerId, { tree: TREE, cid }), bytes)
    assert.equal(await a.host.fetchObject(b.host.peerId, { tree: 'another/tree', cid }), undefined)
    const absent = cidOf(RAW, noise(3))
    assert.equal(await a.host.fetchObject(b.host.peerId, { tree: TREE, cid: absent }), undefined)
  })
})

test('wrong bytes for an object are pinned on the peer that sent them', async () => {
  await withPair(async (a, b) => {
    const cid = b.blocks.addObject(noise(50))
    b.blocks.object = () => Promise.resolve(noise(50))
    await assert.rejects(a.host.fetchObject(b.host.peerId, { tree: TREE, cid }), (error) => {
      assert.ok(isMirrorError(error, 'corrupt'))
      assert.equal(error.facts.peer, b.host.peerId)
      return true
    })
  })
})

test('a watch brings updates in order until it is ended, and the peer is told', async () => {
  await withPair(async (a, b) => {
    const isOver = Promise.withResolvers<void>()
    const updates: HoldingUpdate[] = [
      { kind: 'unknown' },
      { kind: 'pages', full: [0, 1, 2, 7, 400_000] },
      { kind: 'blocks', page: 3, offsets: [0, 2, 3, 65_535] },
      { kind: 'complete' },
    ]
    b.blocks.watchUpdates = async function* (peer, request, signal) {
      assert.equal(peer, a.host.peerId)
      assert.ok(request.snapshot.equals(MESH))
      yield* updates
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      isOver.resolve()
    }
    const cancel = new AbortController()
    const seen: HoldingUpdate[] = []
    await assert.rejects(async () => {
      for await (const update of a.host.watch(b.host.peerId, { tree: TREE, snapshot: MESH }, cancel.signal)) {
        seen.push(update)
        if (seen.length === updates.length) cancel.abort(new Error('seen enough'))
      }
    }, /seen enough/)
    assert.deepEqual(seen, updates)
    await isOver.promise
  })
})

test('a watch ends as unreachable when the peer goes', async () => {
  await withPair(async (a, b) => {
    const watch = a.host.watch(b.host.peerId, { tree: TREE, snapshot: MESH }, new AbortController().signal)
    const iterator = watch[Symbol.asyncIterator]()
    assert.deepEqual((await iterator.next()).value, { kind: 'unknown' })
    const ended = assert.rejects(iterator.next(), (error) => isMirrorError(error, 'unreachable'))
    await b.host.disconnect(a.host.peerId)
    await ended
  })
})

test('records and statuses are gossiped across a peer in the middle; refused ones go no further', async () => {
  await withHosts(async (start) => {
    const [a, b, c] = [await start('alice'), await start('bob'), await start('carol')]
    introduce(a, b, c)
    await a.host.dial(b.host.peerId, [b.address])
    await c.host.dial(b.host.peerId, [b.address])
    const statuses: string[] = []
    c.host.onStatus((peer, status) =>
      statuses.push(`${peer === a.host.peerId ? 'alice' : '?'} ${new TextDecoder().decode(status)}`),
    )
    const record = noise(1000)
    b.records.refuse = (bytes) => (bytes[0] === 0 ? 'bad' : undefined)
    record[0] = 1
    let tries = 0
    // Subscriptions travel first; until then gossip reaches nobody, as after any start.
    while (c.records.held.size === 0 && tries++ < 1000) {
      record[1] = tries
      await a.host.publishRecord(record.slice())
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    assert.ok(c.records.held.size > 0)
    assert.equal(c.records.offers[0]?.from, b.host.peerId)
    await a.host.publishStatus(new TextEncoder().encode('well'))
    await until(() => statuses.length > 0, 'the status arrives')
    assert.equal(statuses[0], 'alice well')
    const before = c.records.offers.length
    record[0] = 0
    await a.host.publishRecord(record.slice())
    record[0] = 2
    const offered = b.records.offers.length
    await a.host.publishRecord(record.slice())
    await until(
      () => b.records.offers.length >= offered + 1 && c.records.offers.length > before,
      'the good one comes',
    )
    assert.ok([...c.records.held.values()].every((held) => held[0] !== 0))
    await assert.rejects(a.host.publishStatus(noise(33_000)), (error) => isMirrorError(error, 'limit'))
    await assert.rejects(a.host.publishRecord(noise(70_000)), (error) => isMirrorError(error, 'limit'))
  })
})

test('a newcomer claims an invite and gets the records; a second claim is refused with the reason', async () => {
  await withHosts(async (start) => {
    const invite = cidOf(RAW, noise(8))
    const secret = noise(32)
    const records = [
      noise(100),
      noise(60_000),
      noise(60_000),
      ...Array.from({ length: 200 }, () => noise(5_000)),
    ]
    let isUsed = false
    const claimed: string[] = []
    const a = await start('alice', {
      admission: {
        claim(request) {
          if (isUsed) return Promise.reject(new MirrorError('refused', 'this invite is used'))
          assert.deepEqual(request.secret, secret)
          assert.ok(request.invite.equals(invite))
          claimed.push(request.peer)
          isUsed = true
          return Promise.resolve({ records })
        },
      },
    })
    const b = await start('bob')
    const ask = { peer: a.host.peerId, addresses: [a.address], mesh: MESH, secret, invite }
    await assert.rejects(b.host.join(ask), (error) => isMirrorError(error, 'unreachable'))
    a.guests.areWelcome = true
    // As a newcomer does: it trusts the admitter, who does not know it yet.
    b.members.add(a.host.peerId)
    await assert.rejects(b.host.join({ ...ask, mesh: invite }), /another mesh/)
    assert.deepEqual(await b.host.join(ask), records)
    assert.deepEqual(claimed, [b.host.peerId])
    await assert.rejects(b.host.join(ask), (error) => {
      assert.ok(isMirrorError(error, 'refused'))
      assert.match(error.message, /this invite is used/)
      return true
    })
    assert.deepEqual(a.host.peers(), [])
    assert.deepEqual(b.host.peers(), [])
  })
})

test('an error of the admitter itself is not told to strangers', async () => {
  await withHosts(async (start) => {
    const a = await start('alice', {
      admission: { claim: () => Promise.reject(new Error('/var/lib/secret: EIO')) },
    })
    a.guests.areWelcome = true
    const b = await start('bob')
    const ask = { peer: a.host.peerId, addresses: [a.address], mesh: MESH, secret: noise(32), invite: MESH }
    await assert.rejects(b.host.join(ask), (error) => {
      assert.ok(isMirrorError(error, 'refused'))
      assert.doesNotMatch(error.message, /secret/)
      return true
    })
  })
})

test('a port that is taken is said so, and the host leaves nothing behind', async () => {
  await withHosts(async (start) => {
    const a = await start('alice')
    const port = a.address.split('/').at(-1)
    await assert.rejects(start('bob', { listen: [`127.0.0.1:${port}`] }), (error) => {
      assert.ok(isMirrorError(error))
      assert.equal(error.code, 'conflict')
      assert.match(error.message, /^listen on 127\.0\.0\.1:\d+: address already in use 127\.0\.0\.1:\d+$/)
      return true
    })
    await assert.rejects(start('bob', { listen: ['nonsense'] }), (error) => isMirrorError(error, 'invalid'))
  })
})

test('announced addresses replace those listened on', async () => {
  await withHosts(async (start) => {
    const a = await start('alice', { announce: ['mirror.example.com:4001', '[2001:db8::1]:4001'] })
    assert.deepEqual(a.host.addresses(), ['/dns/mirror.example.com/tcp/4001', '/ip6/2001:db8::1/tcp/4001'])
  })
})
