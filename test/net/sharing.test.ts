/**
 * Transfers beside other applications over one real pipe (network namespaces; takes root): how much of it a bulk TCP flow gets
 * while blocks travel, how long small messages take meanwhile, and that the pipe is taken again when the flow has ended.
 * `npm run bench:sharing` measures the same for longer.
 */
import { test } from 'node:test'
import { type Flow, openPipe, type Pings } from '../../scripts/measure/sharing/pipe.ts'
import { skipWithout } from '../needs.ts'

const MBIT = 20
const RTT_MS = 60
const TARGET_MS = 25
/** Of the rate on the wire, what is left after the headers of IP, TCP, TLS and the muxer. */
const FULL = (MBIT * 1e6 * 0.93) / 8
/** That it comes to this is asked, not when: other work may hold these processes up. */
const DEADLINE_MS = 60_000

test('a bulk flow gets three quarters of the pipe beside blocks, and small messages are quick', {
  skip: skipWithout('gcc', 'ip', 'nsenter'),
}, async (t) => {
  const pipe = await openPipe({ mbit: MBIT, rttMs: RTT_MS })
  t.after(() => pipe.stop())
  const pings = await pipe.ping()
  const own = await pipe.fetch(0, TARGET_MS)
  await reaches(own, 0.9, 20)
  await areQuick(pings, RTT_MS + 2 * TARGET_MS)
  const other = await pipe.flood()
  await reaches(other, 0.75, 30)
  other.end()
  await reaches(own, 0.9, 10)
})

/** Waits until the flow has had so much of the pipe, told so many times in a row. */
async function reaches(flow: Flow, share: number, times: number): Promise<void> {
  const signal = AbortSignal.timeout(DEADLINE_MS)
  for (let rate = 0; rate < share * FULL; rate = await flow.rate(times)) signal.throwIfAborted()
}

/** Waits until most of twenty round trips in a row are short enough. */
async function areQuick(pings: Pings, limitMs: number): Promise<void> {
  const signal = AbortSignal.timeout(DEADLINE_MS)
  for (let slow = 20; slow > 9; ) {
    signal.throwIfAborted()
    pings.take()
    await pings.rate(20)
    slow = pings.take().filter((ms) => ms > limitMs).length
  }
}
