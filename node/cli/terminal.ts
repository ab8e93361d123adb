/**
 * The process's face: data to stdout, talk to stderr. A reader that goes away (`| head`) ends the program quietly;
 * a slow one is waited for.
 */
import { writeSync } from 'node:fs'
import type { Writable } from 'node:stream'
import { asMirrorError } from '../../src/base/errors.ts'
import { exitStatusOf } from './exit-codes.ts'

export interface TerminalStream {
  readonly stream: Writable
  readonly isTty: boolean
  readonly columns: number
}

export interface Terminal {
  readonly out: TerminalStream
  readonly err: TerminalStream
  readonly isStdinTty: boolean
  readonly env: Readonly<Record<string, string | undefined>>
  /** ANSI colours are wanted on stdout: a terminal, and NO_COLOR is not set (no-color.org). */
  readonly hasColor: boolean
  /** Resolves when stdout took it. */
  print(text: string | Uint8Array): Promise<void>
  /** One line of talk. */
  say(line: string): void
}

/** Of a terminal that does not know its width: some say 0. */
const DEFAULT_COLUMNS = 80

export function processTerminal(): Terminal {
  const { env, stdout, stderr, stdin } = process
  // A closed pipe is the reader's way to say "enough".
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
    const failure = asMirrorError(error, 'write the output')
    writeSync(stderr.fd, `mirrormesh: ${failure.message}.\n`)
    process.exit(exitStatusOf(failure.code))
  })
  stderr.on('error', () => process.exit(1))
  return {
    out: { stream: stdout, isTty: stdout.isTTY === true, columns: stdout.columns || DEFAULT_COLUMNS },
    err: { stream: stderr, isTty: stderr.isTTY === true, columns: stderr.columns || DEFAULT_COLUMNS },
    isStdinTty: stdin.isTTY === true,
    env,
    hasColor: stdout.isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb',
    print(text) {
      return new Promise((resolve) => {
        if (stdout.write(typeof text === 'string' ? withoutControls(text) : text)) resolve()
        else stdout.once('drain', resolve)
      })
    },
    say(line) {
      stderr.write(`${withoutControls(line)}\n`)
    },
  }
}

/**
 * What other members say of themselves (a reason, an address, a path) is shown to admins who decide by it: it must not move the
 * cursor, nor turn the order of the text around. The bytes of files go out as they are.
 */
export function withoutControls(text: string): string {
  return text.replace(/(?![\t\n])[\p{Cc}\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu, (one) => {
    const code = one.charCodeAt(0).toString(16)
    return code.length > 2 ? `\\u{${code}}` : `\\x${code.padStart(2, '0')}`
  })
}

/** Gathers small lines into writes of about 64 KiB. */
export interface LineWriter {
  line(text: string): Promise<void>
  end(): Promise<void>
}

export function createLineWriter(terminal: Terminal): LineWriter {
  let pending = ''
  return {
    async line(text) {
      pending += `${text}\n`
      if (pending.length < 65_536) return
      const chunk = pending
      pending = ''
      await terminal.print(chunk)
    },
    async end() {
      if (pending.length > 0) await terminal.print(pending)
      pending = ''
    },
  }
}
