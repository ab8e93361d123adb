/**
 * What lies behind an IP address, as far as its range tells (the special-purpose registries of RFC 6890): who names an address to
 * us must not lead us further into networks than we have gone by ourselves.
 */
import { BlockList, isIP } from 'node:net'

/** `none`: nothing that a gateway has, or an address that carries another one, whose kind we would not see. */
export type AddressKind = 'public' | 'private' | 'loopback' | 'none'

/** How far inside: from outside nobody leads further in. */
const DEPTHS: Readonly<Record<Exclude<AddressKind, 'none'>, number>> = { public: 0, private: 1, loopback: 2 }

const RANGES: readonly (readonly [kind: AddressKind, ranges: readonly string[]])[] = [
  ['loopback', ['127.0.0.0/8', '::1/128']],
  ['private', ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7']],
  // This network, link-local (clouds tell their machines' secrets there), tests, multicast, reserved.
  ['none', ['0.0.0.0/8', '169.254.0.0/16', '192.0.0.0/24', '192.0.2.0/24', '198.18.0.0/15']],
  ['none', ['198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/3', 'fe80::/9', 'ff00::/8', '2001:db8::/32']],
  // IPv4 in IPv6: NAT64, 6to4, Teredo and other such; 100::/64 leads nowhere.
  ['none', ['::/96', '64:ff9b::/32', '2002::/16', '2001::/32', '100::/64']],
]

const lists = RANGES.map(([kind, ranges]) => {
  const list = new BlockList()
  for (const range of ranges) {
    const [address = '', bits] = range.split('/')
    list.addSubnet(address, Number(bits), address.includes(':') ? 'ipv6' : 'ipv4')
  }
  return { kind, list }
})

/** @param address an IPv4 or IPv6 address as text; one that is none is of the kind `none` */
export function kindOfAddress(address: string): AddressKind {
  const [bare = ''] = address.split('%')
  const family = isIP(bare)
  if (family === 0) return 'none'
  // A list takes an IPv4 address that is written as IPv6 (::ffff:10.0.0.1) for what it is.
  const found = lists.find(({ list }) => list.check(bare, family === 6 ? 'ipv6' : 'ipv4'))
  return found?.kind ?? 'public'
}

/** Whether who was reached at `from` may name `to`: a public one no private address, none but one on loopback loopback. */
export function mayLeadTo(from: AddressKind, to: AddressKind): boolean {
  return from !== 'none' && to !== 'none' && DEPTHS[to] <= DEPTHS[from]
}
