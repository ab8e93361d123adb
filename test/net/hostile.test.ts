/** Peers that speak libp2p and break our rules. */
import assert from 'node:assert/strict'
import { createConnection } from 'node:net'
import { test } from 'node:test'
import type { Connection, Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { BLOCKS_PROTOCOLS } from '../../src/net/block-protocol.ts'
import { gossipTopics } from '../../src/net/gossip.ts'
import { JOIN_PROTOCOL } from '../../src/net/join-protocol.ts'
import { MAX_INBOUND_PER_PEER, MAX_SERVED_WINDOW_BYTES } from '../../src/net/limits.ts'
import { RECORDS_PROTOCOL } from '../../src/net/record-protocol.ts'
import { WATCH_PROTOCOL } from '../../src/net/watch-protocol.ts'
import { encodeBlocksRequest } from '../../src/net/wire/blocks.ts'
import { u16, u32 } from '../../src/net/wire/fields.ts'
import { createFrameDecoder, encodeFrame } from '../../src/net/wire/frame.ts'
import { OBJECT_1, OBJECT_2 } from '../../src/net/wire/object.ts'
import { DONE, RECORDS } from '../../src/net/wire/records.ts'
import { CANCEL, decodeRequestBody, END, encodeRequestFrame, REQUEST } from '../../src/net/wire/request.ts'
import { type Raw, withAttacker } from './attacker.ts'
import { MESH, noise, PAGE, type TestPeer, TREE, until, withHosts } from './mesh.ts'

const [BLOCKS_PROTOCOL] = BLOCKS_PROTOCOLS
const PROTOCOLS = [...BLOCKS_PROTOCOLS, OBJECT_2, OBJECT_1, WATCH_PROTOCOL, RECORDS_PROTOCOL]

/** What the other side does with the stream in the end. */
function ending(stream: Stream): Promise<string> {
  return new Promise((resolve) => {
    stream.addEventListener('message', () => undefined)
    stream.addEventListener('close', () => resolve(stream.status))
    if (stream.status !== 'open') resolve(stream.status)
  })
}

const request = (id: number, offsets: number[]): Uint8Array =>
  encodeRequestFrame(REQUEST, id, encodeBlocksRequest({ tree: TREE, page: PAGE, offsets }))

test('a frame that declares more than its type may hold ends the stream, not the connection', async () => {
  await withAttacker(async (_victim, _attacker, connect) => {
    const connection = await connect()
    for (const protocol of PROTOCOLS) {
      const stream = await connection.newStream(protocol)
      const end = ending(stream)
      stream.send(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x01))
      assert.equal(await end, 'reset', protocol)
    }
    assert.equal(connection.status, 'open')
  })
})

const tree = (name: string): Uint8Array[] => [u16(name.length), new TextEncoder().encode(name)]
const page = Uint8Array.of(0x55, ...new Uint8Array(32))
const badRequests: Record<string, Uint8Array> = {
  'of an unknown type': encodeFrame(0x40, []),
  'without a type': u32(0),
  'cut short': encodeRequestFrame(REQUEST, 1, [u16(5)]),
  'for a tree outside': encodeRequestFrame(REQUEST, 1, [...tree('../etc'), page, u16(1), u16(0)]),
  'with another kind of CID': encodeRequestFrame(REQUEST, 1, [
    ...tree('a'),
    page.with(0, 0x70),
    u16(1),
    u16(0),
  ]),
  'with no offsets': encodeRequestFrame(REQUEST, 1, [...tree('a'), page, u16(0)]),
  'with an offset twice': encodeRequestFrame(REQUEST, 1, [...tree('a'), page, u16(2), u16(3), u16(3)]),
  'with more offsets than it counts': encodeRequestFrame(REQUEST, 1, [
    ...tree('a'),
    page,
    u16(1),
    u16(0),
    u16(1),
  ]),
  'with fewer offsets than it counts': encodeRequestFrame(REQUEST, 1, [...tree('a'), page, u16(9), u16(0)]),
}

for (const [what, bytes] of Object.entries(badRequests)) {
  test(`a request ${what} ends the stream`, async () => {
    await withAttacker(async (victim, _attacker, connect) => {
      const stream = await (await connect()).newStream(BLOCKS_PROTOCOL)
      const end = ending(stream)
      stream.send(bytes)
      if (what === 'without a type') stream.send(new Uint8Array(8))
      assert.equal(await end, 'reset')
      assert.equal(victim.blocks.asked, 0)
    })
  })
}

test('a request id that is in use ends the stream', async () => {
  await withAttacker(async (victim, _attacker, connect) => {
    victim.blocks.beforeBlock = (_offset, signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    const stream = await (await connect()).newStream(BLOCKS_PROTOCOL)
    const end = ending(stream)
    stream.send(request(1, [0]))
    stream.send(request(1, [1]))
    assert.equal(await end, 'reset')
  })
})

test('a flood of requests is answered busy beyond the budget, and bounded', async () => {
  await withAttacker(async (victim, _attacker, connect) => {
    let running = 0
    let most = 0
    const gate = Promise.withResolvers<void>()
    victim.blocks.beforeBlock = async () => {
      most = Math.max(most, ++running)
      await gate.promise
      running--
    }
    const stream = await (await connect()).newStream(BLOCKS_PROTOCOL)
    const answers = new Map<number, number>()
    const decoder = createFrameDecoder({ 129: 1e6, 130: 1e6, 131: 4, 132: 4 })
    stream.addEventListener('message', ({ data }) => {
      for (const { type, body } of decoder.push(data.subarray())) {
        const { id } = decodeRequestBody(body)
        if (type !== END) answers.set(id, type)
      }
    })
    for (let id = 1; id <= 1000; id++) stream.send(request(id, [id]))
    await until(() => answers.size === 744, 'all beyond 256 are busy')
    assert.ok([...answers.values()].every((type) => type === 0x83))
    gate.resolve()
    await until(() => answers.size === 1000, 'the rest is answered')
    assert.equal([...answers.values()].filter((type) => type === 0x82).length, 256)
    assert.equal(most, 4)
  })
})

test('a peer that does not read what it asked for is not read for without end', async () => {
  await withAttacker(async (victim, _attacker, connect) => {
    for (let offset = 0; offset < 1024; offset++) victim.blocks.pages.set(offset, noise(256 * 1024))
    let produced = 0
    victim.blocks.beforeBlock = () => {
      produced++
      return Promise.resolve()
    }
    const stream = await (await connect()).newStream(BLOCKS_PROTOCOL)
    stream.pause()
    stream.send(request(1, [...Array(1024).keys()]))
    await until(() => produced > 0, 'it begins')
    // Quiet for as long as it takes to be sure: 20 looks in a row see no progress.
    for (let same = 0, last = 0; same < 20; same = produced === last ? same + 1 : 0, last = produced) {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    assert.ok(produced < 64, `${produced} of 1024 blocks were read for a peer that takes none`)
  })
})

test('what a peer may send in advance of being read stays small, however fast it is read at first', async () => {
  await withAttacker(async (_victim, _attacker, connect) => {
    const connection = await connect()
    for (const protocol of [BLOCKS_PROTOCOL, OBJECT_2]) {
      const stream = await connection.newStream(protocol)
      const window = (): number => (stream as unknown as { sendWindowCapacity: number }).sendWindowCapacity
      // Of nothing that is under way: read at once, and over.
      const cancels = Buffer.concat(Array.from({ length: 100 }, (_, i) => encodeRequestFrame(CANCEL, i)))
      const sizes: number[] = []
      for (let i = 0; i < 60; i++) {
        stream.send(cancels)
        await new Promise((resolve) => setImmediate(resolve))
        sizes.push(window())
      }
      assert.ok(Math.max(...sizes) <= MAX_SERVED_WINDOW_BYTES, `${protocol}: ${Math.max(...sizes)} bytes`)
    }
  })
})

test('a stream that says nothing, and a frame that never ends, are given up', async () => {
  const clock = new VirtualClock()
  await withAttacker(
    async (_victim, _attacker, connect) => {
      const connection = await connect()
      const [mute, slow] = [await connection.newStream(BLOCKS_PROTOCOL), await connection.newStream(OBJECT_2)]
      const ends = [ending(mute), ending(slow)]
      slow.send(Uint8Array.of(0, 0, 0, 20, 1, 7))
      let isOver = false
      const over = Promise.all(ends).then((statuses) => {
        isOver = true
        return statuses
      })
      // Virtual minutes pass while one byte at a time comes in.
      for (let i = 0; i < 200 && !isOver; i++) {
        await new Promise((resolve) => setTimeout(resolve, 5))
        clock.advanceTo(clock.nowMs() + 10_000)
        if (slow.status === 'open' && i < 12) slow.send(Uint8Array.of(1))
      }
      assert.deepEqual(await over, ['reset', 'reset'])
    },
    { clock },
  )
})

test('a stranger does not get in', async () => {
  await withAttacker(
    async (victim, attacker, connect) => {
      const got = await connect()
        .then((connection) => connection.newStream(BLOCKS_PROTOCOL))
        .catch((error: Error) => error)
      assert.ok(got instanceof Error)
      await until(() => attacker.getConnections().length === 0, 'the connection is closed')
      assert.ok(victim.logged.includes('net.gate.refused'))
    },
    { isMember: false },
  )
})

test('a guest reaches the join protocol only, and only for a short time', async () => {
  const clock = new VirtualClock()
  await withAttacker(
    async (victim, attacker, connect) => {
      victim.guests.areWelcome = true
      victim.records.add(noise(9))
      const subscriptions: string[] = []
      attacker.services.gossip.addEventListener('subscription-change', ({ detail }) => {
        subscriptions.push(...detail.subscriptions.map(({ topic }) => topic))
      })
      const connection = await connect()
      for (const protocol of [...PROTOCOLS, '/meshsub/1.1.0', '/ipfs/id/1.0.0', '/ipfs/ping/1.0.0']) {
        const stream = await connection.newStream(protocol)
        let heard = 0
        stream.addEventListener('message', ({ data }) => {
          heard += data.byteLength
        })
        assert.equal(await ending(stream), 'reset', protocol)
        assert.equal(heard, 0, protocol)
      }
      const join = await connection.newStream(JOIN_PROTOCOL)
      assert.equal(join.status, 'open')
      assert.deepEqual(victim.host.peers(), [])
      assert.deepEqual(subscriptions, [])
      clock.advanceTo(clock.nowMs() + 20_000)
      await until(() => connection.status !== 'open', 'the visit ends')
    },
    { isMember: false, clock },
  )
})

test('a member cannot take the connections of the others: its own are few, the oldest goes first', async () => {
  await withAttacker(async (victim, attacker, connect) => {
    const target = multiaddr(`${victim.address}/p2p/${victim.host.peerId}`)
    const connections = [await connect()]
    for (let i = 0; i < 15; i++) connections.push(await attacker.dial(target, { force: true }))
    const open = (): Connection[] => connections.filter(({ status }) => status === 'open')
    await until(() => open().length <= MAX_INBOUND_PER_PEER, 'only a few connections are left')
    assert.equal(open().at(-1), connections.at(-1))
    assert.equal((await connections.at(-1)!.newStream(BLOCKS_PROTOCOL)).status, 'open')
  })
})

test('gossip on other topics, of forged authors and of strangers is neither kept nor passed on', async () => {
  const ask = async (victim: TestPeer, attacker: Raw, connect: () => Promise<Connection>): Promise<void> => {
    const topics = gossipTopics(MESH)
    const statuses: string[] = []
    victim.host.onStatus((peer) => statuses.push(peer))
    await connect()
    const { gossip } = attacker.services
    gossip.subscribe(topics.status)
    gossip.subscribe('something/else')
    await until(() => gossip.getSubscribers(topics.status).length === 1, 'the victim listens')
    assert.equal(gossip.getSubscribers('something/else').length, 0)
    await gossip.publish('something/else', noise(10))
    await gossip.publish(topics.status, noise(40_000))
    await gossip.publish(topics.records, noise(70_000))
    for (let i = 0; i < 100; i++) await gossip.publish(topics.status, noise(100))
    await until(() => statuses.length > 0, 'an honest status arrives')
    await gossip.publish(topics.records, noise(100))
    await until(() => victim.records.offers.length > 0, 'an honest record arrives')
    assert.equal(victim.records.offers.length, 1)
    // The burst, and no more: time stands still, however long the flood takes.
    assert.ok(statuses.length <= 10, `${statuses.length} statuses of a flood of 100`)
  }
  await withAttacker(ask, { clock: new VirtualClock() })
})

test('an admitter that answers with records without end does not fill a newcomer', async () => {
  await withAttacker(async (victim, attacker) => {
    const record = noise(64 * 1024)
    const records = encodeFrame(
      RECORDS,
      [1, 2, 3, 4].flatMap(() => [u32(record.length), record]),
    )
    await attacker.handle(JOIN_PROTOCOL, async (stream) => {
      stream.addEventListener('message', () => undefined)
      for (let i = 0; i < 400 && stream.status === 'open'; i++) {
        if (!stream.send(records)) await stream.onDrain()
      }
      stream.send(encodeFrame(DONE, []))
    })
    const addresses = attacker.getMultiaddrs().map((address) => address.toString().replace(/\/p2p\/.*/, ''))
    const request = {
      peer: attacker.peerId.toString(),
      addresses,
      mesh: MESH,
      secret: noise(32),
      invite: PAGE,
    }
    await assert.rejects(victim.host.join(request), { code: 'limit' })
  })
})

test('bytes that are not libp2p at all do no harm', async () => {
  await withHosts(async (start) => {
    const victim = await start('victim')
    const port = Number(victim.address.split('/').at(-1))
    for (const bytes of [noise(10_000), Buffer.from('GET / HTTP/1.1\r\n\r\n'), new Uint8Array(100_000)]) {
      const socket = createConnection(port, '127.0.0.1')
      socket.on('error', () => undefined)
      const closed = new Promise((resolve) => socket.on('close', resolve))
      socket.write(bytes)
      socket.resume()
      setTimeout(() => socket.destroy(), 300)
      await closed
    }
    const friend = await start('friend')
    victim.members.add(friend.host.peerId)
    friend.members.add(victim.host.peerId)
    await friend.host.dial(victim.host.peerId, [victim.address])
  })
})
