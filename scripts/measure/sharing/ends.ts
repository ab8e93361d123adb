/**
 * What runs at the sites of a shared pipe (pipe.ts): `ROLE HOST:PORT [SLOT TARGET]`. Says a line when it is ready, and then
 * another each 100 ms: the bytes that have arrived.
 */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { Host } from '../../../src/net/host.ts'
import type { ServedBlock } from '../../../src/net/ports.ts'
import { PAGE, startBareHost } from '../bare-host.ts'

const BLOCK_BYTES = 64 * 1024
const OFFSETS_PER_REQUEST = 8
/** Together 8 MiB: more than the path holds, as between far sites. */
const REQUESTS_IN_FLIGHT = 16
const CHUNK_BYTES = 64 * 1024
const PING_BYTES = 64
const PING_EVERY_MS = 50
const TELL_MS = 100

const show = (facts: object, event: string): void =>
  void process.stderr.write(`${performance.now().toFixed(0)} ${event} ${JSON.stringify(facts)}\n`)
const say = (line: string): void => void process.stdout.write(`${line}\n`)

function startEnd(name: string, listen: readonly string[], target: string): Promise<Host> {
  const bytes = new Uint8Array(BLOCK_BYTES)
  async function* blocks(
    _peer: string,
    { offsets }: { readonly offsets: readonly number[] },
  ): AsyncGenerator<ServedBlock[]> {
    for (const offset of offsets) yield [{ offset, bytes }]
  }
  return startBareHost(
    name,
    blocks,
    {
      listen,
      security: ['tls'],
      giveWay: target === 'off' ? undefined : { targetMs: Number(target), minBytesPerSecond: 100_000 },
    },
    {
      isFar: () => true,
      ...(process.env.SHOW === undefined ? {} : { log: { debug: show, info: show, warn: show } }),
    },
  )
}

async function serve(address: string, slot: string, target: string): Promise<void> {
  const host = await startEnd(`serve ${slot}`, [address], target)
  say('ready')
  if (process.env.SHOW !== undefined)
    setInterval(() => process.stderr.write(`${JSON.stringify(host.paths())}\n`), 500)
  // The channel of its input is never heard of again: the process stays for its host.
  setInterval(() => undefined, 60_000)
}

/** The name of a host follows from its seed, which a host of the same name tells. */
async function peerOf(name: string): Promise<string> {
  const host = await startEnd(name, [], 'off')
  await host.stop()
  return host.peerId
}

async function fetchBlocks(address: string, slot: string, target: string): Promise<void> {
  const peer = await peerOf(`serve ${slot}`)
  const host = await startEnd(`fetch ${slot}`, [], target)
  const [ip, port] = address.split(':')
  await host.dial(peer, [`/ip4/${ip}/tcp/${port}`])
  let received = 0
  tell(() => received)
  const channel = host.openBlocks(peer)
  const offsets = Array.from({ length: OFFSETS_PER_REQUEST }, (_, i) => i)
  const ask = async (): Promise<void> => {
    for (;;)
      await channel.request({ tree: 'bench', page: PAGE, offsets }, (answers) => {
        for (const { bytes } of answers) received += bytes?.length ?? 0
      })
  }
  await Promise.all(Array.from({ length: REQUESTS_IN_FLIGHT }, ask))
}

function tell(bytes: () => number): void {
  say('ready')
  setInterval(() => say(String(bytes())), TELL_MS)
}

/** Sends to whoever connects, as fast as TCP takes it. */
async function flood(host: string, port: number): Promise<void> {
  const chunk = new Uint8Array(CHUNK_BYTES)
  const server = createServer((socket) => {
    const fill = (): void => {
      while (socket.write(chunk));
    }
    socket.on('drain', fill).on('error', () => undefined)
    fill()
  })
  await once(server.listen(port, host), 'listening')
  say('ready')
}

async function drain(host: string, port: number): Promise<void> {
  const socket = connect(port, host)
  await once(socket, 'connect')
  let received = 0
  socket.on('data', (data) => {
    received += data.length
  })
  tell(() => received)
}

async function echo(host: string, port: number): Promise<void> {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => undefined).pipe(socket)
  })
  await once(server.listen(port, host), 'listening')
  say('ready')
}

/** One message at a time, and the time of its round trip. */
async function ping(host: string, port: number): Promise<void> {
  const socket = connect({ port, host, noDelay: true })
  await once(socket, 'connect')
  say('ready')
  let answers = 0
  for (;;) {
    const sentMs = performance.now()
    socket.write(new Uint8Array(PING_BYTES))
    for (let bytes = 0; bytes < PING_BYTES; ) {
      const [data] = (await once(socket, 'data')) as [Uint8Array]
      bytes += data.length
    }
    answers += PING_BYTES
    say(`${answers} ${performance.now() - sentMs}`)
    await new Promise((resolve) => setTimeout(resolve, PING_EVERY_MS))
  }
}

const [role, address = '', slot = '0', target = 'off'] = process.argv.slice(2)
const [host, port] = [address.split(':')[0]!, Number(address.split(':')[1])]
if (role === 'serve') await serve(address, slot, target)
else if (role === 'fetch') await fetchBlocks(address, slot, target)
else if (role === 'flood') await flood(host, port)
else if (role === 'drain') await drain(host, port)
else if (role === 'echo') await echo(host, port)
else if (role === 'ping') await ping(host, port)
