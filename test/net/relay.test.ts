import assert from 'node:assert/strict'
import { test } from 'node:test'
import { relayedAddress } from '../../src/net/address.ts'
import type { TestPeer } from './mesh.ts'
import { introduce, noise, PAGE, TREE, until, withHosts } from './mesh.ts'

/** It listens nowhere, so nobody can dial it. */
const HIDDEN = { listen: [], isReachable: () => false }

function connected(one: TestPeer, other: TestPeer): 'directly' | 'relayed' | undefined {
  const info = one.host.peers().find(({ peer }) => peer === other.host.peerId)
  return info === undefined ? undefined : info.isRelayed === true ? 'relayed' : 'directly'
}

async function blockOf(one: TestPeer, other: TestPeer, offset: number): Promise<Uint8Array | undefined> {
  const channel = one.host.openBlocks(other.host.peerId)
  let bytes: Uint8Array | undefined
  await channel.request({ tree: TREE, page: PAGE, offsets: [offset] }, ([answer]) => {
    bytes = answer!.bytes
  })
  channel.close()
  return bytes
}

/** Until it has a reservation at the relay, of which it then tells as an address. */
async function reservedAt(hidden: TestPeer, relay: TestPeer): Promise<void> {
  const address = relayedAddress(relay.host.peerId)
  await until(() => hidden.host.addresses().includes(address), 'a reservation')
}

test('a member that cannot be dialled serves and gossips over the connection that it dialled', async () => {
  await withHosts(async (start) => {
    const hidden = await start('hidden', HIDDEN)
    const open = await start('open')
    introduce(hidden, open)
    hidden.blocks.pages.set(0, noise(1000))
    open.blocks.pages.set(1, noise(1000))
    await hidden.host.dial(open.host.peerId, [open.address])
    assert.deepEqual(await blockOf(open, hidden, 0), hidden.blocks.pages.get(0))
    assert.deepEqual(await blockOf(hidden, open, 1), open.blocks.pages.get(1))
    hidden.records.add(noise(100))
    await open.host.reconcile(hidden.host.peerId)
    assert.deepEqual(open.records.ids(), hidden.records.ids())
  })
})

test('two members that cannot be dialled reach each other through a third', async () => {
  await withHosts(async (start) => {
    const relay = await start('relay')
    const one = await start('one', HIDDEN)
    const other = await start('other', HIDDEN)
    introduce(relay, one, other)
    for (const hidden of [one, other]) await hidden.host.dial(relay.host.peerId, [relay.address])
    await reservedAt(other, relay)
    await one.host.dial(other.host.peerId, other.host.addresses())
    assert.equal(connected(one, other), 'relayed')
    await until(() => connected(other, one) === 'relayed', 'the other end')

    // 3 MiB in each direction: more than the relay holds.
    for (const [at, hidden] of [one, other].entries()) {
      for (let i = 0; i < 3; i++) hidden.blocks.pages.set(at * 3 + i, noise(1024 * 1024))
    }
    for (let i = 0; i < 3; i++) {
      assert.deepEqual(await blockOf(one, other, 3 + i), other.blocks.pages.get(3 + i))
      assert.deepEqual(await blockOf(other, one, i), one.blocks.pages.get(i))
    }
    one.records.add(noise(100))
    await other.host.reconcile(one.host.peerId)
    assert.deepEqual(other.records.ids(), one.records.ids())
    const { bytes, circuits, reservations } = relay.host.relayed()
    assert.ok(bytes > 6 * 1024 * 1024, `${bytes} bytes relayed`)
    assert.deepEqual({ circuits, reservations }, { circuits: 1, reservations: 2 })

    await one.host.disconnect(other.host.peerId)
    await until(() => relay.host.relayed().circuits === 0, 'the end of what was relayed')
  })
})

test('when the relay goes, they meet at another', async () => {
  await withHosts(async (start) => {
    const relays = [await start('relay 1'), await start('relay 2')] as const
    const one = await start('one', HIDDEN)
    const other = await start('other', HIDDEN)
    introduce(...relays, one, other)
    for (const relay of relays) {
      for (const hidden of [one, other]) await hidden.host.dial(relay.host.peerId, [relay.address])
      await reservedAt(other, relay)
    }
    const [first, second] = relays
    await one.host.dial(other.host.peerId, [relayedAddress(first.host.peerId)])
    await first.host.stop()
    await until(() => connected(one, other) === undefined, 'its end')
    await until(() => other.host.addresses().length === 1, 'one address less')
    await one.host.dial(other.host.peerId, other.host.addresses())
    assert.equal(connected(one, other), 'relayed')
    assert.equal(second.host.relayed().circuits, 1)
  })
})

test('a direct connection takes the place of a relayed one', async () => {
  await withHosts(async (start) => {
    const relay = await start('relay')
    const one = await start('one', { isReachable: () => false })
    const other = await start('other', HIDDEN)
    introduce(relay, one, other)
    for (const hidden of [one, other]) await hidden.host.dial(relay.host.peerId, [relay.address])
    await reservedAt(one, relay)
    await other.host.dial(one.host.peerId, [relayedAddress(relay.host.peerId)])
    await until(() => connected(one, other) === 'relayed', 'a relayed connection')
    // Nobody is told that the peer went.
    const events: boolean[] = []
    for (const { host } of [one, other]) host.onPeer(({ connected: isConnected }) => events.push(isConnected))
    await other.host.dial(one.host.peerId, [one.address])
    await until(() => relay.host.relayed().circuits === 0, 'the end of the relayed connection')
    assert.deepEqual([connected(one, other), connected(other, one)], ['directly', 'directly'])
    assert.deepEqual(events, [])

    // Gossip goes on, in both directions, over what is left.
    const heard = { one: 0, other: 0 }
    one.host.onStatus(() => heard.one++)
    other.host.onStatus(() => heard.other++)
    await relay.host.stop()
    await until(
      () => connected(one, relay) === undefined && connected(other, relay) === undefined,
      'no relay',
    )
    await until(() => {
      void one.host.publishStatus(noise(16))
      void other.host.publishStatus(noise(16))
      return heard.one > 0 && heard.other > 0
    }, 'gossip')
  })
})

test('who is no member any more is relayed by nobody, and is not heard at the other end', async () => {
  await withHosts(async (start) => {
    const relay = await start('relay')
    const member = await start('member', HIDDEN)
    const reach = { isReachable: true }
    const former = await start('former', { listen: [], isReachable: () => reach.isReachable })
    const another = await start('another')
    introduce(relay, member, former, another)
    for (const hidden of [member, former]) await hidden.host.dial(relay.host.peerId, [relay.address])
    await reservedAt(member, relay)
    const through = [relayedAddress(relay.host.peerId)]

    // The other end knows of the revocation, the relay does not.
    member.members.delete(former.host.peerId)
    await assert.rejects(former.host.dial(member.host.peerId, through))
    // The relay knows of it, the other end does not, and the connection to the relay is not closed yet.
    member.members.add(former.host.peerId)
    relay.members.delete(former.host.peerId)
    await assert.rejects(former.host.dial(member.host.peerId, through))
    assert.deepEqual([connected(member, former), connected(former, member)], [undefined, undefined])
    // It gets no reservation either. A new connection makes it look for relays.
    reach.isReachable = false
    await former.host.dial(another.host.peerId, [another.address])
    await reservedAt(former, another)
    await until(() => former.logged.includes('net.relay.not-reserved'), 'a refusal')
    assert.equal(relay.host.relayed().reservations, 1)
    assert.deepEqual(former.host.addresses(), [relayedAddress(another.host.peerId)])
  })
})

test('a member that cannot be dialled relays for nobody', async () => {
  await withHosts(async (start) => {
    const one = await start('one', HIDDEN)
    const other = await start('other', { isReachable: () => false })
    introduce(one, other)
    await one.host.dial(other.host.peerId, [other.address])
    await until(() => one.logged.includes('net.relay.not-reserved'), 'a refusal')
    assert.deepEqual(one.host.addresses(), [])
    assert.equal(other.host.relayed().reservations, 0)
  })
})
