/**
 * Two emulated sites with one pipe between them, and what runs at them: blocks that one host serves to the other, a bulk flow of
 * another application (plain TCP), and small messages to and fro (plain TCP). Each runs in a process of its own and says what
 * it sees; all are ended with the pipe. Takes root.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseTopologyFile } from '../../../node/topology/read-file.ts'
import { MirrorError } from '../../../src/base/errors.ts'
import { DEFAULT_CONGESTION } from '../../../topology/emulator/congestion.ts'
import { type Emulator, startEmulator } from '../../../topology/emulator/emulator.ts'
import { planNetwork } from '../../../topology/emulator/network.ts'

const ENDS = join(import.meta.dirname, 'ends.ts')

export interface PipeOptions {
  readonly mbit: number
  readonly rttMs: number
  readonly lossPercent?: number
  /** Of the kernel, at both sites, for all that sends: `cubic` by default, which is what most have. */
  readonly congestion?: string
}

export interface Flow {
  /** Bytes that have arrived up to now. */
  bytes(): number
  /** Bytes a second until it has said so many times more what arrived: ten times a second, while it stands still as well. */
  rate(times: number): Promise<number>
  end(): void
}

export interface Pings extends Flow {
  /** Round trips in milliseconds since the last call. */
  take(): number[]
}

export interface SharedPipe {
  readonly emulator: Emulator
  /** Blocks from one site to the other, without end, by a host that gives way or does not. @param slot 0 to 9, each once */
  fetch(slot: number, targetMs: number | undefined): Promise<Flow>
  /** Of another application. */
  flood(): Promise<Flow>
  ping(): Promise<Pings>
  stop(): Promise<void>
}

export async function openPipe({
  mbit,
  rttMs,
  lossPercent = 0,
  congestion = DEFAULT_CONGESTION,
}: PipeOptions): Promise<SharedPipe> {
  const { topology, regionOf, origin } = parseTopologyFile(
    `
origin: a
regions: { x: { up: ${mbit} Mbit/s, down: ${mbit} Mbit/s }, y: { up: ${mbit} Mbit/s, down: ${mbit} Mbit/s } }
sites: { a: { region: x }, b: { region: y } }
paths: [{ between: [x, y], rtt: ${rttMs} ms }]
`,
    'the pipe',
  )
  const emulator = await startEmulator(
    planNetwork({
      ...{ name: 'pipe', origin: origin!, topology, lanRttMs: 1, wanRttMs: rttMs },
      places: [...regionOf].map(([site, region]) => ({ site, region })),
    }),
    { congestion },
  )
  const children: ChildProcess[] = []

  /** A process at a site. Resolves with its first word, when it is ready; then each line is for `onLine`. */
  async function run(
    site: 'a' | 'b',
    words: readonly (string | number)[],
    onLine: (words: readonly string[]) => void = () => undefined,
  ): Promise<{ readonly child: ChildProcess; readonly said: string }> {
    const [program, ...args] = emulator.argumentsAt(site, [
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      ENDS,
      ...words.map(String),
    ])
    const child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    children.push(child)
    const said = await new Promise<string>((resolve, reject) => {
      let isFirst = true
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (!isFirst) onLine(line.split(' '))
        isFirst = false
        resolve(line)
      })
      child.once('error', reject)
      child.once('exit', (code) =>
        reject(new MirrorError('io', `${words[0]} at ${site} ended with ${code} before it was ready`)),
      )
    })
    return { child, said }
  }

  async function flow(
    site: 'a' | 'b',
    words: readonly (string | number)[],
    others: readonly ChildProcess[],
    onLine: (words: readonly string[]) => void = () => undefined,
  ): Promise<Flow> {
    let bytes = 0
    const said = new EventEmitter()
    const { child } = await run(site, words, (line) => {
      bytes = Number(line[0])
      onLine(line)
      said.emit('line')
    })
    return {
      bytes: () => bytes,
      async rate(times) {
        const [before, beganMs] = [bytes, performance.now()]
        for (let i = 0; i < times; i++) await once(said, 'line')
        return ((bytes - before) * 1000) / (performance.now() - beganMs)
      },
      end() {
        for (const each of [child, ...others]) each.kill('SIGKILL')
      },
    }
  }

  const [from, to] = [emulator.site('a').address, emulator.site('b').address]
  let ports = 7000
  try {
    if (lossPercent > 0) await emulator.setPath('a', 'b', { lossPercent })
  } catch (error) {
    await emulator.remove()
    throw error
  }
  return {
    emulator,
    async fetch(slot, targetMs) {
      const serving = await run('a', ['serve', `${from}:${6000 + slot}`, slot, targetMs ?? 'off'])
      return await flow('b', ['fetch', `${from}:${6000 + slot}`, slot, targetMs ?? 'off'], [serving.child])
    },
    async flood() {
      const port = ports++
      const { child } = await run('a', ['flood', `${from}:${port}`])
      return await flow('b', ['drain', `${from}:${port}`], [child])
    },
    async ping() {
      const port = ports++
      const { child } = await run('b', ['echo', `${to}:${port}`])
      let times: number[] = []
      const answers = await flow('a', ['ping', `${to}:${port}`], [child], (line) =>
        times.push(Number(line[1])),
      )
      return {
        ...answers,
        take() {
          const taken = times
          times = []
          return taken
        },
      }
    },
    async stop() {
      for (const child of children) child.kill('SIGKILL')
      await emulator.remove()
    },
  }
}
