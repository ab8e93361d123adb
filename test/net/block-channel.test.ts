import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isMirrorError } from '../../src/base/errors.ts'
import type { BlockAnswer } from '../../src/net/ports.ts'
import { noise, PAGE, type TestPeer, TREE, until, withPair } from './mesh.ts'

test('blocks of all sizes arrive whole, and what the peer lacks is said to be missing', async () => {
  await withPair(async (a, b) => {
    const sizes = [0, 1, 100, 256 * 1024 - 11, 256 * 1024, 512 * 1024, 4 * 1024 * 1024]
    sizes.forEach((size, offset) => {
      b.blocks.pages.set(offset, noise(size))
    })
    const channel = a.host.openBlocks(b.host.peerId)
    const answers = new Map<number, BlockAnswer>()
    const offsets = [...sizes.keys(), 900, 901]
    await channel.request({ tree: TREE, page: PAGE, offsets }, (some) => {
      for (const answer of some) answers.set(answer.offset, answer)
    })
    assert.equal(answers.size, offsets.length)
    for (const [offset, bytes] of b.blocks.pages) {
      assert.deepEqual(answers.get(offset), { offset, status: 'have', bytes })
    }
    assert.equal(answers.get(900)?.status, 'missing')
    assert.equal(a.host.traffic()[0]?.blocksReceived, sizes.length)
    assert.equal(b.host.traffic()[0]?.blocksSent, sizes.length)
    const blocksOf = ({ host }: TestPeer) =>
      host.protocols().find(({ protocol }) => protocol === '/mirrormesh/3/blocks')!
    const sizeBytes = sizes.reduce((sum, size) => sum + size, 0)
    assert.ok(blocksOf(b).bytesSent > sizeBytes && blocksOf(b).bytesSent < sizeBytes + 1000)
    assert.equal(blocksOf(a).bytesReceived, blocksOf(b).bytesSent)
    assert.equal(blocksOf(b).bytesReceived, blocksOf(a).bytesSent)
    assert.ok(blocksOf(a).messagesReceived >= sizeBytes / (16 * 1024 * 1024) && blocksOf(a).messagesSent >= 1)
  })
})

// A stall ends only when the stream counts as dead, after 30 seconds.
test('answers that wait for room are never left lying', { timeout: 25_000 }, async () => {
  await withPair(async (a, b) => {
    for (let offset = 0; offset < 16; offset++) b.blocks.pages.set(offset, noise(128 * 1024))
    const channel = a.host.openBlocks(b.host.peerId)
    for (let round = 0; round < 30; round++) {
      let got = 0
      await Promise.all(
        Array.from({ length: 16 }, (_, offset) =>
          channel.request({ tree: TREE, page: PAGE, offsets: [offset] }, (answers) => {
            got += answers.length
          }),
        ),
      )
      assert.equal(got, 16)
    }
  })
})

test('many requests in flight are answered while a slow one waits', async () => {
  await withPair(async (a, b) => {
    const gate = Promise.withResolvers<void>()
    for (let offset = 0; offset < 400; offset++) b.blocks.pages.set(offset, noise(1000 + offset))
    b.blocks.beforeBlock = (offset) => (offset === 0 ? gate.promise : Promise.resolve())
    const channel = a.host.openBlocks(b.host.peerId)
    let isSlowDone = false
    const slow = channel
      .request({ tree: TREE, page: PAGE, offsets: [0] }, () => undefined)
      .then(() => {
        isSlowDone = true
      })
    const got = new Set<number>()
    await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        channel.request({ tree: TREE, page: PAGE, offsets: [1 + i, 101 + i, 201 + i] }, (answers) => {
          for (const { offset, bytes } of answers) {
            assert.deepEqual(bytes, b.blocks.pages.get(offset))
            got.add(offset)
          }
        }),
      ),
    )
    assert.equal(got.size, 300)
    assert.equal(isSlowDone, false)
    gate.resolve()
    await slow
  })
})

test('a cancelled request delivers nothing more, and the peer stops reading for it', async () => {
  await withPair(async (a, b) => {
    for (let offset = 0; offset < 10; offset++) b.blocks.pages.set(offset, noise(100))
    const stopped = Promise.withResolvers<void>()
    b.blocks.beforeBlock = (offset, signal) =>
      offset < 2
        ? Promise.resolve()
        : new Promise((_, reject) => {
            signal.addEventListener('abort', () => {
              stopped.resolve()
              reject(signal.reason)
            })
          })
    const channel = a.host.openBlocks(b.host.peerId)
    const cancel = new AbortController()
    const got: number[] = []
    await assert.rejects(
      channel.request(
        { tree: TREE, page: PAGE, offsets: [0, 1, 2, 3] },
        (answers) => {
          got.push(...answers.map(({ offset }) => offset))
          if (got.length === 2) cancel.abort(new Error('changed my mind'))
        },
        cancel.signal,
      ),
      /changed my mind/,
    )
    await stopped.promise
    b.blocks.beforeBlock = () => Promise.resolve()
    await channel.request({ tree: TREE, page: PAGE, offsets: [5] }, ([answer]) => got.push(answer!.offset))
    assert.deepEqual(got, [0, 1, 5])
  })
})

test('a request dies with the connection, and the next one works when it is back', async () => {
  await withPair(async (a, b) => {
    b.blocks.pages.set(7, noise(10))
    b.blocks.beforeBlock = (_offset, signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    const channel = a.host.openBlocks(b.host.peerId)
    const request = channel.request({ tree: TREE, page: PAGE, offsets: [7] }, () => undefined)
    await until(() => b.blocks.asked === 1, 'the request arrives')
    const died = assert.rejects(request, (error) => isMirrorError(error))
    await b.host.disconnect(a.host.peerId)
    await died
    await until(() => a.host.peers().length === 0, 'alice sees it')
    await assert.rejects(
      a.host.openBlocks(b.host.peerId).request({ tree: TREE, page: PAGE, offsets: [7] }, () => undefined),
      (error) => isMirrorError(error, 'unreachable'),
    )
    await a.host.dial(b.host.peerId, [b.address])
    b.blocks.beforeBlock = () => Promise.resolve()
    const again = a.host.openBlocks(b.host.peerId)
    const answers: BlockAnswer[] = []
    await again.request({ tree: TREE, page: PAGE, offsets: [7] }, (some) => answers.push(...some))
    assert.deepEqual(answers, [{ offset: 7, status: 'have', bytes: b.blocks.pages.get(7) }])
  })
})

test('a closed channel rejects what is open and what comes after', async () => {
  await withPair(async (a, b) => {
    b.blocks.beforeBlock = (_offset, signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    const channel = a.host.openBlocks(b.host.peerId)
    const open = channel.request({ tree: TREE, page: PAGE, offsets: [1] }, () => undefined)
    await until(() => b.blocks.asked === 1, 'the request arrives')
    const rejected = assert.rejects(open, (error) => isMirrorError(error, 'aborted'))
    channel.close()
    await rejected
    await assert.rejects(
      channel.request({ tree: TREE, page: PAGE, offsets: [1] }, () => undefined),
      (error) => isMirrorError(error, 'aborted'),
    )
  })
})

test('a malformed request is refused before it is sent', async () => {
  await withPair(async (a, b) => {
    const channel = a.host.openBlocks(b.host.peerId)
    for (const offsets of [[], [1, 1], [65_536], [-1], [0.5], Array.from({ length: 1025 }, (_, i) => i)]) {
      await assert.rejects(
        channel.request({ tree: TREE, page: PAGE, offsets }, () => undefined),
        (error) => isMirrorError(error, 'invalid'),
      )
    }
    assert.equal(b.blocks.asked, 0)
  })
})

test('a server that fails in the middle of a request says busy for the rest', async () => {
  await withPair(async (a, b) => {
    b.blocks.pages.set(0, noise(5))
    b.blocks.beforeBlock = (offset) => (offset === 1 ? Promise.reject(new Error('EIO')) : Promise.resolve())
    const answers: string[] = []
    await a.host
      .openBlocks(b.host.peerId)
      .request({ tree: TREE, page: PAGE, offsets: [0, 1, 2] }, (some) =>
        answers.push(...some.map(({ offset, status }) => `${offset} ${status}`)),
      )
    assert.deepEqual(answers, ['0 have', '1 busy', '2 busy'])
  })
})
