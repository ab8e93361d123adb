/**
 * One gateway, as a machine outside of the mesh asks it. Nothing that it says is believed, and nothing that it does may hang or
 * fill memory: every answer has a length that is known or bounded beforehand, a time in which it begins, and one in
 * which more of it must come.
 */
import { lookup as resolveName } from 'node:dns'
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { LookupFunction } from 'node:net'
import { asMirrorError, MirrorError } from '../../src/base/errors.ts'
import { MAX_BLOCK_BYTES } from '../../src/block/block.ts'
import type { Cid } from '../../src/block/cid.ts'
import type { BlockAnswer } from '../../src/net/ports.ts'
import { MAX_PROOF_BYTES, MAX_PROOF_RECORDS } from '../../src/replica/records/proof.ts'
import { MAX_MIRROR_LIST_BYTES } from './mirror-list.ts'
import { framesIn } from './proof-frames.ts'

export interface HttpGateway {
  /** Its scheme, host and port. */
  readonly origin: string
  /** The records that prove the tree that `path` is in, unverified; undefined when it knows no such tree. */
  proof(path: string, signal: AbortSignal): Promise<Uint8Array[] | undefined>
  /** Unverified; undefined when it does not hold it. */
  object(tree: string, cid: Cid, signal: AbortSignal): Promise<Uint8Array | undefined>
  block(tree: string, page: Cid, offset: number, signal: AbortSignal): Promise<BlockAnswer>
  /** What it says of where else the snapshot is; undefined when it says nothing. */
  mirrorList(tree: string, sequence: number, signal: AbortSignal): Promise<string | undefined>
  /** The IP address of what answered last. */
  answeredFrom(): string | undefined
  close(): void
}

export interface HttpGatewayOptions {
  readonly token?: string | undefined
  readonly maxSockets?: number
  /** Until the answer begins, and between two parts of it. */
  readonly quietMs?: number
  /** Connects to such addresses only, whatever the name resolves to and whenever it is asked for; absent: to any. */
  readonly admits?: ((address: string) => boolean) | undefined
}

const MAX_PROBLEM_BYTES = 4096

/** @param origin as `new URL().origin` gives it */
export function createHttpGateway(
  origin: string,
  { token, maxSockets = 8, quietMs = 10_000, admits }: HttpGatewayOptions = {},
): HttpGateway {
  const isSecure = origin.startsWith('https:')
  const agentOptions = {
    keepAlive: true,
    maxSockets,
    maxTotalSockets: maxSockets,
    ...(admits === undefined ? {} : { lookup: lookupAdmitted(admits) }),
  }
  const agent = isSecure ? new HttpsAgent(agentOptions) : new HttpAgent(agentOptions)
  let from: string | undefined

  function ask(path: string, signal: AbortSignal): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const request = (isSecure ? httpsRequest : httpRequest)(
        `${origin}${path}`,
        {
          agent,
          signal,
          timeout: quietMs,
          headers: {
            accept: 'application/octet-stream, application/problem+json',
            ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          },
        },
        resolve,
      )
      request.on('timeout', () =>
        request.destroy(new MirrorError('timed-out', `${origin} said nothing for ${quietMs / 1000} s`)),
      )
      request.on('error', (error) => reject(signal.aborted ? signal.reason : unreached(origin, error)))
      request.end()
    })
  }

  /** Whatever is not a whole body of `maxBytes` at most is an error, and ends the connection. */
  async function read(response: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
    const declared = Number(response.headers['content-length'] ?? Number.NaN)
    if (!Number.isSafeInteger(declared) || declared > maxBytes) {
      response.destroy()
      throw new MirrorError('corrupt', `${origin} announces ${response.headers['content-length']} bytes`)
    }
    const bytes = new Uint8Array(Buffer.allocUnsafeSlow(declared).buffer)
    let at = 0
    try {
      for await (const piece of response as AsyncIterable<Uint8Array>) {
        if (at + piece.length > declared)
          throw new MirrorError('corrupt', `${origin} sends more than it announced`)
        bytes.set(piece, at)
        at += piece.length
      }
    } catch (error) {
      response.destroy()
      throw asMirrorError(error, `read from ${origin}`)
    }
    if (at < declared) throw new MirrorError('corrupt', `${origin} sent ${at} of ${declared} bytes`)
    return bytes
  }

  /** Undefined for what it does not have. */
  async function fetch(path: string, maxBytes: number, signal: AbortSignal) {
    const response = await ask(path, signal)
    from = response.socket.remoteAddress ?? from
    if (response.statusCode === 200) return { response, bytes: await read(response, maxBytes) }
    const problem = await read(response, MAX_PROBLEM_BYTES).catch(() => undefined)
    if (response.statusCode === 404) return undefined
    throw errorOf(response.statusCode ?? 0, problem)
  }

  function errorOf(status: number, problem: Uint8Array | undefined): MirrorError {
    const said = detailOf(problem)
    const message = `${origin} answers ${status}${said === undefined ? '' : `: ${said}`}`
    if (status === 401 || status === 403)
      return new MirrorError('refused', message, {
        hint: 'A private tree takes a token of that node: --gateway-token-file FILE.',
      })
    return new MirrorError(status === 503 || status === 429 ? 'busy' : 'unreachable', message)
  }

  return {
    origin,
    async proof(path, signal) {
      const answer = await fetch(
        `/_mesh/proof?path=${encodeURIComponent(path)}`,
        MAX_PROOF_BYTES + 4 * MAX_PROOF_RECORDS,
        signal,
      )
      return answer && framesIn(answer.bytes, origin)
    },
    async object(tree, cid, signal) {
      const path = `/_mesh/object?tree=${encodeURIComponent(tree)}&cid=${cid.toString()}`
      return (await fetch(path, MAX_BLOCK_BYTES, signal))?.bytes
    },
    async block(tree, page, offset, signal) {
      const query = `tree=${encodeURIComponent(tree)}&page=${page.toString()}&offset=${offset}&zstd=1`
      const answer = await fetch(`/_mesh/block?${query}`, MAX_BLOCK_BYTES, signal)
      if (answer === undefined) return { offset, status: 'missing' }
      const { bytes, response } = answer
      const plain = response.headers['x-mirrormesh-plain-bytes']
      if (plain === undefined) return { offset, status: 'have', bytes }
      if (!/^\d{1,7}$/.test(String(plain)))
        throw new MirrorError('corrupt', `${origin} says a length that is none`)
      return { offset, status: 'have', bytes, zstdOfBytes: Number(plain) }
    },
    async mirrorList(tree, sequence, signal) {
      const path = `/mirrorlist?tree=${encodeURIComponent(tree)}&version=${sequence}`
      const answer = await fetch(path, MAX_MIRROR_LIST_BYTES, signal)
      return answer && Buffer.from(answer.bytes).toString('latin1')
    },
    answeredFrom: () => from,
    close: () => agent.destroy(),
  }
}

/** Resolves names as Node does, and knows no other addresses than the admitted ones. */
function lookupAdmitted(admits: (address: string) => boolean): LookupFunction {
  return (hostname, options, callback) => {
    resolveName(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, [])
      const admitted = addresses.filter(({ address }) => admits(address))
      const [first] = admitted
      if (first === undefined) return callback(notAdmitted(hostname), [])
      if (options.all === true) callback(null, admitted)
      else callback(null, first.address, first.family)
    })
  }
}

function notAdmitted(hostname: string): MirrorError {
  return new MirrorError('refused', `${hostname} leads to an address that a gateway may not name`)
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there',
  ECONNRESET: 'it broke the connection off',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'its name cannot be looked up now',
  EHOSTUNREACH: 'no way leads there',
  ENETUNREACH: 'no way leads there',
  ETIMEDOUT: 'it does not answer',
}

function unreached(origin: string, error: NodeJS.ErrnoException): MirrorError {
  const reason = REASONS[error.code ?? '']
  const hint = 'Is that a gateway of the mesh, and up?'
  if (reason === undefined) return asMirrorError(error, `ask ${origin}`, { hint })
  return new MirrorError('unreachable', `cannot reach ${origin}: ${reason}`, { hint, cause: error })
}

function detailOf(problem: Uint8Array | undefined): string | undefined {
  try {
    const { detail } = JSON.parse(Buffer.from(problem ?? []).toString()) as { detail?: unknown }
    // Somebody else's words: on one line, and not many of them.
    return typeof detail === 'string' ? detail.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 200) : undefined
  } catch {
    return undefined
  }
}
