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
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { type Cid, cidToKeyBytes } from '../../src/block/cid.ts'
import { startHost } from '../../src/net/host.ts'
import type { Host, JoinQuestion } from '../../src/net/ports.ts'
import type { KeyPair } from '../../src/record/key.ts'
import { foldRecords } from '../../src/record/mesh-state-builder.ts'
import { decodeSigned } from '../../src/record/record.ts'
import { joinCode, joinCommitment, wishBytes } from '../../src/record/request-code.ts'
import { createMembership } from '../../src/replica/records/admission.ts'
import { createJoinRequests, type JoinRequestLimits } from '../../src/replica/records/join-requests.ts'
import { createLedger } from '../../src/replica/records/ledger.ts'
import { createTestLog, createTestLogger, createTestMesh, START_MS, testKey } from './test-mesh.ts'

const hq = testKey(30)
const newcomer = testKey(31)
const mallory = testKey(32)
const wish = { site: 'lab', region: 'eu' }
const LOOPBACK = '127.0.0.1'

async function setUp(limits: JoinRequestLimits = {}) {
  const mesh = createTestMesh()
  const clock = new VirtualClock(START_MS)
  const logger = createTestLogger()
  const ledger = await createLedger({ log: createTestLog(), clock, logger }, { mesh: mesh.mesh })
  await ledger.offer([mesh.genesis.bytes, mesh.member(hq, 'hq', 'us').bytes], 'local')
  const requests = createJoinRequests({ ledger, nodeKey: hq, clock, logger }, limits)
  const membership = createMembership({ ledger, nodeKey: hq, clock }, { takesRequests: true })
  /** One exchange, as the protocol carries it out. */
  const exchange = (key: KeyPair, address = LOOPBACK) => {
    requests.begin({ peer: key.peer, address })
    const newcomerNonce = new Uint8Array(randomBytes(32))
    const memberNonce = new Uint8Array(randomBytes(32))
    const committed = { mesh: mesh.mesh, newcomer: key.publicKey, newcomerNonce, ...wish }
    requests.complete(
      { peer: key.peer, address },
      { commitment: joinCommitment(committed), wish, newcomerNonce, memberNonce },
    )
    return joinCode({ ...committed, member: hq.publicKey, memberNonce })
  }
  return { mesh, clock, ledger, requests, membership, exchange }
}

test('a request is pending with the code that the newcomer shows, until it is a member', async () => {
  const { mesh, ledger, requests, exchange } = await setUp()
  let changes = 0
  requests.onChange(() => changes++)
  const code = exchange(newcomer)
  const [found] = requests.list()
  assert.deepEqual(
    [found?.peer, found?.code, found?.site, found?.region, found?.sinceMs],
    [newcomer.peer, code, 'lab', 'eu', START_MS],
  )
  assert.ok(requests.pending(newcomer.peer))
  assert.equal(requests.admitted(newcomer.peer), undefined)
  await ledger.offer([mesh.member(newcomer, 'lab', 'eu').bytes], 'local')
  const state = foldRecords(requests.admitted(newcomer.peer)!.map(decodeSigned), mesh.mesh)
  assert.equal(state.members.get(newcomer.peer)?.site, 'lab')
  assert.deepEqual(requests.list(), [])
  assert.equal(changes, 2)
})

test('one key has one request, and each exchange another code', async () => {
  const { requests, exchange } = await setUp()
  const codes = new Set([exchange(newcomer), exchange(newcomer), exchange(newcomer)])
  assert.equal(codes.size, 3)
  assert.equal(requests.list().length, 1)
  assert.equal(requests.list()[0]?.code, [...codes].at(-1))
})

test('requests are few in all, fewer from one address, and guesses at a code few in a minute', async () => {
  const { clock, requests, exchange } = await setUp({ maxRequests: 6, exchangesAMinute: 12 })
  for (let i = 0; i < 4; i++) exchange(testKey(40 + i))
  assert.throws(() => exchange(testKey(44)), /from this address wait/)
  for (let i = 0; i < 3; i++) exchange(testKey(50 + i), `10.0.0.${i}`)
  assert.equal(requests.pending(testKey(43).peer), undefined, 'the newest of the larger crowd made room')
  assert.throws(() => exchange(testKey(53), '10.0.0.9'), /too many requests wait/)
  for (let i = 0; i < 2; i++) exchange(testKey(40))
  assert.throws(() => exchange(testKey(40)), /in the last minute/)
  for (let i = 0; i < 3; i++) exchange(testKey(50), '10.0.0.0')
  assert.throws(() => exchange(testKey(51), '10.0.0.1'), /in the last minute/)
  clock.advanceTo(clock.nowMs() + 60_001)
  exchange(testKey(51), '10.0.0.1')
  assert.equal(requests.list().length, 6)
})

test('a flood from many addresses of few networks keeps nobody of another out, nor pushes it out', async () => {
  const { requests, exchange } = await setUp({ exchangesAMinute: 60 })
  const flood = (from: number): void => {
    for (let i = 0; i < 28; i++) {
      try {
        exchange(testKey(100 + i), `10.0.${i >> 2}.${from + (i % 4)}`)
      } catch (error) {
        assert.match(String(error), /too many requests/)
      }
    }
  }
  flood(1)
  for (let i = 0; i < 4; i++) exchange(testKey(140 + i), `10.1.0.${i}`)
  assert.equal(requests.list().length, 32)
  exchange(newcomer, '192.0.2.7')
  flood(100)
  assert.ok(requests.pending(newcomer.peer))
  assert.equal(requests.list().length, 32)
})

test('who does not ask again is forgotten, and who asks for days is too', async () => {
  const { clock, requests, exchange } = await setUp({ silentMs: 1000, maxAgeMs: 5000 })
  exchange(newcomer)
  clock.advanceTo(START_MS + 1001)
  assert.deepEqual(requests.list(), [])
  assert.equal(requests.pending(newcomer.peer), undefined)
  exchange(newcomer)
  for (let i = 1; i <= 5; i++) {
    clock.advanceTo(START_MS + 1001 + i * 999)
    assert.ok(requests.pending(newcomer.peer), `after ${i} s`)
  }
  clock.advanceTo(START_MS + 1001 + 5001)
  assert.deepEqual(requests.list(), [])
})

test('who was turned down, or revoked, is not listened to', async () => {
  const { mesh, clock, ledger, requests, membership, exchange } = await setUp()
  exchange(newcomer)
  assert.equal(requests.deny(newcomer.peer), true)
  assert.equal(requests.deny(newcomer.peer), false)
  assert.throws(() => requests.pending(newcomer.peer), /turned this request down/)
  assert.throws(() => exchange(newcomer), /turned this request down/)
  clock.advanceTo(START_MS + 3_600_001)
  exchange(newcomer)
  const end = mesh.sign(mesh.admin, 'revocation', {
    key: newcomer.publicKey,
    counter: 0,
    last: null,
    reason: 'unwanted',
  })
  await ledger.offer([end.bytes], 'local')
  assert.throws(() => requests.pending(newcomer.peer), /revoked/)
  assert.equal(membership.acceptsGuests(newcomer.peer), false)
  assert.equal(membership.acceptsGuests(mallory.peer), true)
})

// ---- over the wire -------------------------------------------------------------------------------------------------

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
