/**
 * How often an address may come with a wrong token and be told so: a burst, then one in a while. It holds back the noise of a
 * client gone wrong. A right token is let in whatever others of its address did: behind one proxy many have one address, and
 * the secrets are too long to be guessed. Bounded: the addresses that failed last.
 */
import { LRUCache } from 'lru-cache'
import { addressGroup } from '../../src/base/address-group.ts'
import type { Clock } from '../../src/base/clock.ts'

export interface FailureLimit {
  /** Seconds until this address may try again; 0 when it may now. */
  waitSeconds(address: string): number
  failed(address: string): void
}

export function createFailureLimit(
  { clock }: { readonly clock: Clock },
  { burst = 10, everyMs = 6_000, maxAddresses = 4096 } = {},
): FailureLimit {
  /** When each address would have all of its tries back. */
  const fullAt = new LRUCache<string, number>({ max: maxAddresses })
  return {
    waitSeconds(address) {
      const freeAtMs = (fullAt.get(groupOf(address)) ?? 0) - (burst - 1) * everyMs
      return Math.max(0, Math.ceil((freeAtMs - clock.monotonicMs()) / 1000))
    },
    failed(address) {
      const group = groupOf(address)
      fullAt.set(group, Math.max(clock.monotonicMs(), fullAt.get(group) ?? 0) + everyMs)
    },
  }
}

/** Who has one address of a /64 has them all. */
function groupOf(address: string): string {
  return addressGroup(address, { bytesOfV4: 4, groupsOfV6: 4 })
}
