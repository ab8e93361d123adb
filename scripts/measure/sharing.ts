/**
 * `npm run bench:sharing`: how transfers share one pipe with other applications, giving way and not. Takes root. Prints JSON: Mbit/s
 * of payload, and round trips of small messages in milliseconds (median and 95th percentile), for blocks alone, beside a bulk TCP
 * flow, and after it has ended; each measured --rounds times, in turns.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseOptions } from '../options.ts'
import { type Flow, openPipe, type Pings } from './sharing/pipe.ts'

const HELP = `usage: npm run bench:sharing -- [--mbit N] [--rtt MS] [--loss PERCENT] [--target MS] [--seconds N] [--rounds N] [--alone]

One pipe between two network namespaces of this machine. Takes root, gcc and iproute2.

--mbit     its rate; default 20
--rtt      its round trip in milliseconds; default 60
--loss     of its packets, in percent; default 0
--congestion  of the kernel, for all flows: cubic (default), bbr, reno
--target   of the queue, in milliseconds; default 25
--seconds  that each state is measured; default 20
--rounds   default 3
--alone    measures no state beside other traffic
`
const SETTLE_SECONDS = 3

const { values } = parseOptions(
  {
    options: {
      mbit: { type: 'string', default: '20' },
      rtt: { type: 'string', default: '60' },
      loss: { type: 'string', default: '0' },
      congestion: { type: 'string', default: 'cubic' },
      target: { type: 'string', default: '25' },
      seconds: { type: 'string', default: '20' },
      rounds: { type: 'string', default: '3' },
      alone: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  },
  { command: 'npm run bench:sharing --', help: HELP },
)
await measure()

async function measure(): Promise<void> {
  const [mbit, rttMs, lossPercent] = [Number(values.mbit), Number(values.rtt), Number(values.loss)]
  const pipe = await openPipe({ mbit, rttMs, lossPercent, congestion: values.congestion })
  const end = (): void => void pipe.stop().then(() => process.exit(130))
  process.once('SIGINT', end).once('SIGTERM', end)
  const results: object[] = []
  try {
    const pings = await pipe.ping()
    let slot = 0
    for (let round = 0; round < Number(values.rounds); round++)
      for (const targetMs of [undefined, Number(values.target)]) {
        const own = await pipe.fetch(slot++, targetMs)
        const state = async (name: string, other?: Flow): Promise<void> => {
          results.push({
            giveWay: targetMs ?? 'off',
            state: name,
            ...(await look(pings, own, other)),
          })
        }
        await sleep(SETTLE_SECONDS * 1000)
        await state('alone')
        if (!values.alone) {
          const other = await pipe.flood()
          await sleep(SETTLE_SECONDS * 1000)
          await state('beside', other)
          other.end()
          await sleep(SETTLE_SECONDS * 1000)
          await state('after')
        }
        own.end()
        await sleep(1000)
      }
  } finally {
    await pipe.stop()
  }
  process.stdout.write(
    `${JSON.stringify({ bench: 'sharing', mbit, rttMs, lossPercent, results }, null, 2)}\n`,
  )
}

async function look(pings: Pings, own: Flow, other: Flow | undefined): Promise<object> {
  pings.take()
  const [ownBytes, otherBytes, beganMs] = [own.bytes(), other?.bytes() ?? 0, performance.now()]
  await sleep(Number(values.seconds) * 1000)
  const ms = performance.now() - beganMs
  const times = pings.take().toSorted((a, b) => a - b)
  const mbitOf = (bytes: number): number => Math.round((bytes * 8) / ms / 10) / 100
  const at = (share: number): number | null => {
    const time = times[Math.floor(times.length * share)]
    return time === undefined ? null : Math.round(time * 10) / 10
  }
  return {
    own: mbitOf(own.bytes() - ownBytes),
    ...(other === undefined ? {} : { other: mbitOf(other.bytes() - otherBytes) }),
    pingP50Ms: at(0.5),
    pingP95Ms: at(0.95),
  }
}
