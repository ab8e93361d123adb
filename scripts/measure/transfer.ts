/**
 * Block transfer between two processes on loopback: MB/s and CPU seconds a GB at either end, with TLS and with noise.
 * Prints JSON. `node scripts/measure/transfer.ts [--megabytes 512] [--security tls,noise]`; 60 s at most for each.
 */
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { systemClock } from '../../src/base/clock.ts'
import { cidOf, DAG_CBOR, parseCid, RAW, verifyBlock } from '../../src/block/cid.ts'
import type { Host } from '../../src/net/host.ts'
import { startHost } from '../../src/net/host.ts'

const BLOCK_BYTES = 128 * 1024
const DISTINCT_BLOCKS = 64
const OFFSETS_PER_REQUEST = 16
const REQUESTS_IN_FLIGHT = 4
const TIMEOUT_MS = 60_000
const PAGE = cidOf(DAG_CBOR, new TextEncoder().encode('page'))

type Security = 'noise' | 'tls'

function start(name: string, security: Security, blocks: readonly Uint8Array[]): Promise<Host> {
  return startHost(
    {
      keySeed: new Uint8Array(createHash('sha256').update(name).digest()),
      mesh: PAGE,
      membership: { isMember: () => true, acceptsGuests: () => false },
      records: {
        ids: () => [],
        get: () => Promise.resolve([]),
        offer: () => Promise.resolve({ accepted: 0, refused: [] }),
      },
      admission: { claim: () => Promise.resolve({ records: [] }) },
      blockServer: {
        object: () => Promise.resolve(undefined),
        async *blocks(_peer, { offsets }) {
          for (const offset of offsets) yield { offset, bytes: blocks[offset % DISTINCT_BLOCKS]! }
        },
        async *watch() {
          yield { kind: 'unknown' }
        },
      },
      clock: systemClock,
    },
    { listen: ['127.0.0.1:0'], security: [security] },
  )
}

/** The serving process: says where it listens, and at the end of its input what it used. */
async function serve(security: Security): Promise<void> {
  const seed = randomBytes(BLOCK_BYTES)
  const blocks = Array.from({ length: DISTINCT_BLOCKS }, (_, i) => {
    const bytes = new Uint8Array(seed)
    bytes[0] = i
    return bytes
  })
  const host = await start('server', security, blocks)
  const cids = blocks.map((bytes) => cidOf(RAW, bytes).toString())
  process.stdout.write(`${JSON.stringify({ peer: host.peerId, address: host.addresses()[0], cids })}\n`)
  const before = process.cpuUsage()
  process.stdin.resume()
  await once(process.stdin, 'end')
  process.stdout.write(`${JSON.stringify({ cpuSeconds: cpuSeconds(before) })}\n`)
  await host.stop()
}

async function measure(security: Security, megabytes: number): Promise<object> {
  const child = spawn(process.execPath, [import.meta.filename, '--serve', security], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const hello = JSON.parse((await lines.next()).value ?? '{}') as {
    peer: string
    address: string
    cids: string[]
  }
  const cids = hello.cids.map(parseCid)
  const host = await start('client', security, [])
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    await host.dial(hello.peer, [hello.address], signal)
    const channel = host.openBlocks(hello.peer)
    const count = Math.max(1, Math.round((megabytes * 1e6) / BLOCK_BYTES / OFFSETS_PER_REQUEST))
    let left = count
    let receivedBytes = 0
    const before = process.cpuUsage()
    const startMs = performance.now()
    const ask = async (): Promise<void> => {
      while (left-- > 0) {
        const first = (left * OFFSETS_PER_REQUEST) % 32_768
        const offsets = Array.from({ length: OFFSETS_PER_REQUEST }, (_, i) => first + i)
        await channel.request(
          { tree: 'bench', page: PAGE, offsets },
          ({ offset, bytes }) => {
            verifyBlock(cids[offset % DISTINCT_BLOCKS]!, bytes!)
            receivedBytes += bytes!.length
          },
          signal,
        )
      }
    }
    await Promise.all(Array.from({ length: REQUESTS_IN_FLIGHT }, ask))
    const seconds = (performance.now() - startMs) / 1000
    const clientCpu = cpuSeconds(before)
    child.stdin.end()
    const { cpuSeconds: serverCpu } = JSON.parse((await lines.next()).value ?? '{}') as { cpuSeconds: number }
    const gigabytes = receivedBytes / 1e9
    return {
      security,
      megabytes: Math.round(receivedBytes / 1e6),
      seconds: round(seconds),
      megabytesPerSecond: Math.round(receivedBytes / 1e6 / seconds),
      clientCpuSecondsPerGigabyte: round(clientCpu / gigabytes),
      serverCpuSecondsPerGigabyte: round(serverCpu / gigabytes),
      peakRssMegabytes: Math.round(process.resourceUsage().maxRSS / 1000),
    }
  } finally {
    await host.stop()
    child.kill()
  }
}

function cpuSeconds(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1e6
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}

const { values } = parseArgs({
  options: {
    serve: { type: 'string' },
    megabytes: { type: 'string', default: '512' },
    security: { type: 'string', default: 'tls,noise' },
  },
})
if (values.serve !== undefined) {
  await serve(values.serve as Security)
} else {
  const results: object[] = []
  for (const security of values.security.split(',')) {
    results.push(await measure(security as Security, Number(values.megabytes)))
  }
  process.stdout.write(
    `${JSON.stringify({ bench: 'net', blockBytes: BLOCK_BYTES, node: process.version, results })}\n`,
  )
}
