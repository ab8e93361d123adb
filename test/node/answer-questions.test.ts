import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createAnswerer } from '../../node/answer-questions.ts'
import { FETCH, FETCH_SUMMARY } from '../../node/api/schema/fetch-schema.ts'
import { utf8 } from '../../src/base/bytes.ts'
import { systemClock } from '../../src/base/clock.ts'
import { cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import { encodeCbor } from '../../src/block/codec.ts'
import { MAX_ANSWER_BYTES } from '../../src/net/wire/ask.ts'
import { encodeQuestion, type Question } from '../../src/replica/questions.ts'
import type { FetchView } from '../../src/replica/site-agent/tree.ts'

const segment = {
  page: 1,
  firstBlock: 0,
  endBlock: 64,
  missingBlocks: 64,
  owner: 'a-site-with-a-long-name',
  askedOf: [{ site: 'another-site', reason: 'owner' }],
  state: 'waits for its owner',
}
const view: FetchView = {
  snapshot: cidOf(DAG_CBOR, utf8('x')),
  phase: 'blocks',
  seconds: 3,
  heldBlocks: 1,
  totalBlocks: 2,
  heldBytes: 10,
  totalBytes: 20,
  fetchedBytes: 10,
  deltaExplanation: undefined,
  explanation: {
    segments: Array.from({ length: 65_536 }, () => segment),
    peers: [],
    requestedBlocks: {} as NonNullable<FetchView['explanation']>['requestedBlocks'],
    duplicateBlocks: 0,
  },
}

test('a member hears what is fetched of the trees that it may read, within bounds', async () => {
  const fetches = new Map<string, FetchView>()
  for (let n = 0; n < 500; n++) fetches.set(`open/tree-${n}`, view)
  fetches.set('secret/tree', view)
  const answerer = createAnswerer({
    announced: () => undefined,
    readFetches: () => fetches,
    mayRead: (peer, tree) => peer === 'reader' || !tree.startsWith('secret/'),
    self: 'me',
    complete: { has: () => true, viewOf: () => undefined },
    blocksOf: () => ({ get: async () => undefined }),
    clock: systemClock,
  })
  const ask = async (peer: string, question: Question) => {
    const bytes = await answerer.answer(peer, encodeQuestion(question))
    assert.ok(bytes.length <= MAX_ANSWER_BYTES, `${bytes.length} bytes`)
    return JSON.parse(Buffer.from(bytes).toString()) as { fetches: unknown[]; moreSegments: number }
  }
  const list = await ask('other', { ask: 'fetches' })
  assert.equal(list.fetches.length, 256)
  FETCH_SUMMARY.parse(list.fetches[0])
  assert.ok(!JSON.stringify(list).includes('secret'))
  const one = await ask('reader', { ask: 'fetch', tree: 'secret/tree' })
  FETCH.parse(one)
  assert.ok(one.moreSegments > 60_000)
  for (const [peer, tree] of [
    ['other', 'secret/tree'],
    ['reader', 'none'],
  ] as const) {
    await assert.rejects(ask(peer, { ask: 'fetch', tree }), { code: 'not-found' })
  }
  await assert.rejects(ask('reader', { ask: 'status' }), { code: 'not-found' })
  await assert.rejects(answerer.answer('reader', encodeCbor({ q: 'later' })), { code: 'unsupported' })
})
