/**
 * A fetch without a base in a region where others have one: what comes of deltas there is asked of nobody far away, and taken
 * from the neighbour that made it. So what a region takes in does not grow with the sites that hold no older snapshot.
 *
 * The rule is that of the sites that make the blocks (delta-feed.ts), with the same times: what the set lists is left to them as
 * long as there is news (a larger set, or a block that came of it) within `lateMs`; what it may yet list, within `waitMs`. It
 * ends at once when no neighbour is left that says that it holds the base, wants the snapshot and is connected. The set's plan is
 * read from these neighbours alone.
 */
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import { decodeEncodings, decodePlan } from '../../dag/encodings.ts'
import type { NodeSource } from '../../dag/source.ts'
import { getBlock } from '../../dag/source.ts'
import { BitSet } from '../bit-set.ts'
import type { FetchMember } from '../fetch-network.ts'
import type { SchedulerEvent } from '../scheduler/types.ts'
import { type DeltaFeedOptions, LATE_MS, type PlainFetch, type SetElsewhere, WAIT_MS } from './delta-feed.ts'
import type { DeltaComponents } from './delta-session.ts'
import { createFetchObjects } from './fetch-objects.ts'
import { createNewsClock } from './news-clock.ts'

export interface DeltaWait {
  start(fetch: PlainFetch): void
  /** As of a feed. @param missing offsets that are neither here nor made here */
  takePage(page: number, firstPosition: number, missing: ReadonlySet<number>): number[]
  /** It came, from wherever. */
  took(page: number, offset: number): void
  dropPage(page: number): void
  close(): void
}

/** What is known of the set that is followed. */
interface Followed {
  readonly base: Cid
  /** Positions that some delta gives. */
  readonly listed: BitSet
  /** Plan nodes that are in it. */
  readonly plan: Cid[]
  decided: number
  offer: SetElsewhere
  /** Everything is listed. */
  isFinal: boolean
}

interface TakenPage {
  readonly first: number
  readonly missing: Set<number>
  readonly left: Set<number>
}

export function createDeltaWait(components: DeltaComponents, options: DeltaFeedOptions): DeltaWait {
  const { log } = components
  const { tree, snapshot, self, origin, offers, waitMs = WAIT_MS, lateMs = LATE_MS } = options
  const pages = new Map<number, TakenPage>()
  const abort = new AbortController()
  const blamed = new Set<string>()
  const ends: (() => void)[] = []
  let fetch: PlainFetch | undefined
  let followed: Followed | undefined
  let makers: readonly FetchMember[] = []
  let isReading = false
  const quiet = createNewsClock(components, {
    waitMs,
    lateMs,
    onChange(quietMs) {
      if (quietMs > 0 && makers.length > 0)
        log?.info({ tree, quietMs: Math.round(quietMs), isLate: quiet.isLate() }, 'fetch.neighbours-late')
      refresh()
    },
  })

  /** The origin gives everything once, to whoever: it is nobody's neighbour. */
  function makersOf({ holders }: SetElsewhere): FetchMember[] {
    return components.members
      .list(tree)
      .filter(
        ({ peer, site, region, wants, isConnected }) =>
          holders.has(peer) &&
          isConnected &&
          wants &&
          region === self.region &&
          !(site === origin?.site && region === origin.region) &&
          !blamed.has(peer),
      )
  }

  // ---- what is left to them ----

  function isLeft(position: number): boolean {
    if (followed === undefined || makers.length === 0) return false
    if (followed.listed.has(position)) return !quiet.isLate()
    return !followed.isFinal && quiet.isWaiting() && position >= followed.decided
  }

  function refresh(): void {
    const events: SchedulerEvent[] = []
    for (const [page, { first, missing, left }] of pages) {
      const more = [...missing].filter((offset) => !left.has(offset) && isLeft(first + offset))
      const less = [...left].filter((offset) => !isLeft(first + offset))
      for (const offset of more) left.add(offset)
      for (const offset of less) left.delete(offset)
      if (more.length > 0) events.push({ kind: 'withhold', page, offsets: more, from: 'far' })
      if (less.length > 0) events.push({ kind: 'release', page, offsets: less, from: 'far' })
    }
    if (events.length > 0) fetch?.dispatch(events)
  }

  // ---- the set ----

  /** Looks again at what is offered, and at who could make blocks of it. */
  function follow(): void {
    if (fetch === undefined || abort.signal.aborted) return
    // Whoever holds a base makes them itself.
    const sets = offers.current() === undefined ? (offers.elsewhere?.() ?? []) : []
    const offer =
      sets.find(({ base, holders }) => followed?.base.equals(base) === true && holders.size > 0) ??
      sets.find((each) => makersOf(each).length > 0)
    makers = offer === undefined ? [] : makersOf(offer)
    if (offer !== undefined) take(offer)
    refresh()
  }

  function take(offer: SetElsewhere): void {
    if (followed?.base.equals(offer.base) !== true) {
      const { base } = offer
      followed = { base, listed: new BitSet(), plan: [], decided: 0, offer, isFinal: false }
      const names = makers.map(({ site }) => site)
      log?.info({ tree, base: base.toString(), neighbours: names }, 'fetch.left-to-neighbours')
      quiet.news()
    }
    followed.offer = offer
    if (offer.set === null) followed.isFinal = offer.isComplete
    else void read()
  }

  /** One set after the other, the newest there is. */
  async function read(): Promise<void> {
    if (isReading) return
    isReading = true
    try {
      for (let read: Cid | undefined; ; ) {
        const now = followed
        if (now === undefined || now.offer.set === null || read?.equals(now.offer.set) === true) return
        read = now.offer.set
        const decided = await readSet(now, read)
        now.decided = Math.max(now.decided, decided)
        now.isFinal = now.offer.isComplete && now.offer.set.equals(read)
        quiet.news()
        refresh()
      }
    } catch (error) {
      if (abort.signal.aborted) return
      const cause = asMirrorError(error, `read what the deltas of ${tree} give`)
      log?.warn({ tree, snapshot: snapshot.toString(), err: cause }, 'fetch.deltas-unusable')
      close()
    } finally {
      isReading = false
    }
  }

  async function readSet({ base, plan, listed }: Followed, cid: Cid): Promise<number> {
    const { signal } = abort
    const set = decodeEncodings(cid, await getBlock(objects, cid, 'set of encodings', signal))
    if (set.tree !== tree || !set.snapshot.equals(snapshot) || !set.base.equals(base))
      throw lie('it is of other snapshots than its record says')
    if (plan.some((known, at) => set.plan[at]?.equals(known) !== true))
      throw lie('it is not the one before and more')
    for (const node of set.plan.slice(plan.length)) {
      const entries = decodePlan(node, await getBlock(objects, node, 'plan node', signal))
      for (const { first, count } of entries.flatMap(({ targets }) => targets)) {
        if (first + count > fetch!.snapshot.counts.blocks) throw lie(`a delta names block ${first + count}`)
        for (let position = first; position < first + count; position++) listed.add(position)
      }
      plan.push(node)
    }
    return set.decided
  }

  /** Those that make blocks of a set have read it: what it says crosses no WAN again. */
  const objects: NodeSource = createFetchObjects(
    {
      ...components,
      members: { list: () => makers, onChange: components.members.onChange },
    },
    {
      tree,
      self,
      origin,
      signal: abort.signal,
      isBlamed: (peer) => blamed.has(peer),
      told: () => 'complete',
      onWrongBytes(peer, cid) {
        if (blamed.has(peer)) return
        blamed.add(peer)
        options.onBlame?.(
          peer,
          new MirrorError(
            'corrupt',
            `peer ${peer} sent wrong bytes for object ${cid.toString()} of ${tree}`,
            {
              facts: { peer, tree, snapshot: snapshot.toString() },
              hint: 'It is not asked again in this fetch. Check its disk, or revoke it.',
            },
          ),
        )
        follow()
      },
    },
  )

  function lie(what: string): MirrorError {
    return new MirrorError('corrupt', `the set of encodings of a snapshot of ${tree} is not right: ${what}`, {
      facts: { tree, snapshot: snapshot.toString() },
      hint: 'Its publisher made it so. The snapshot is fetched without it.',
    })
  }

  function close(): void {
    if (abort.signal.aborted) return
    abort.abort(new MirrorError('aborted', 'the deltas are no longer waited for'))
    for (const end of ends) end()
    quiet.stop()
    makers = []
    refresh()
  }

  return {
    start(plain) {
      if (abort.signal.aborted) return
      fetch = plain
      ends.push(offers.onChange(follow), components.members.onChange(follow))
      follow()
    },
    takePage(page, first, missing) {
      const left = new Set([...missing].filter((offset) => isLeft(first + offset)))
      pages.set(page, { first, missing: new Set(missing), left })
      return [...left]
    },
    took(page, offset) {
      const taken = pages.get(page)
      if (taken?.missing.delete(offset) && taken.left.delete(offset)) quiet.news()
    },
    dropPage(page) {
      pages.delete(page)
    },
    close,
  }
}
