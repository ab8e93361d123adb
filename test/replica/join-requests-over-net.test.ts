/** Newcomers without an invite, honest and hostile, at a real host with a real ledger above it. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import type { Libp2p, Stream } from '@libp2p/interface'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { systemClock } from '../../src/base/clock.ts'
import { MirrorError } from '../../src/base/errors.ts'
import { type Cid, cidToKeyBytes } from '../../src/block/cid.ts'
import { startHost } from '../../src/net/host.ts'
import type { Host, JoinQuestion } from '../../src/net/ports.ts'
import type { KeyPair } from '../../src/record/key.ts'
import { foldRecords } from '../../src/record/mesh-state-builder.ts'
import { decodeSigned } from '../../src/record/record.ts'
import { joinCode, joinCommitment, wishBytes } from '../../src/record/request-code.ts'
import { createJoinRequests } from '../../src/replica/records/join-requests.ts'
import { hq, LOOPBACK, mallory, newcomer, setUp, wish } from './join-request-scene.ts'
import { createTestLogger, createTestMesh, testKey } from './test-mesh.ts'

const TYPE = {
  poll: 1,
  records: 2,
  commit: 3,
  done: 4,
  refused: 5,
  reveal: 6,
  nonce: 7,
  pending: 8,
  unknown: 9,
}
const PROTOCOL = '/mirrormesh/1/join-request'

async function withMember(
  body: (it: Awaited<ReturnType<typeof setUp>> & { host: Host; address: string }) => Promise<void>,
): Promise<void> {
  const it = await setUp({ exchangesByAddress: 20 })
  const host = await startPlainHost(hq, it.mesh.mesh, { ...it, listen: [`${LOOPBACK}:0`] })
  try {
    await body({ ...it, host, address: host.addresses()[0]! })
  } finally {
    await host.stop()
  }
}

function startPlainHost(
  key: KeyPair,
  mesh: Cid,
  it: Partial<Awaited<ReturnType<typeof setUp>>> & { listen?: readonly string[] },
): Promise<Host> {
  return startHost(
    {
      keySeed: key.seed,
      mesh,
      membership: it.membership ?? { isMember: () => false, acceptsGuests: () => false },
      records: it.ledger ?? {
        ids: () => [],
        get: async () => [],
        offer: async () => ({ accepted: 0, refused: [] }),
      },
      admission: { claim: () => Promise.reject(new MirrorError('refused', 'no invites here')) },
      joinRequests: it.requests,
      blockServer: {
        object: async () => undefined,
        async *blocks() {
          // Nothing is held.
        },
        async *watch() {
          // Nothing is held.
        },
      },
      clock: systemClock,
    },
    { listen: it.listen ?? [], security: ['noise'] },
  )
}

function hostPort(address: string): string {
  return `${LOOPBACK}:${address.split('/').at(-1)}`
}

test('a newcomer asks at an address, is told that it waits, and gets its records once it is a member', async () => {
  await withMember(async ({ mesh, ledger, requests, host, address }) => {
    const guest = await startPlainHost(newcomer, mesh.mesh, {})
    try {
      const ask = (question: JoinQuestion) => guest.askToJoin({ address: hostPort(address), question })
      const poll = { kind: 'poll', mesh: mesh.mesh } as const
      assert.deepEqual(await ask(poll), { kind: 'unknown', peer: host.peerId })
      const nonce = new Uint8Array(randomBytes(32))
      const answer = await ask({ kind: 'ask', mesh: mesh.mesh, nonce, wish })
      assert.ok(answer.kind === 'pending')
      const { memberNonce } = answer
      const code = joinCode({
        mesh: mesh.mesh,
        newcomer: newcomer.publicKey,
        newcomerNonce: nonce,
        member: hq.publicKey,
        memberNonce,
        ...wish,
      })
      assert.deepEqual(
        requests.list().map((each) => [each.peer, each.code, each.address]),
        [[newcomer.peer, code, LOOPBACK]],
      )
      assert.deepEqual(await ask(poll), { kind: 'pending', memberNonce, peer: host.peerId })
      await assert.rejects(ask({ kind: 'poll', mesh: otherMesh }), /another mesh/)
      await ledger.offer([mesh.member(newcomer, 'lab', 'eu').bytes], 'local')
      const admitted = await ask(poll)
      assert.ok(admitted.kind === 'admitted')
      const state = foldRecords(admitted.records.map(decodeSigned), mesh.mesh)
      assert.equal(state.members.get(newcomer.peer)?.isActive, true)
      requests.deny(newcomer.peer)
    } finally {
      await guest.stop()
    }
  })
})

const otherMesh = createTestMesh().member(testKey(77), 'x', 'y').id

/** A newcomer of its own making: frames by hand, as docs/protocols.md has them. */
async function startHostile(key: KeyPair): Promise<Libp2p> {
  return (await createLibp2p({
    privateKey: await generateKeyPairFromSeed('Ed25519', key.seed),
    addresses: { listen: [] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify(), ping: ping() },
  })) as unknown as Libp2p
}

function frame(type: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts)
  const head = Buffer.alloc(5)
  head.writeUInt32BE(1 + body.length)
  head[4] = type
  return Buffer.concat([head, body])
}

/** The next whole frame, or undefined when the stream ends or is reset. */
function reader(stream: Stream): () => Promise<{ type: number; body: Buffer } | undefined> {
  let rest = Buffer.alloc(0)
  let isOver = stream.status !== 'open'
  let wake = (): void => undefined
  stream.addEventListener('message', ({ data }) => {
    rest = Buffer.concat([rest, data.subarray()])
    wake()
  })
  for (const event of ['close', 'remoteCloseWrite'] as const)
    stream.addEventListener(event, () => {
      isOver = true
      wake()
    })
  return async () => {
    for (;;) {
      if (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
        const end = 4 + rest.readUInt32BE(0)
        const found = { type: rest[4]!, body: Buffer.from(rest.subarray(5, end)) }
        rest = rest.subarray(end)
        return found
      }
      if (isOver) return undefined
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
}

test('a hostile newcomer gets nothing pending but its own key, by an exchange in order', async () => {
  await withMember(async ({ mesh, requests, host, address }) => {
    const attacker = await startHostile(mallory)
    try {
      const target = multiaddr(`${address}/p2p/${host.peerId}`)
      const connection = await attacker.dial(target)
      // One at a time: that is what a connection may have.
      let end = async (): Promise<void> => undefined
      const open = async () => {
        await end()
        const stream = await connection.newStream(PROTOCOL)
        const next = reader(stream)
        end = async () => {
          await stream.close()
          while ((await next()) !== undefined);
        }
        return { stream, next }
      }
      const meshBytes = cidToKeyBytes(mesh.mesh)
      const nonce = new Uint8Array(32).fill(9)
      const commitmentOf = (key: KeyPair, of = nonce) =>
        joinCommitment({ mesh: mesh.mesh, newcomer: key.publicKey, newcomerNonce: of, ...wish })
      const commit = (commitment: Uint8Array) => frame(TYPE.commit, meshBytes, commitment, wishBytes(wish))

      // Reveals what it did not commit to: a nonce that it chose after it saw the member's.
      const late = await open()
      late.stream.send(commit(commitmentOf(mallory)))
      assert.equal((await late.next())?.type, TYPE.nonce)
      late.stream.send(frame(TYPE.reveal, new Uint8Array(32).fill(8)))
      const refusal = await late.next()
      assert.equal(refusal?.type, TYPE.refused)
      assert.match(String(refusal?.body), /not what was committed to/)

      // Passes on an honest newcomer's commitment and nonce, from its own connection.
      const relay = await open()
      relay.stream.send(commit(commitmentOf(newcomer)))
      assert.equal((await relay.next())?.type, TYPE.nonce)
      relay.stream.send(frame(TYPE.reveal, nonce))
      assert.equal((await relay.next())?.type, TYPE.refused)

      // Reveals without a commitment; commits twice; sends what has no place here, or is too long.
      for (const bytes of [
        frame(TYPE.reveal, nonce),
        frame(TYPE.records, nonce),
        frame(TYPE.commit, meshBytes),
        frame(
          TYPE.commit,
          meshBytes,
          commitmentOf(mallory),
          Buffer.of(5),
          Buffer.from('../..'),
          Buffer.of(0),
        ),
        frame(TYPE.poll, meshBytes, nonce),
        Buffer.from('ffffffff03', 'hex'),
      ]) {
        const bad = await open()
        bad.stream.send(bytes)
        const answer = await bad.next()
        assert.ok(answer === undefined || answer.type === TYPE.refused, `answered ${answer?.type}`)
      }
      const twice = await open()
      twice.stream.send(commit(commitmentOf(mallory)))
      assert.equal((await twice.next())?.type, TYPE.nonce)
      twice.stream.send(commit(commitmentOf(mallory)))
      assert.equal((await twice.next())?.type, TYPE.refused)
      assert.deepEqual(requests.list(), [])

      // Asks how somebody else's request stands: it can only ask for its own.
      const polling = await open()
      polling.stream.send(frame(TYPE.poll, meshBytes))
      assert.equal((await polling.next())?.type, TYPE.unknown)

      // An exchange in order is a request of its own key. Replayed, it is another with another code.
      const codes = new Set<string>()
      for (let i = 0; i < 2; i++) {
        const honest = await open()
        honest.stream.send(commit(commitmentOf(mallory)))
        assert.equal((await honest.next())?.type, TYPE.nonce)
        honest.stream.send(frame(TYPE.reveal, nonce))
        assert.equal((await honest.next())?.type, TYPE.pending)
        const list = requests.list()
        assert.deepEqual(
          list.map(({ peer }) => peer),
          [mallory.peer],
        )
        codes.add(list[0]!.code)
      }
      assert.equal(codes.size, 2)

      // A guest all the while: nothing else is served to it.
      await assert.rejects(
        connection.newStream('/mirrormesh/1/records').then(async (stream) => {
          const next = reader(stream)
          assert.equal(await next(), undefined)
          throw new Error('reset')
        }),
      )
    } finally {
      await attacker.stop()
    }
  })
})

test('who stands between a newcomer and a member shows each of them another code', async () => {
  await withMember(async ({ mesh, requests, address }) => {
    // The man in the middle is a member of his own mesh of the same id, as the newcomer sees it, and a newcomer here.
    const between = await setUp()
    const inbound = await startPlainHost(mallory, mesh.mesh, {
      ...between,
      requests: createJoinRequests({
        ledger: { ...between.ledger, mesh: mesh.mesh },
        nodeKey: mallory,
        clock: between.clock,
        logger: createTestLogger(),
      }),
      listen: [`${LOOPBACK}:0`],
    })
    const outbound = await startPlainHost(mallory, mesh.mesh, {})
    const guest = await startPlainHost(newcomer, mesh.mesh, {})
    try {
      const nonce = new Uint8Array(randomBytes(32))
      const question = { kind: 'ask', mesh: mesh.mesh, nonce, wish } as const
      const answer = await guest.askToJoin({ address: hostPort(inbound.addresses()[0]!), question })
      assert.ok(answer.kind === 'pending')
      const shown = joinCode({
        mesh: mesh.mesh,
        newcomer: newcomer.publicKey,
        newcomerNonce: nonce,
        member: mallory.publicKey,
        memberNonce: answer.memberNonce,
        ...wish,
      })
      // He has the newcomer's nonce now, and uses it as his own.
      await outbound.askToJoin({ address: hostPort(address), question })
      const [pending] = requests.list()
      assert.equal(pending?.peer, mallory.peer)
      assert.notEqual(pending?.code, shown)
    } finally {
      await Promise.all([inbound, outbound, guest].map((host) => host.stop()))
    }
  })
})
