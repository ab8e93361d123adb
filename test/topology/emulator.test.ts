/** The emulator on real namespaces: what passes its links, how fast at most, and that nothing stays behind. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { parseTopologyFile } from '../../node/topology/read-file.ts'
import type { PairCounters } from '../../topology/emulator/counters.ts'
import { type Emulator, removeAbandoned, startEmulator } from '../../topology/emulator/emulator.ts'
import { listNamespaces, processesIn } from '../../topology/emulator/namespaces.ts'
import { type Network, planNetwork } from '../../topology/emulator/network.ts'
import { skipWithout } from '../needs.ts'

const emulatorFolder = join(import.meta.dirname, '../../topology/emulator')

const skip = skipWithout('gcc', 'ip', 'nsenter')

function plan(text: string): Network {
  const { topology, regionOf, origin } = parseTopologyFile(text, 'test')
  return planNetwork({
    name: 'test',
    origin: origin!,
    topology,
    places: [...regionOf].map(([site, region]) => ({ site, region })),
    lanRttMs: 1,
    wanRttMs: 80,
  })
}

const TWO_REGIONS = `
origin: a
regions: { x: { up: 8 Mbit/s, down: 100 Mbit/s }, y: { up: 50 Mbit/s } }
sites: { a: { region: x }, b: { region: y }, c: { region: y, up: 30 Mbit/s } }
paths: [{ between: [x, y], rtt: 40 ms }, { between: [a, c], rtt: 20 ms, rate: 5 Mbit/s }]
`

test('packets pass the pipes of both sites and of both regions, in this order', () => {
  const network = plan(TWO_REGIONS)
  const route = (from: string, to: string): unknown => {
    const number = (name: string): number => network.sites.findIndex(({ site }) => site === name)
    const { before, after, delayUs } = network.routes.find(
      (each) => each.from === number(from) && each.to === number(to),
    )!
    const names = (list: readonly number[]): string[] =>
      list.map((at) => `${network.pipes[at]!.name} ${network.pipes[at]!.kbit}`)
    return { before: names(before), after: names(after), delayUs }
  }
  assert.deepEqual(route('a', 'b'), {
    before: ['site a up 1000000', 'region x up 8000', 'path x y 0'],
    after: ['region y down 0', 'site b down 1000000'],
    delayUs: 20_000,
  })
  assert.deepEqual(route('c', 'a'), {
    before: ['site c up 30000', 'region y up 50000', 'path c a (sites) 5000'],
    after: ['region x down 100000', 'site a down 1000000'],
    delayUs: 10_000,
  })
  assert.deepEqual(route('b', 'c'), {
    before: ['site b up 1000000', 'path y y 0'],
    after: ['site c down 1000000'],
    delayUs: 500,
  })
  assert.equal(network.routes.length, 6)
  assert.equal(new Set(network.sites.map(({ address }) => address)).size, 3)
})

test('more sites than one machine emulates are refused', () => {
  const places = Array.from({ length: 257 }, (_, number) => ({
    site: `s${number}`,
    region: `r${number % 9}`,
  }))
  const topology = { regions: [], sites: [], paths: [] }
  assert.throws(
    () => planNetwork({ name: 'big', origin: 's0', topology, places, lanRttMs: 1, wanRttMs: 80 }),
    { code: 'limit' },
  )
})

/** Takes in what comes by TCP and says how much; sends each datagram back. */
const SERVER = `
const tcp = require('node:net').createServer({ allowHalfOpen: true }, (socket) => {
  let bytes = 0
  socket.on('data', (data) => (bytes += data.length)).on('end', () => socket.end(String(bytes)))
})
const udp = require('node:dgram').createSocket('udp4')
udp.on('message', (data, { address, port }) => udp.send(data, port, address))
tcp.listen(5000, () => udp.bind(5000, () => console.log('ready')))
`
/** Sends so many bytes by TCP; prints how long connecting took, and all the rest. */
const SENDER = `
const [host, bytes] = process.argv.slice(1)
const start = performance.now()
const socket = require('node:net').connect(5000, host, () => {
  const connected = performance.now()
  socket.end(Buffer.alloc(Number(bytes)))
  socket.on('data', (taken) =>
    console.log(JSON.stringify({ connectMs: connected - start, sendMs: performance.now() - connected, taken: Number(taken) })),
  )
})
`
/** Sends so many datagrams and ends. */
const DATAGRAMS = `
const [host, count] = process.argv.slice(1)
const socket = require('node:dgram').createSocket('udp4')
let left = Number(count)
const next = () => (left-- > 0 ? socket.send(Buffer.alloc(100), 5000, host, next) : socket.close())
next()
`

async function runAt(emulator: Emulator, site: string, script: string, ...words: string[]): Promise<string> {
  const [program, ...rest] = emulator.argumentsAt(site, [process.execPath, '-e', script, ...words])
  return (await promisify(execFile)(program!, rest, { timeout: 90_000 })).stdout
}

/** What was counted of the packets from one site to another, once that many were sent. */
async function pairAfter(emulator: Emulator, from: string, to: string, sent: number): Promise<PairCounters> {
  const deadline = performance.now() + 60_000
  for (;;) {
    const { pairs } = await emulator.counters()
    const pair = pairs.find((each) => each.from === from && each.to === to)
    // What was on its way when the counters were reset arrives without having been sent.
    if (
      pair !== undefined &&
      pair.sentPackets >= sent &&
      pair.arrivedPackets + pair.lost + pair.cut + pair.droppedByQueues >= pair.sentPackets
    )
      return pair
    assert.ok(performance.now() < deadline, `no ${sent} packets from ${from} to ${to} in 60 s`)
  }
}

const CONGESTION = '/proc/sys/net/ipv4/tcp_congestion_control'

test('emulated links', { skip, timeout: 240_000 }, async (t) => {
  let emulator: Emulator
  let server: ChildProcess

  before(async () => {
    emulator = await startEmulator(plan(TWO_REGIONS))
    const [program, ...rest] = emulator.argumentsAt('b', [process.execPath, '-e', SERVER])
    server = spawn(program!, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(server.stdout!, 'data')
  })
  after(async () => {
    await emulator.remove()
    assert.deepEqual(
      listNamespaces().filter(({ id }) => id === emulator.id),
      [],
    )
    if (server.exitCode === null && server.signalCode === null) await once(server, 'exit')
    await emulator.remove()
  })

  await t.test("have cubic, whatever the machine's own is", async () => {
    const read = "process.stdout.write(require('node:fs').readFileSync(process.argv[1], 'utf8'))"
    assert.equal((await runAt(emulator, 'a', read, CONGESTION)).trim(), 'cubic')
    await assert.rejects(startEmulator(plan(TWO_REGIONS), { congestion: 'none-such' }), {
      code: 'unsupported',
      message: /no congestion control none-such/,
    })
  })

  await t.test('are no faster and no nearer than asked, and count every byte', async () => {
    await emulator.resetCounters()
    const bytes = 1_000_000
    const sent = JSON.parse(await runAt(emulator, 'a', SENDER, emulator.site('b').address, String(bytes)))
    assert.equal(sent.taken, bytes)
    assert.ok(sent.connectMs >= 39.9, `connected in ${sent.connectMs} ms`)
    // 8 Mbit/s is 1 byte a microsecond.
    assert.ok(sent.sendMs >= 1000, `sent in ${sent.sendMs} ms`)
    const { pipes, pairs, lateness } = await emulator.counters()
    for (const name of ['site a up', 'region x up', 'region y down', 'site b down']) {
      const pipe = pipes[name]!
      assert.ok(pipe.bytes > bytes && pipe.bytes < 1.2 * bytes, `${name}: ${pipe.bytes} bytes`)
    }
    assert.ok(pipes['region x up']!.maxWaitMs > 0 && pipes['region x up']!.maxWaitMs <= 100)
    assert.ok(pairs.some(({ from, to, arrivedBytes }) => from === 'a' && to === 'b' && arrivedBytes > bytes))
    assert.ok(lateness.packets > 700)
  })

  await t.test('that are cut pass nothing until they are healed', async () => {
    await emulator.cut('region:y')
    await emulator.resetCounters()
    await runAt(emulator, 'a', DATAGRAMS, emulator.site('b').address, '5')
    // The last acknowledgement of what was sent before may be among them.
    const { cut, arrivedPackets } = await pairAfter(emulator, 'a', 'b', 5)
    assert.ok(cut >= 5 && arrivedPackets === 0, `${cut} were cut, ${arrivedPackets} arrived`)
    // Within the region everything goes on.
    const inside = JSON.parse(await runAt(emulator, 'c', SENDER, emulator.site('b').address, '1000'))
    assert.equal(inside.taken, 1000)
    await emulator.heal('region:y')
    await emulator.resetCounters()
    await runAt(emulator, 'a', DATAGRAMS, emulator.site('b').address, '5')
    const healed = await pairAfter(emulator, 'a', 'b', 5)
    assert.ok(healed.cut === 0 && healed.arrivedPackets >= 5, `${healed.arrivedPackets} arrived`)
  })

  await t.test('lose and delay as they are told while they run', async () => {
    await emulator.setPath('a', 'b', { lossPercent: 50, rttMs: 2 })
    await emulator.resetCounters()
    await runAt(emulator, 'a', DATAGRAMS, emulator.site('b').address, '400')
    const { lost } = await pairAfter(emulator, 'a', 'b', 400)
    // Six standard deviations of 10 packets each.
    assert.ok(lost >= 140 && lost <= 260, `${lost} of 400 were lost`)
    await emulator.setPath('a', 'b', { lossPercent: 0 })
    await emulator.setPipe('region:x', { upKbit: 0 })
    // A busy machine may be late; it is nearer than before if it ever is.
    let least = Number.POSITIVE_INFINITY
    for (let attempt = 0; attempt < 10 && least >= 39.9; attempt++) {
      const sent = JSON.parse(await runAt(emulator, 'a', SENDER, emulator.site('b').address, '1000'))
      assert.ok(sent.connectMs >= 1.9, `connected in ${sent.connectMs} ms`)
      least = Math.min(least, sent.connectMs)
    }
    assert.ok(least < 39.9, `connected in ${least} ms`)
    assert.equal(emulator.network.pipes.find(({ name }) => name === 'region x up')!.kbit, 0)
  })

  await t.test('have no way out of the namespaces', async () => {
    await assert.rejects(runAt(emulator, 'a', SENDER, '192.0.2.1', '1'), /ENETUNREACH/)
  })
})

test('an emulator whose process was killed leaves nothing that stays', {
  skip,
  timeout: 60_000,
}, async () => {
  const script = `
    import { startEmulator } from ${JSON.stringify(join(emulatorFolder, 'emulator.ts'))}
    const network = ${JSON.stringify(plan(TWO_REGIONS))}
    const emulator = await startEmulator(network)
    console.log(emulator.id)
    setInterval(() => undefined, 1000)
  `
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const id = String((await once(child.stdout, 'data'))[0]).trim()
  const names = listNamespaces()
    .filter((each) => each.id === id)
    .map(({ name }) => name)
  assert.equal(names.length, 3)
  child.kill('SIGKILL')
  await once(child, 'exit')
  // Another test's emulator may find it first.
  await removeAbandoned()
  assert.ok(!listNamespaces().some((each) => each.id === id))
  assert.deepEqual(processesIn(names), [])
  assert.deepEqual(await removeAbandoned(), [])
})

test('without root it says what it needs', { skip }, async () => {
  process.seteuid!(65_534)
  try {
    await assert.rejects(startEmulator(plan(TWO_REGIONS)), { code: 'refused', message: /take root/ })
  } finally {
    process.seteuid!(0)
  }
})
