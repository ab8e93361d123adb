/**
 * What one client, and all together, may take of the gateway: connections, and bytes a second. A client is an IPv4 address, or
 * the /64 that an IPv6 address is of: one machine has all of that.
 *
 * Bounded: one entry for each client that has a connection, or had one a moment ago, so that reconnecting buys nothing.
 */
import type { Socket } from 'node:net'
import { isIPv6 } from 'node:net'
import type { Clock } from '../../src/base/clock.ts'
import { createTokenBucket, type TokenBucket } from '../../src/base/token-bucket.ts'

export interface ClientLimitOptions {
  readonly maxConnections: number
  readonly maxClientConnections: number
  /** 0: no limit. */
  readonly bytesPerSecond: number
  readonly clientBytesPerSecond: number
}

export type Refusal = 'connections' | 'client-connections'

export interface ClientLimits {
  /** Counts the connection until it closes. @returns why no request is to be answered on it; undefined when it is welcome */
  admit(socket: Socket): Refusal | undefined
  /** Resolves when so many bytes may go to the client. @throws the signal's reason */
  pace(address: string | undefined, bytes: number, signal: AbortSignal): Promise<void>
  connections(): number
}

interface Client {
  connections: number
  readonly bucket: TokenBucket | undefined
  cancelForget: (() => void) | undefined
}

const REMEMBERED_MS = 10_000

export function createClientLimits(
  { clock }: { readonly clock: Clock },
  { maxConnections, maxClientConnections, bytesPerSecond, clientBytesPerSecond }: ClientLimitOptions,
): ClientLimits {
  const clients = new Map<string, Client>()
  const all = bytesPerSecond > 0 ? createTokenBucket(clock, bytesPerSecond) : undefined
  let connections = 0

  function clientOf(key: string): Client {
    let client = clients.get(key)
    if (client === undefined) {
      const bucket = clientBytesPerSecond > 0 ? createTokenBucket(clock, clientBytesPerSecond) : undefined
      client = { connections: 0, bucket, cancelForget: undefined }
      clients.set(key, client)
    }
    client.cancelForget?.()
    client.cancelForget = undefined
    return client
  }

  return {
    admit(socket) {
      const key = clientKey(socket.remoteAddress)
      const client = clientOf(key)
      connections++
      client.connections++
      socket.once('close', () => {
        connections--
        client.connections--
        if (client.connections === 0)
          client.cancelForget = clock.after(REMEMBERED_MS, () => clients.delete(key))
      })
      if (connections > maxConnections) return 'connections'
      return client.connections > maxClientConnections ? 'client-connections' : undefined
    },
    async pace(address, bytes, signal) {
      await clients.get(clientKey(address))?.bucket?.take(bytes, signal)
      await all?.take(bytes, signal)
    },
    connections: () => connections,
  }
}

/** Of a remote address as Node has it. */
export function clientKey(address: string | undefined): string {
  if (address === undefined) return ''
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  const plain = address.split('%')[0]!
  if (!isIPv6(plain)) return plain
  const [head = '', tail] = plain.split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - before.length - after.length }, () => '0')
  return `${[...before, ...zeros, ...after]
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`
}
