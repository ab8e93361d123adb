/**
 * What the gateway answered, a line a request, in the combined format that web servers write and their tools read. The
 * file may be renamed by whoever rotates it: a new one is begun. A disk that does not keep up loses lines, and the log says
 * how many; nobody waits for it.
 */
import { createWriteStream, statSync, type WriteStream } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock } from '../../src/base/clock.ts'
import { asMirrorError } from '../../src/base/errors.ts'
import type { GatewayLog } from './gateway-log.ts'

export interface AccessLog {
  /** @param sentBytes of the body */
  note(request: IncomingMessage, response: ServerResponse, sentBytes: number): void
  close(): Promise<void>
}

const MAX_WAITING_BYTES = 1024 * 1024
/** How often it is looked whether the file is still where it was. */
const LOOK_MS = 5000
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

export function openAccessLog(
  file: string,
  { clock, log }: { readonly clock: Clock; readonly log: GatewayLog },
): AccessLog {
  let stream = open()
  let inode: number | undefined
  let lookedMs = Number.NEGATIVE_INFINITY
  let lost = 0

  function open(): WriteStream {
    const opened = createWriteStream(file, { flags: 'a', mode: 0o640 })
    opened.on('open', () => {
      inode = inodeOf(file)
    })
    opened.on('error', (error) => {
      log.warn({ err: asMirrorError(error, `write ${file}`) }, 'gateway.access-log-failed')
    })
    return opened
  }

  /** Where the stream failed, too: the disk may have room again. */
  function look(): void {
    const nowMs = clock.monotonicMs()
    if (nowMs - lookedMs < LOOK_MS) return
    lookedMs = nowMs
    if (lost > 0) {
      log.warn({ lines: lost }, 'gateway.access-log-lost')
      lost = 0
    }
    const isMoved = inode !== undefined && inodeOf(file) !== inode
    if (!isMoved && !stream.errored) return
    stream.end()
    inode = undefined
    stream = open()
  }

  return {
    note(request, response, sentBytes) {
      look()
      if (stream.errored !== null || stream.writableLength > MAX_WAITING_BYTES) lost++
      else stream.write(formatAccess(request, response.statusCode, sentBytes, clock.nowMs()))
    },
    close() {
      return new Promise((resolve) => {
        if (stream.errored !== null || stream.destroyed) resolve()
        else stream.end(() => resolve())
      })
    },
  }
}

/** Apache's combined format; times are UTC. What a client says is escaped: a line is a line. */
export function formatAccess(
  { socket, method, url, httpVersion, headers }: IncomingMessage,
  status: number,
  sentBytes: number,
  nowMs: number,
): string {
  const at = new Date(nowMs)
  const two = (value: number): string => String(value).padStart(2, '0')
  const day = `${two(at.getUTCDate())}/${MONTHS[at.getUTCMonth()]}/${at.getUTCFullYear()}`
  const time = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())}`
  const request = `${method ?? '-'} ${url ?? '-'} HTTP/${httpVersion}`
  return `${socket.remoteAddress ?? '-'} - - [${day}:${time} +0000] "${escaped(request)}" ${status} ${sentBytes || '-'} "${escaped(headers.referer ?? '-')}" "${escaped(headers['user-agent'] ?? '-')}"\n`
}

function escaped(text: string): string {
  return text.slice(0, 4096).replace(/[^\x20-\x7e]|["\\]/g, (one) => {
    if (one === '"' || one === '\\') return `\\${one}`
    return [...Buffer.from(one, 'utf8')].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')
  })
}

function inodeOf(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.ino
}
