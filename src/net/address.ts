/** Addresses as people write them (`host:port`) and as libp2p does (`/ip4/10.2.0.4/tcp/4001`). */
import { isIP } from 'node:net'
import type { Multiaddr } from '@multiformats/multiaddr'
import { multiaddr } from '@multiformats/multiaddr'
import { MirrorError } from '../base/errors.ts'

const HOST_NAME =
  /^(?=.{1,253}$)[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*\.?$/

/** The multiaddr of `host:port`: IPv4, `[IPv6]`, or a DNS name. @throws MirrorError `invalid` */
export function hostPortToAddress(text: string): string {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text)
  const [, bracketed, plain, portText] = match ?? []
  const host = bracketed ?? plain ?? ''
  const port = Number(portText)
  const family = isIP(host)
  const isSound =
    match !== null &&
    port <= 65_535 &&
    (bracketed === undefined ? family === 4 || HOST_NAME.test(host) : family === 6)
  if (!isSound) {
    throw new MirrorError('invalid', `not an address: ${JSON.stringify(text.slice(0, 120))}`, {
      hint: 'Write host:port, for example 0.0.0.0:4001, [::]:4001 or mirror.example.com:4001.',
    })
  }
  const kind = family === 4 ? 'ip4' : family === 6 ? 'ip6' : 'dns'
  return `/${kind}/${host}/tcp/${port}`
}

const RELAYED = /^\/p2p\/([1-9A-HJ-NP-Za-km-z]{1,128})\/p2p-circuit$/

/** The address of whoever is asked for through the member `relay`. Where that one is, its own addresses say. */
export function relayedAddress(relay: string): string {
  return `/p2p/${relay}/p2p-circuit`
}

/** The member that relays; undefined for a direct address. */
export function relayOf(address: string): string | undefined {
  return RELAYED.exec(address)?.[1]
}

/** An address of a peer that may be dialled: TCP, or through a relay. @throws MirrorError `invalid` */
export function peerAddress(peer: string, address: string): Multiaddr {
  if (
    !/^\/(ip4|ip6|dns|dns4|dns6)\/[^/]{1,253}\/tcp\/\d{1,5}$/.test(address) &&
    relayOf(address) === undefined
  ) {
    throw new MirrorError(
      'invalid',
      `not an address that can be dialled: ${JSON.stringify(address.slice(0, 120))}`,
    )
  }
  try {
    return multiaddr(`${address}/p2p/${peer}`)
  } catch (error) {
    throw new MirrorError('invalid', `not an address: ${JSON.stringify(address.slice(0, 120))}`, {
      cause: error,
    })
  }
}

/** Without the `/p2p/` part, and without what follows it; of a relayed connection, the relayed address. */
export function plainAddress(address: Multiaddr): string {
  const text = address.toString()
  const relay = /\/p2p\/([^/]+)\/p2p-circuit/.exec(text)?.[1]
  return relay === undefined ? text.replace(/\/p2p\/.*$/, '') : relayedAddress(relay)
}

/**
 * What others are told to dial. A node that listens on all interfaces leaves out its loopback addresses: dialled
 * elsewhere, they lead to whatever listens there.
 */
export function dialableAddresses(addresses: readonly string[]): string[] {
  const unique = [...new Set(addresses)]
  const outside = unique.filter((address) => !/^\/(ip4\/127\.|ip6\/::1\/)/.test(address))
  return outside.length > 0 ? outside : unique
}

/** Whose a connection is, as far as its address tells: who has one address of an IPv6 /64 has them all. */
export function addressGroup(address: string): string {
  const [, kind, host = address] = address.split('/')
  if (kind !== 'ip6') return host
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(host)?.[1]
  if (mapped !== undefined) return mapped
  const [head = '', tail = ''] = host.split('::')
  const groups = head === '' ? [] : head.split(':')
  const rest = tail === '' ? [] : tail.split(':')
  while (groups.length + rest.length < 8) groups.push('0')
  return `${groups.concat(rest).slice(0, 4).join(':')}::/64`
}
