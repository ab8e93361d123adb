/**
 * What a collection must leave alone because somebody relies on it. Kept in memory: a lease ends with its process, and
 * so does whatever relied on it.
 *
 * - A lease with roots protects what the indexes of these snapshots list, as far as it is here: readers and fetches. One that
 *   names blocks of any kind protects what they lead to.
 * - A writer's lease protects every block that was asked for or stored since it began: an import relies on each "it is
 *   here" until its snapshot is registered. Nobody waits for it: while one is open, or a collection runs, keys are
 *   noted ("touched") before they are looked up, in filters that the oldest lease keeps alive.
 * - A batch of deletions claims its keys at one instant: a look-up from before it has touched its keys, which takes
 *   them out of the batch; one that comes later waits until the batch is done. So none is told "here" of what goes.
 */
import type { Cid } from '../block/cid.ts'
import type { HeldLease, Lease, LeaseOptions } from './block-store.ts'
import type { KeyFilter } from './index/key-filter.ts'
import { createKeyFilter } from './index/key-filter.ts'

export interface Leases {
  lease(options: LeaseOptions): Lease
  /**
   * The lease of a collection: what was touched for any writer that is at work now, and all that is touched from now on,
   * stays. So a writer may end, and its snapshot be registered, after the collection chose what to keep.
   */
  hold(): Disposable
  /** Open leases, oldest first. */
  list(): readonly HeldLease[]
  /** Before a look-up or a write of these keys. */
  touch(keys: readonly Uint8Array[]): void
  isTouched(key: Uint8Array): boolean
  /** Undefined, or what to wait for before one of these keys is looked up. */
  deleting(keys: readonly Uint8Array[]): Promise<void> | undefined
  /** Claims what is untouched of `keys` for deletion. One batch at a time. */
  claim(keys: readonly Uint8Array[]): Claim
}

export interface Claim {
  /** For each of the keys, whether it may be deleted. */
  readonly mayGo: readonly boolean[]
  /** The batch was written, or left no trace. */
  end(): void
  /** Nobody knows whether it takes effect: until the next claim these keys are neither here nor missing. */
  fail(error: Error): void
}

const FIRST_KEYS = 16 * 1024
/** A filter of 10 MB. Further ones of this size follow. */
const MAX_KEYS = 8 * 1024 * 1024

interface Segment {
  readonly number: number
  readonly capacity: number
  readonly filter: KeyFilter
}

export function createLeases(): Leases {
  const held = new Map<
    symbol,
    {
      readonly purpose: string
      roots: readonly Cid[]
      readonly below: readonly Cid[]
      from: number | undefined
      readonly end: (() => void) | undefined
    }
  >()
  let segments: Segment[] = []
  let nextNumber = 0
  /** Leases of collections. */
  let collecting = 0
  /** Of all leases there have been, the latest begin. */
  let newestFrom = 0
  let claimed = new Set<string>()
  let claimEnd = Promise.resolve()

  function openSegment(): Segment {
    const last = segments.at(-1)
    if (last !== undefined && last.filter.added < last.capacity) return last
    const capacity = last === undefined ? FIRST_KEYS : Math.min(MAX_KEYS, last.capacity * 4)
    const segment = { number: nextNumber++, capacity, filter: createKeyFilter({ capacity }) }
    segments.push(segment)
    return segment
  }

  function dropUnneeded(): void {
    let oldest = Number.POSITIVE_INFINITY
    for (const { from } of held.values()) oldest = Math.min(oldest, from ?? oldest)
    segments = segments.filter(({ number }) => number >= oldest)
  }

  /** Where every open lease will find it. */
  function isNoted(key: Uint8Array): boolean {
    for (let at = segments.length - 1; at >= 0 && segments[at]!.number >= newestFrom; at--) {
      if (segments[at]!.filter.mayHave(key)) return true
    }
    return false
  }

  function open(
    { purpose, roots = [], below = [], mayBeEnded = false, onEndAsked }: LeaseOptions,
    from: number | undefined,
  ): Lease {
    const id = Symbol(purpose)
    const close = (): void => {
      if (held.delete(id) && from !== undefined) dropUnneeded()
    }
    const lease = { purpose, roots, below, from, end: mayBeEnded ? close : onEndAsked }
    held.set(id, lease)
    newestFrom = Math.max(newestFrom, from ?? 0)
    return {
      isLate: collecting > 0,
      protect(root) {
        lease.roots = [...lease.roots, root]
      },
      close,
      [Symbol.dispose]: close,
    }
  }

  return {
    lease: (options) => open(options, options.isWriter === true ? openSegment().number : undefined),
    hold() {
      const newest = openSegment()
      const lease = open({ purpose: 'collection' }, segments[0]?.number ?? newest.number)
      collecting++
      return {
        [Symbol.dispose]() {
          collecting--
          lease.close()
        },
      }
    },
    list: () =>
      [...held.values()].map(({ purpose, roots, below, end }) => ({
        ...{ purpose, roots, below },
        ...(end === undefined ? {} : { end }),
      })),
    touch(keys) {
      // Without a segment nobody asked for it.
      if (segments.length === 0) return
      for (const key of keys) {
        // Once for all who are at work: else a busy reader beside a long import would fill one filter after the other.
        if (!isNoted(key)) openSegment().filter.add(key)
      }
    },
    isTouched: (key) => segments.some(({ filter }) => filter.mayHave(key)),
    deleting(keys) {
      if (claimed.size === 0) return undefined
      return keys.some((key) => claimed.has(nameOf(key))) ? claimEnd : undefined
    },
    claim(keys) {
      const mayGo = keys.map((key) => !segments.some(({ filter }) => filter.mayHave(key)))
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      // Whoever looks one of them up gets it; nobody has to.
      promise.catch(() => undefined)
      claimed = new Set(keys.filter((_, i) => mayGo[i]).map(nameOf))
      claimEnd = promise
      return {
        mayGo,
        end() {
          claimed = new Set()
          resolve()
        },
        fail: reject,
      }
    },
  }
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1')
}
