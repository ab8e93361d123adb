/** How connections are kept: by a bounded rate of pings, and not longer than their other end is there. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Connection, Stream } from '@libp2p/interface'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { keepAlive } from '../../src/net/keep-alive.ts'

const log = { debug: () => undefined, info: () => undefined, warn: () => undefined }

/** Connections whose other ends answer at once, or never. */
function withConnections(count: number) {
  const clock = new VirtualClock()
  const asked: number[] = []
  const mute = new Set<number>()
  const connections = Array.from({ length: count }, (_, number) => {
    const connection = {
      status: 'open',
      remotePeer: { toString: () => `peer ${number}` },
      rtt: undefined as number | undefined,
      abort() {
        connection.status = 'aborted'
      },
      async newStream(_protocol: string, { signal }: { signal: AbortSignal }) {
        asked.push(number)
        const target = new EventTarget()
        if (mute.has(number))
          await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        return Object.assign(target, {
          send: (data: Uint8Array) => target.dispatchEvent(Object.assign(new Event('message'), { data })),
          close: async () => undefined,
          abort: () => undefined,
        }) as unknown as Stream
      },
    }
    return connection
  })
  const end = keepAlive({
    node: { getConnections: () => connections as unknown as Connection[] },
    clock,
    log,
  })
  return {
    asked,
    connections,
    mute,
    end,
    async pass(ms: number) {
      for (const endMs = clock.nowMs() + ms; clock.nowMs() < endMs; ) {
        clock.advanceTo(clock.nowMs() + 100)
        for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve))
      }
    },
  }
}

test('a few connections are each asked every fifteen seconds', async () => {
  const { asked, connections, end, pass } = withConnections(3)
  await pass(5000)
  assert.deepEqual(asked.toSorted(), [0, 1, 2])
  assert.ok(connections.every(({ rtt }) => rtt !== undefined))
  await pass(60_000)
  assert.ok(asked.length >= 12 && asked.length <= 18, `${asked.length} pings`)
  end()
})

test('of many, one is asked every ten seconds, each in its turn', async () => {
  const { asked, end, pass } = withConnections(100)
  await pass(30_000)
  assert.equal(new Set(asked).size, 100, 'the first turn is a short one')
  const before = asked.length
  await pass(120_000)
  assert.ok(asked.length - before <= 13, `${asked.length - before} pings in two minutes`)
  assert.equal(new Set(asked.slice(before)).size, asked.length - before)
  end()
})

test('one that does not answer is closed, and the others are asked at once', async () => {
  const { asked, connections, mute, end, pass } = withConnections(60)
  await pass(40_000)
  for (const gone of [7, 8, 9]) mute.add(gone)
  await pass(400_000)
  assert.deepEqual(
    connections.flatMap(({ status }, number) => (status === 'open' ? [] : [number])),
    [7, 8, 9],
  )
  const firstGone = asked.lastIndexOf(7)
  assert.ok(firstGone >= 60)
  end()
  const after = asked.length
  await pass(60_000)
  assert.equal(asked.length, after)
})
