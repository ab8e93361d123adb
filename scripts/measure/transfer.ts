/**
 * Block transfer between two processes on loopback: MB/s and CPU seconds a GB at either end, with TLS and with noise.
 * Prints JSON. `node scripts/measure/transfer.ts [--megabytes 512] [--security tls,noise]`; 60 s at most for each. With
 * `--compress DIR` the blocks are DIR's files (400 MB of them at most), each compressed by the server as for another
 * region and decoded by the client; gigabytes are of plain bytes then.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { concatBytes } from '../../src/base/bytes.ts'
import { cidKey, cidOf, parseCid, RAW, verifyBlock } from '../../src/block/cid.ts'
import { decodeBlockLater } from '../../src/block/encoding.ts'
import type { Host } from '../../src/net/host.ts'
import type { ServedBlock } from '../../src/net/ports.ts'
import { boundAllocator } from '../../src/posix/allocator.ts'
import { createWireEncoder } from '../../src/replica/serve/wire-encoder.ts'
import { parseOptions } from '../options.ts'
import { PAGE, startBareHost } from './bare-host.ts'

const BLOCK_BYTES = 64 * 1024
const DISTINCT_BLOCKS = 64
const MAX_FILES_BYTES = 400e6
const OFFSETS_PER_REQUEST = 32
const REQUESTS_IN_FLIGHT = 4
/** Of the server, as a node's block service has it. */
const READ_AHEAD = 8
const TIMEOUT_MS = 60_000

const HELP = `usage: node scripts/measure/transfer.ts [options]

Moves blocks between two processes on loopback, and prints JSON: MB/s, and CPU seconds a GB at either end.

  --megabytes N     to be moved; default 512, and ${TIMEOUT_MS / 1000} s at most
  --security LIST   of tls and noise, with commas; default both, one after the other
  --compress DIR    the blocks are DIR's files, each compressed by the server as for another region; gigabytes are plain then
  -h, --help        this text
`

type Security = 'noise' | 'tls'

function start(
  name: string,
  security: Security,
  read: (offset: number) => Promise<Omit<ServedBlock, 'offset'>>,
): Promise<Host> {
  async function* blocks(
    _peer: string,
    { offsets }: { readonly offsets: readonly number[] },
  ): AsyncGenerator<ServedBlock[]> {
    const reads: Promise<ServedBlock>[] = []
    for (let at = 0; at < offsets.length || reads.length > 0; ) {
      while (at < offsets.length && reads.length < READ_AHEAD) {
        const offset = offsets[at++]!
        reads.push(read(offset).then((block) => ({ offset, ...block })))
      }
      yield [await reads.shift()!]
    }
  }
  return startBareHost(name, blocks, { listen: ['127.0.0.1:0'], security: [security] })
}

/** The serving process: says where it listens, and at the end of its input what it used. */
async function serve(security: Security, folder: string | undefined): Promise<void> {
  const blocks = folder === undefined ? madeBlocks() : filesOf(folder)
  const cids = blocks.map((bytes) => cidOf(RAW, bytes))
  const numbers = new Map(cids.map((cid, i) => [cidKey(cid), i]))
  const encoder = createWireEncoder({
    blocks: {
      async getEncoded(cids) {
        return cids.map((cid) => {
          const bytes = blocks[numbers.get(cidKey(cid))!]!
          return { encoding: 'plain', bytes, lengthBytes: bytes.length }
        })
      },
    },
  })
  const host = await start('server', security, async (offset) => {
    const { encoding, bytes, lengthBytes } = (await encoder.encode([cids[offset]!], folder !== undefined))[0]!
    return { bytes, ...(encoding === 'zstd' ? { zstdOfBytes: lengthBytes } : {}) }
  })
  process.stdout.write(
    `${JSON.stringify({ peer: host.peerId, address: host.addresses()[0], cids: cids.map(String) })}\n`,
  )
  const before = process.cpuUsage()
  const beforeMain = process.threadCpuUsage()
  process.stdin.resume()
  await once(process.stdin, 'end')
  const used = { cpuSeconds: cpuSeconds(before), mainCpuSeconds: mainCpuSeconds(beforeMain) }
  process.stdout.write(`${JSON.stringify(used)}\n`)
  await host.stop()
}

function madeBlocks(): Uint8Array[] {
  const seed = randomBytes(BLOCK_BYTES)
  return Array.from({ length: DISTINCT_BLOCKS }, (_, i) => {
    const bytes = new Uint8Array(seed)
    bytes[0] = i
    return bytes
  })
}

/** Regular files below `folder`, one after the other, cut into blocks. */
function filesOf(folder: string): Uint8Array[] {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  )
  const parts: Uint8Array[] = []
  let bytes = 0
  for (const { parentPath, name } of files) {
    if (bytes >= MAX_FILES_BYTES) break
    const part = readFileSync(join(parentPath, name))
    parts.push(part)
    bytes += part.length
  }
  const whole = concatBytes(parts)
  const count = Math.floor(Math.min(whole.length, MAX_FILES_BYTES) / BLOCK_BYTES)
  return Array.from({ length: count }, (_, i) => whole.slice(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES))
}

async function measure(security: Security, megabytes: number, folder: string | undefined): Promise<object> {
  const compress = folder === undefined ? [] : ['--compress', folder]
  const child = spawn(
    process.execPath,
    [...process.execArgv, import.meta.filename, '--serve', security, ...compress],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const hello = JSON.parse((await lines.next()).value ?? '{}') as {
    peer: string
    address: string
    cids: string[]
  }
  const cids = hello.cids.map(parseCid)
  const host = await start('client', security, () => Promise.resolve({}))
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    await host.dial(hello.peer, [hello.address], signal)
    const channel = host.openBlocks(hello.peer)
    const wanted = Math.max(1, Math.round((megabytes * 1e6) / BLOCK_BYTES))
    const blocks = folder === undefined ? wanted : Math.min(wanted, cids.length)
    let left = Math.max(1, Math.floor(blocks / OFFSETS_PER_REQUEST))
    let receivedBytes = 0
    let wireBytes = 0
    const before = process.cpuUsage()
    const beforeMain = process.threadCpuUsage()
    const startMs = performance.now()
    const take = (offset: number, bytes: Uint8Array): void => {
      verifyBlock(cids[offset]!, bytes)
      receivedBytes += bytes.length
    }
    const ask = async (): Promise<void> => {
      while (left-- > 0) {
        const first = left * OFFSETS_PER_REQUEST
        const offsets = Array.from({ length: OFFSETS_PER_REQUEST }, (_, i) => (first + i) % cids.length)
        const unpackings: Promise<void>[] = []
        await channel.request(
          { tree: 'bench', page: PAGE, offsets },
          (answers) => {
            for (const { offset, bytes, zstdOfBytes } of answers) {
              wireBytes += bytes!.length
              if (zstdOfBytes === undefined) take(offset, bytes!)
              else {
                const block = { encoding: 'zstd', bytes: bytes!, lengthBytes: zstdOfBytes } as const
                unpackings.push(decodeBlockLater(block).then((plain) => take(offset, plain)))
              }
            }
          },
          signal,
        )
        await Promise.all(unpackings)
      }
    }
    await Promise.all(Array.from({ length: REQUESTS_IN_FLIGHT }, ask))
    const seconds = (performance.now() - startMs) / 1000
    const clientCpu = cpuSeconds(before)
    const clientMain = mainCpuSeconds(beforeMain)
    child.stdin.end()
    const server = JSON.parse((await lines.next()).value ?? '{}') as {
      cpuSeconds: number
      mainCpuSeconds: number
    }
    const gigabytes = receivedBytes / 1e9
    return {
      security,
      megabytes: Math.round(receivedBytes / 1e6),
      wireMegabytes: Math.round(wireBytes / 1e6),
      seconds: round(seconds),
      megabytesPerSecond: Math.round(receivedBytes / 1e6 / seconds),
      clientCpuSecondsPerGigabyte: round(clientCpu / gigabytes),
      serverCpuSecondsPerGigabyte: round(server.cpuSeconds / gigabytes),
      clientMainCpuSecondsPerGigabyte: round(clientMain / gigabytes),
      serverMainCpuSecondsPerGigabyte: round(server.mainCpuSeconds / gigabytes),
      peakRssMegabytes: Math.round(process.resourceUsage().maxRSS / 1000),
    }
  } finally {
    await host.stop()
    if (child.exitCode === null) child.kill()
  }
}

function cpuSeconds(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1e6
}

function mainCpuSeconds(before: NodeJS.CpuUsage): number {
  const { user, system } = process.threadCpuUsage(before)
  return (user + system) / 1e6
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}

// As in a node that has imported something.
boundAllocator()
const { values } = parseOptions(
  {
    options: {
      serve: { type: 'string' },
      megabytes: { type: 'string', default: '512' },
      security: { type: 'string', default: 'tls,noise' },
      compress: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  },
  { command: 'node scripts/measure/transfer.ts', help: HELP },
)
if (values.serve !== undefined) {
  await serve(values.serve as Security, values.compress)
} else {
  const results: object[] = []
  for (const security of values.security.split(',')) {
    results.push(await measure(security as Security, Number(values.megabytes), values.compress))
  }
  process.stdout.write(
    `${JSON.stringify({ bench: 'net', blockBytes: BLOCK_BYTES, node: process.version, results })}\n`,
  )
}
