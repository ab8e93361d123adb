/**
 * The forwarding program: compiles forwarder/*.c at the first use, starts it and speaks to it. A command is a line, and so
 * is its answer.
 */
import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { access, mkdir, readFile, rename, rm } from 'node:fs/promises'
import { createConnection, type Socket } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { asMirrorError, MirrorError } from '../../src/base/errors.ts'

const FOLDER = join(import.meta.dirname, 'forwarder')
const SOURCES = ['main.c', 'links.c', 'device.c'].map((name) => join(FOLDER, name))
const HEADERS = ['links.h', 'device.h'].map((name) => join(FOLDER, name))
const START_MS = 5000

export interface Forwarder {
  /** @returns what follows `ok` @throws MirrorError `invalid` with what the program says */
  send(command: string): Promise<string>
  /** Sends all before it waits for the first answer. */
  sendAll(commands: readonly string[]): Promise<void>
  /** Leaves it running if it was told to `stay`; else it ends. */
  close(): void
}

/** @returns the path of the program. It is kept by what its source says, where only this user writes. */
export async function buildForwarder(): Promise<string> {
  const hash = createHash('sha256')
  for (const file of [...SOURCES, ...HEADERS]) hash.update(await readFile(file))
  const version = hash.digest('hex').slice(0, 16)
  const folder = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'mirrormesh')
  const program = join(folder, `forwarder-${version}`)
  try {
    await access(program)
    return program
  } catch {
    await mkdir(folder, { recursive: true, mode: 0o700 })
  }
  const made = `${program}.${process.pid}`
  try {
    await promisify(execFile)('gcc', ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-o', made, ...SOURCES])
    await rename(made, program)
  } catch (error) {
    await rm(made, { force: true })
    throw new MirrorError('unsupported', `cannot compile ${FOLDER}: ${(error as Error).message}`, {
      hint: 'The emulator needs gcc and the headers of libc and of Linux (Debian: gcc, libc6-dev).',
      cause: error,
    })
  }
  return program
}

/** Starts the program and connects. It ends with this process, or with `close`, unless it is told to `stay`. */
export async function startForwarder(socketPath: string, seed: number): Promise<Forwarder> {
  const child = spawn(await buildForwarder(), [socketPath, String(seed)], {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  })
  child.unref()
  let said = ''
  child.stderr.on('data', (text: Buffer) => {
    said += text.toString()
  })
  ;(child.stderr as unknown as Socket).unref()
  let hasEnded = false
  child.once('exit', () => {
    hasEnded = true
  })
  child.once('error', () => {
    hasEnded = true
  })
  const deadline = performance.now() + START_MS
  for (;;) {
    try {
      return await connectForwarder(socketPath)
    } catch (error) {
      if (hasEnded || performance.now() > deadline)
        throw new MirrorError(
          'io',
          `the emulator's forwarder did not start: ${said.trim() || 'it said nothing'}`,
          {
            cause: error,
          },
        )
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
}

/** @throws MirrorError `unreachable` when nothing answers there */
export async function connectForwarder(socketPath: string): Promise<Forwarder> {
  const socket = createConnection(socketPath)
  try {
    await once(socket, 'connect')
  } catch (error) {
    const { message } = asMirrorError(error, 'speak to the forwarder')
    throw new MirrorError('unreachable', `no forwarder answers at ${socketPath}: ${message}`, {
      cause: error,
    })
  }
  const waiting: { resolve: (line: string) => void; reject: (error: Error) => void }[] = []
  const fail = (): void => {
    const error = new MirrorError('unreachable', `the forwarder at ${socketPath} has ended`)
    for (const { reject } of waiting.splice(0)) reject(error)
  }
  createInterface({ input: socket }).on('line', (line) => waiting.shift()?.resolve(line))
  socket.on('close', fail).on('error', fail)

  async function send(command: string): Promise<string> {
    if (socket.destroyed || !socket.writable)
      throw new MirrorError('unreachable', `the forwarder at ${socketPath} has ended`)
    const line = await new Promise<string>((resolve, reject) => {
      waiting.push({ resolve, reject })
      socket.write(`${command}\n`)
    })
    if (line.startsWith('ok')) return line.slice(3)
    throw new MirrorError('invalid', `the forwarder refuses "${command}": ${line.replace(/^error /, '')}`)
  }

  return {
    send,
    async sendAll(commands) {
      await Promise.all(commands.map(send))
    },
    close: () => socket.destroy(),
  }
}
