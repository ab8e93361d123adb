/**
 * `/tls/1.0.0` as libp2p specifies it (TLS 1.3, mutual, the PeerId proven by an extension of the certificate), with the
 * cipher laid directly on the TCP socket. libp2p's own puts two JavaScript streams in between, which every 16 KiB record
 * crosses; on the wire nothing differs. Certificates are made and verified by libp2p's code, which is also what
 * serves any connection that is not a TCP socket.
 */
import { Socket } from 'node:net'
import type { ConnectionOptions, SecureContext, TLSSocketOptions } from 'node:tls'
import { connect, createSecureContext, TLSSocket } from 'node:tls'
import type {
  ConnectionEncrypter,
  MessageStream,
  PeerId,
  SecureConnectionOptions,
  SecuredConnection,
} from '@libp2p/interface'
import type { TLSComponents } from '@libp2p/tls'
import { tls as libp2pTls } from '@libp2p/tls'
import { generateCertificate, toMessageStream, verifyPeerCertificate } from '@libp2p/tls/utils'
import { MirrorError } from '../base/errors.ts'
import { MAX_TRACKED_PEERS, TLS_WRITE_HIGH_BYTES } from './limits.ts'

/** Said in the handshake by who leaves the muxer to be negotiated afterwards. */
const NO_MUXER = 'libp2p'
/** The same that any TLS 1.3 has; AES with the shorter key first, which is the quickest. */
const CIPHERS = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256'

/** @param onSecured told of each connection that is encrypted, and whose it is */
export function directTls(
  onSecured: (peer: string, socket: Socket) => void = () => undefined,
): (components: TLSComponents) => ConnectionEncrypter {
  return (components) => {
    const fallback = libp2pTls()(components)
    const verify = createVerifier()
    const context = keepOne(async () =>
      createSecureContext({
        ...(await generateCertificate(components.privateKey)),
        minVersion: 'TLSv1.3',
        maxVersion: 'TLSv1.3',
        ciphers: CIPHERS,
      }),
    )
    const secure = async (
      stream: MessageStream,
      isServer: boolean,
      options: SecureConnectionOptions = {},
    ): Promise<SecuredConnection> => {
      const socket = socketOf(stream)
      if (socket === undefined) {
        return isServer ? fallback.secureInbound(stream, options) : fallback.secureOutbound(stream, options)
      }
      const secured = await encrypt({ components, context, verify, stream, socket, isServer, options })
      onSecured(secured.remotePeer.toString(), socket)
      return secured
    }
    return {
      protocol: fallback.protocol,
      secureInbound: (stream, options) => secure(stream, true, options),
      secureOutbound: (stream, options) => secure(stream, false, options),
    }
  }
}

/** The socket of libp2p's TCP connections. */
function socketOf(stream: MessageStream): Socket | undefined {
  const { socket } = stream as { readonly socket?: unknown }
  return socket instanceof Socket ? socket : undefined
}

type Verifier = (certificate: Uint8Array, expected: PeerId | undefined) => Promise<PeerId>

/**
 * Of the certificates seen last it is known whose they are: a handshake proves each time that the peer has the key, and what
 * the certificate says does not change. Verifying one takes 3 ms.
 */
function createVerifier(): Verifier {
  const known = new Map<string, PeerId>()
  return async (certificate, expected) => {
    const name = Buffer.from(certificate).toString('base64')
    const owner = known.get(name)
    if (owner !== undefined && expected?.equals(owner) !== false) return owner
    const verified = await verifyPeerCertificate(certificate, expected)
    known.set(name, verified)
    if (known.size > MAX_TRACKED_PEERS) known.delete(known.keys().next().value!)
    return verified
  }
}

/** One certificate for all connections of a node: a key and two signatures, 5 ms. */
function keepOne<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => {
    made ??= make().catch((error: unknown) => {
      made = undefined
      throw error
    })
    return made
  }
}

async function encrypt({
  components,
  context,
  verify,
  stream,
  socket,
  isServer,
  options,
}: {
  readonly components: TLSComponents
  readonly context: () => Promise<SecureContext>
  readonly verify: Verifier
  readonly stream: MessageStream
  readonly socket: Socket
  readonly isServer: boolean
  readonly options: SecureConnectionOptions
}): Promise<SecuredConnection> {
  const muxers = options.skipStreamMuxerNegotiation === true ? [] : muxersOf(components)
  // The other side's first record may have come behind the last word of the negotiation. What comes later waits.
  socket.pause()
  const early: Uint8Array[] = []
  const onMessage = ({ data }: { readonly data: Uint8Array | Iterable<Uint8Array> }): void => {
    for (const chunk of data instanceof Uint8Array ? [data] : data) early.push(chunk)
  }
  stream.addEventListener('message', onMessage)
  const secureContext = await context()
  options.signal?.throwIfAborted()
  if (stream.status !== 'open' || stream.readBufferLength > 0) {
    throw ended()
  }
  stream.removeEventListener('message', onMessage)
  socket.removeAllListeners('data')
  for (const chunk of early.reverse()) socket.unshift(chunk)

  const common: TLSSocketOptions & ConnectionOptions & { readonly highWaterMark: number } = {
    secureContext,
    // A list and no callback, for the same reason as in the handshake below.
    ALPNProtocols: [...muxers, NO_MUXER],
    // Self-signed: what counts is the extension, which is verified below.
    rejectUnauthorized: false,
    highWaterMark: TLS_WRITE_HIGH_BYTES,
  }
  const secured = isServer
    ? new TLSSocket(socket, {
        ...common,
        isServer: true,
        requestCert: true,
      })
    : connect({ ...common, socket })
  // Whoever waits is told by other means; without a listener an error would end the process.
  secured.on('error', () => undefined)
  try {
    await handshake(secured, options.signal)
    const remotePeer = await verify(secured.getPeerCertificate().raw, options.remotePeer)
    if (secured.destroyed) throw ended()
    const { alpnProtocol } = secured
    const muxer =
      typeof alpnProtocol === 'string' && muxers.includes(alpnProtocol)
        ? components.upgrader.getStreamMuxers().get(alpnProtocol)
        : undefined
    // The socket below no longer sees what passes, and would think itself idle.
    const { timeout } = socket
    socket.setTimeout(0)
    if (timeout !== undefined && timeout > 0) {
      secured.setTimeout(timeout, () => secured.destroy(new MirrorError('timed-out', 'nothing passes')))
    }
    return {
      remotePeer,
      connection: toMessageStream(stream, gatherWrites(secured)),
      ...(muxer === undefined ? {} : { streamMuxer: muxer }),
    }
  } catch (error) {
    secured.destroy()
    stream.abort(error as Error)
    throw error
  }
}

function muxersOf({ upgrader }: TLSComponents): string[] {
  return [...upgrader.getStreamMuxers().keys()]
}

/**
 * What is written in one turn of the loop leaves in one piece. Each write would be a record and a system call of its own,
 * and a receiver answers every 16 KiB with 12 bytes (yamux's windows): measured, a third of its time.
 */
function gatherWrites(socket: TLSSocket): TLSSocket {
  const write = socket.write.bind(socket) as (chunk: Uint8Array) => boolean
  let isGathering = false
  const leave = (): void => {
    isGathering = false
    socket.uncork()
  }
  socket.write = (chunk: Uint8Array | string): boolean => {
    if (!isGathering) {
      isGathering = true
      socket.cork()
      setImmediate(leave)
    }
    return write(chunk as Uint8Array)
  }
  return socket
}

function handshake(secured: TLSSocket, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = (error?: Error): void => {
      signal?.removeEventListener('abort', onAbort)
      secured.off('secure', onSecure)
      secured.off('error', finish)
      secured.off('close', onClose)
      if (error === undefined) resolve()
      else reject(error)
    }
    // Told from within OpenSSL's state machine: what follows might close the socket, which frees the machine while it
    // runs (it crashed). So it follows in a turn of its own.
    const onSecure = (): void => {
      setImmediate(() => finish())
    }
    const onClose = (): void => finish(ended())
    const onAbort = (): void => finish(signal?.reason)
    secured.on('secure', onSecure)
    secured.on('error', finish)
    secured.on('close', onClose)
    signal?.addEventListener('abort', onAbort)
    if (signal?.aborted === true) onAbort()
  })
}

function ended(): MirrorError {
  return new MirrorError('unreachable', 'the connection ended before it was encrypted')
}
