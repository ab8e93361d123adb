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

/** An address of a peer that may be dialled: TCP only, and nothing that leads to another peer. @throws MirrorError `invalid` */
export function peerAddress(peer: string, address: string): Multiaddr {
  if (!/^\/(ip4|ip6|dns|dns4|dns6)\/[^/]{1,253}\/tcp\/\d{1,5}$/.test(address)) {
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

/** Without the `/p2p/` part, and without what follows it. */
export function plainAddress(address: Multiaddr): string {
  return address.toString().replace(/\/p2p\/.*$/, '')
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
