/**
 * How often an address may come with a wrong token: a burst, then one in a while. It holds back guessing and the noise of
 * a client gone wrong; the secrets are too long to be guessed anyway. Bounded: the addresses that failed last.
 */
import { isIPv6 } from 'node:net'
import { LRUCache } from 'lru-cache'
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
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '')
  if (!isIPv6(plain)) return plain
  const [head = '', tail] = plain.split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const rest = tail === '' ? 0 : tail.split(':').length
    while (groups.length < 8 - rest) groups.push('0')
  }
  return groups.slice(0, 4).join(':')
}
