/** Which site a client belongs to, by the subnets that the topology declares: the longest that holds its address. */
import { addressBits } from './subnet.ts'
import type { Topology } from './topology.ts'

interface Table {
  /** Longest first. */
  readonly lengths: readonly number[]
  /** By family, prefix length and bits. */
  readonly sites: ReadonlyMap<string, string>
}

const tables = new WeakMap<Topology, Table>()

/** Undefined when no subnet holds it, and for what is no address. Of two sites with one subnet, the lesser name. */
export function siteOfAddress(topology: Topology, address: string): string | undefined {
  // An IPv4 client of a socket for both: `::ffff:10.2.0.4`.
  const bits = addressBits(
    address
      .toLowerCase()
      .replace(/^::ffff:(?=\d+\.)/, '')
      .replace(/%.*$/, ''),
  )
  if (bits === undefined) return undefined
  const { lengths, sites } = tableOf(topology)
  for (const length of lengths) {
    const site = length > bits.length ? undefined : sites.get(keyOf(bits, length))
    if (site !== undefined) return site
  }
  return undefined
}

/** Made at the first look-up; a topology does not change. */
function tableOf(topology: Topology): Table {
  const known = tables.get(topology)
  if (known !== undefined) return known
  const sites = new Map<string, string>()
  const lengths = new Set<number>()
  for (const { site, subnets = [] } of topology.sites) {
    for (const subnet of subnets) {
      const [address = '', length = ''] = subnet.split('/')
      const bits = addressBits(address)
      if (bits === undefined) continue
      const key = keyOf(bits, Number(length))
      lengths.add(Number(length))
      if (!sites.has(key)) sites.set(key, site)
    }
  }
  const table = { lengths: [...lengths].sort((a, b) => b - a), sites }
  tables.set(topology, table)
  return table
}

function keyOf(bits: string, length: number): string {
  return `${bits.length}/${length}/${bits.slice(0, length)}`
}
