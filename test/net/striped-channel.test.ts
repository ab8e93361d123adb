import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { MirrorError } from '../../src/base/errors.ts'
import type { BlockAnswer, BlockChannel, BlockRequest } from '../../src/net/ports.ts'
import { createStripedChannel } from '../../src/net/striped-channel.ts'
import { PAGE, TREE } from './mesh.ts'

type Answering = (
  lane: number,
  request: BlockRequest,
  onAnswers: (answers: readonly BlockAnswer[]) => void,
) => Promise<void>

function striped(answer: Answering, laneCount: () => number = () => 4) {
  const asked: { lane: number; offsets: readonly number[] }[] = []
  const closed: number[] = []
  let idle = 0
  const channel = createStripedChannel('peer', {
    lanes: laneCount,
    openLane: (lane): BlockChannel => ({
      peer: 'peer',
      request(request, onAnswers) {
        asked.push({ lane, offsets: request.offsets })
        return answer(lane, request, onAnswers)
      },
      close: () => closed.push(lane),
    }),
    onReceived: () => undefined,
    onIdle: () => idle++,
    onClose: () => undefined,
  })
  return { channel, asked, closed, idle: () => idle }
}

const offsets = Array.from({ length: 100 }, (_, i) => i * 3)
const request = { tree: TREE, page: PAGE, offsets }

const answerAll: Answering = async (_lane, { offsets: part }, onAnswers) => {
  await nextTurn()
  onAnswers(part.map((offset) => ({ offset, status: 'have', bytes: new Uint8Array(10) })))
}

async function answersOf(channel: BlockChannel): Promise<number[]> {
  const seen: number[] = []
  await channel.request(request, (answers) => seen.push(...answers.map(({ offset }) => offset)))
  return seen
}

test('a request is cut into parts, one for each lane, and each offset answered once', async () => {
  const { channel, asked, idle } = striped(answerAll)
  assert.deepEqual(
    (await answersOf(channel)).sort((a, b) => a - b),
    offsets,
  )
  assert.deepEqual([...new Set(asked.map(({ lane }) => lane))].sort(), [0, 1, 2, 3])
  assert.equal(idle(), 1)
})

test('with one lane a request stays whole', async () => {
  const { channel, asked } = striped(answerAll, () => 1)
  await answersOf(channel)
  assert.deepEqual(asked, [{ lane: 0, offsets }])
})

test('what a lane that dies still owed is asked of the first, and nothing twice', async () => {
  const { channel, asked } = striped(async (lane, part, onAnswers) => {
    if (lane === 0) return answerAll(lane, part, onAnswers)
    await nextTurn()
    onAnswers([{ offset: part.offsets[0]!, status: 'have', bytes: new Uint8Array(10) }])
    throw new MirrorError('unreachable', 'gone')
  })
  assert.deepEqual(
    (await answersOf(channel)).sort((a, b) => a - b),
    offsets,
  )
  assert.equal(asked.filter(({ lane }) => lane > 0).length, 3)
})

test('a lane that answers wrongly, or a first lane that dies, ends the request', async () => {
  for (const [lane, code] of [
    [2, 'corrupt'],
    [0, 'unreachable'],
  ] as const) {
    const { channel } = striped(async (number, part, onAnswers) => {
      if (number === lane) throw new MirrorError(code, 'no')
      return answerAll(number, part, onAnswers)
    })
    await assert.rejects(answersOf(channel), { code })
  }
})

test('lanes that are no longer wanted are closed when they owe nothing', async () => {
  let count = 4
  const { channel, closed } = striped(answerAll, () => count)
  await answersOf(channel)
  count = 1
  await answersOf(channel)
  assert.deepEqual(closed.sort(), [1, 2, 3])
  channel.close()
  assert.deepEqual(closed.sort(), [0, 1, 2, 3])
})

test('a lane that has answered all is not closed before its request has ended', async () => {
  let lanes = 2
  const ends = Promise.withResolvers<void>()
  const { channel, closed } = striped(
    async (lane, part, onAnswers) => {
      await answerAll(lane, part, onAnswers)
      if (lane === 1) await ends.promise
    },
    () => lanes,
  )
  const seen: number[] = []
  const first = channel.request(request, (answers) => seen.push(...answers.map(({ offset }) => offset)))
  while (seen.length < offsets.length) await nextTurn()
  lanes = 1
  assert.equal((await answersOf(channel)).length, offsets.length)
  assert.deepEqual(closed, [])
  ends.resolve()
  await first
  await answersOf(channel)
  assert.deepEqual(closed, [1])
})
