/**
 * The daemon's log, on stderr: JSON for machines (pino), or one readable line an event on a terminal. Events have names
 * with dots; everything else is a field. Bytes and secrets never come here, and what comes from trees is escaped.
 */
import { Writable } from 'node:stream'
import pino, { type Logger } from 'pino'
import { MirrorError } from '../src/base/errors.ts'
import type { Config } from './config.ts'

export type Log = Logger

export function createLog(
  { logLevel, logFormat }: Pick<Config, 'logLevel' | 'logFormat'>,
  { stream, isTty }: { stream: Writable; isTty: boolean },
): Log {
  const isText = logFormat === 'text' || (logFormat === 'auto' && isTty)
  return pino(
    {
      level: logLevel,
      base: null,
      messageKey: 'event',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError },
    },
    isText ? textStream(stream) : stream,
  )
}

/** Errors of ours are facts; only a defect needs its stack. */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return { message: String(error) }
  if (!(error instanceof MirrorError)) return { name: error.name, message: error.message, stack: error.stack }
  return {
    code: error.code,
    message: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(Object.keys(error.facts).length === 0 ? {} : { facts: error.facts }),
    ...(error.code === 'internal' ? { stack: error.stack } : {}),
    ...(error.cause instanceof Error ? { cause: error.cause.message } : {}),
  }
}

function textStream(stream: Writable): Writable {
  return new Writable({
    decodeStrings: false,
    write(chunk: string | Buffer, _encoding, done) {
      const text = String(chunk).split('\n').filter(Boolean).map(formatLine).join('')
      if (stream.write(text)) done()
      else stream.once('drain', done)
    },
  })
}

/** `12:30:01 info  head.accepted tree=builds/x sequence=4` */
function formatLine(line: string): string {
  const { time, level, event, ...fields } = JSON.parse(line) as Record<string, unknown>
  const rest = Object.entries(fields).map(([key, value]) => `${key}=${formatValue(value)}`)
  return `${[String(time).slice(11, 19), String(level).padEnd(5), String(event), ...rest].join(' ')}\n`
}

function formatValue(value: unknown): string {
  if (typeof value === 'string') return /^[\w@.:/+-]+$/.test(value) ? value : JSON.stringify(value)
  if (typeof value === 'object' && value !== null && 'message' in value) return JSON.stringify(value.message)
  return JSON.stringify(value)
}
