import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { type Message, TopicValidatorResult } from '@libp2p/gossipsub'
import type { PeerId } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import fc from 'fast-check'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { createGossip, gossipTopics, messageName } from '../../src/net/gossip.ts'
import { MESH, MemoryRecords, seedOf } from './mesh.ts'

const bytes = fc.option(fc.uint8Array({ maxLength: 6 }), { nil: undefined })
const message = fc.record({
  from: bytes,
  data: bytes,
  seqno: bytes,
  topic: fc.string({ maxLength: 4 }),
  signature: bytes,
  key: bytes,
})

const changed = message.chain((given) =>
  fc
    .constantFrom('from', 'data', 'seqno', 'topic', 'signature', 'key')
    .chain((field) =>
      (field === 'topic' ? fc.string({ maxLength: 4 }) : bytes).map((part) => ({ ...given, [field]: part })),
    )
    .map((other) => [given, other] as const),
)

/** What was checked under a name lets pass whatever else has it. */
test('two messages have the same name only if every field is the same, absent ones and empty ones told apart', () => {
  fc.assert(
    fc.property(changed, ([a, b]) => {
      assert.equal(messageName(a as never) === messageName(b as never), isDeepStrictEqual({ ...a }, { ...b }))
      assert.equal(messageName(a as never), messageName(structuredClone(a) as never))
    }),
    { numRuns: 500 },
  )
  // The same bytes, cut elsewhere.
  const cut = (at: number) => {
    const all = Uint8Array.of(1, 2, 3, 4)
    return { topic: 't', from: all.subarray(0, at), data: all.subarray(at) }
  }
  assert.equal(new Set([0, 1, 2, 3, 4].map((at) => messageName(cut(at) as never))).size, 5)
})

/** The validators of the two topics, as gossipsub would call them. */
async function startJudges() {
  const topics = gossipTopics(MESH)
  const validators = new Map<string, (relay: PeerId, message: Message) => unknown>()
  const membership = { isMember: () => true, acceptsGuests: () => false }
  const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined }
  const clock = new VirtualClock(0)
  const gossip = createGossip(
    {
      ...{ pubsub: { topicValidators: validators, subscribe: () => undefined } as never, membership, clock },
      ...{ records: new MemoryRecords(), log: silent },
    },
    topics,
  )
  const peerOf = async (name: string): Promise<PeerId> =>
    peerIdFromPrivateKey(await generateKeyPairFromSeed('Ed25519', seedOf(name)))
  return {
    gossip,
    clock,
    peerOf,
    judge: (relay: PeerId, from: PeerId, text: string) =>
      validators.get(topics.status)!(relay, {
        ...{ type: 'signed', topic: topics.status, from, data: new TextEncoder().encode(text) },
      } as Message),
  }
}

test('whoever repeats what a site once said does not keep others from hearing what it says now', async () => {
  const { gossip, clock, peerOf, judge } = await startJudges()
  const [mallory, site, other] = await Promise.all(['mallory', 'site', 'other'].map(peerOf))
  const heard: string[] = []
  gossip.onStatus((_, status) => {
    const text = Buffer.from(status).toString()
    heard.push(text)
    return !text.startsWith('old')
  })
  for (let second = 0; second < 60; second++) {
    for (let i = 0; i < 20; i++)
      assert.equal(judge(mallory!, site!, `old ${second} ${i}`), TopicValidatorResult.Ignore)
    const said = `new ${second}`
    assert.equal(judge(second % 2 === 0 ? site! : other!, site!, said), TopicValidatorResult.Accept)
    assert.equal(heard.at(-1), said)
    clock.advanceTo(clock.monotonicMs() + 1000)
  }
  assert.ok(heard.length < 60 + 10 + 2 * 60, `${heard.length} were looked at`)
})

test('an author who sends each of his neighbours another status is held to a rate all the same', async () => {
  const { gossip, peerOf, judge } = await startJudges()
  const author = await peerOf('author')
  let heard = 0
  gossip.onStatus(() => heard++)
  for (let i = 0; i < 100; i++) {
    const relay = await peerOf(`relay ${i}`)
    for (let j = 0; j < 20; j++) judge(relay, author, `${i} ${j}`)
  }
  assert.equal(heard, 50)
})
