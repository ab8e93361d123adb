/**
 * Fetches the deltas of one set while it grows: the set's nodes by CID, then the deltas as the scheduler says, shared
 * between the sites of a region and passed on like blocks of a snapshot. What is held of a set is told under the name of
 * its pair of snapshots (encodingsName), which stays while sets grow; so do the numbers of pages.
 *
 * It runs beside the fetch of the snapshot's own blocks (delta-feed.ts says what is made of the deltas), and never fails
 * that: whatever is wrong here is told, and ends this.
 */
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import type { IndexPage, PageRef } from '../../dag/block-index.ts'
import { decodeEncodings, decodePlan, type Encodings } from '../../dag/encodings.ts'
import { listPages, readPage } from '../../dag/reader.ts'
import { getBlock } from '../../dag/source.ts'
import type { Place } from '../../topology/path-class.ts'
import type { FetchMembers } from '../fetch-network.ts'
import type { HoldingInProgress } from '../holdings/holdings.ts'
import type { HeldUp } from '../scheduler/held-up.ts'
import { createScheduler } from '../scheduler/scheduler.ts'
import type { Explanation, SchedulerCommand, SchedulerEvent, SwarmWeights } from '../scheduler/types.ts'
import { createWakeTimer } from '../scheduler/wake-timer.ts'
import type { DeltaPlan, PlannedDelta } from './delta-plan.ts'
import { encodingsName } from './encodings-name.ts'
import type { FetchComponents } from './fetch-components.ts'
import { followMembers } from './fetch-members.ts'
import { createFetchObjects } from './fetch-objects.ts'
import { createFetchRequests } from './fetch-requests.ts'

/** Sets that are about a snapshot's changes are smaller than it: their segments are cut finer. All sites compute the same. */
const SHARE_OF_SNAPSHOT = 8

/** How long the first node waits for what neighbours say. */
const HEAR_MS = 300

export interface DeltaComponents extends FetchComponents {
  /** Of the fetch that this belongs to. */
  readonly heldUp: HeldUp
}

export interface DeltaSessionOptions {
  readonly tree: string
  readonly snapshot: Cid
  readonly base: Cid
  /** Of the snapshot's blocks. */
  readonly snapshotBytes: number
  readonly self: Place
  readonly origin?: Place | undefined
  readonly weights?: SwarmWeights
  readonly plan: DeltaPlan
  readonly signal: AbortSignal
  /** Which of these are worth fetching. */
  readonly isWanted: (deltas: readonly PlannedDelta[]) => Promise<readonly boolean[]>
  /** All deltas of this set are in the plan; positions below `decided` get no further ones. */
  readonly onListed: (set: Cid, decided: number) => void
  /** These are stored, and in state `arrived`; they were so before, or came over the network. */
  readonly onArrived: (deltas: readonly PlannedDelta[], isFetched: boolean) => void
  /** The set cannot be used (any further). */
  readonly onFailed: (error: MirrorError) => void
  readonly onBlame?: (peer: string, error: MirrorError) => void
}

export interface DeltaSession {
  /** A set that goes on from the one before. */
  grow(set: Cid): void
  /** No more sets will come. */
  end(): void
  explain(): Explanation
  close(): void
}

export function startDeltaSession(components: DeltaComponents, options: DeltaSessionOptions): DeltaSession {
  const { network, blocks, holdings, traffic, clock, heldUp, paths, log } = components
  const { tree, snapshot, base, plan, self, origin, weights } = options
  const name = encodingsName(tree, snapshot, base)
  // First of all: another fetch of the same may not have ended.
  const holding: HoldingInProgress = holdings.begin(tree, name)
  const abort = new AbortController()
  const signal = AbortSignal.any([options.signal, abort.signal])
  const pages = new Map<number, IndexPage>()
  const known: { readonly ref: PageRef; readonly plan: Cid }[] = []
  const blamed = new Set<string>()
  const scheduler = createScheduler({
    self,
    origin,
    ...(weights === undefined ? {} : { weights }),
    ...(paths === undefined ? {} : { paths }),
    snapshotBytes: Math.ceil(options.snapshotBytes / SHARE_OF_SNAPSHOT),
  })
  const lease = blocks.lease({ purpose: `deltas of ${tree}`, roots: [] })
  const wake = createWakeTimer(clock, () => dispatch([{ kind: 'tick' }]))
  /** Pages of which some deltas are neither stored nor wanted. */
  const inPart = new Set<number>()
  let next: Cid | undefined
  let isLast = false
  let isReading = false

  const requests = createFetchRequests(
    { network, blocks, traffic, clock, heldUp },
    { tree, signal, page: (number) => pages.get(number), onEvents: dispatch, onError: fail },
  )
  /** They know nothing of the set: without the base they have no share of it. */
  const strangers = new Set<string>()
  /** Neighbours that have said nothing yet: one of them may get the set's nodes for the region. */
  const silent = new Set(
    components.members
      .list(tree)
      .filter(
        ({ site, region, isConnected }) => isConnected && region === self.region && site !== origin?.site,
      )
      .map(({ peer }) => peer),
  )
  const { promise: neighboursHeard, resolve: goOn } = Promise.withResolvers<void>()
  if (silent.size === 0) goOn()
  const cancelGoOn = clock.after(HEAR_MS, goOn)
  const members: FetchMembers = {
    list: (of) =>
      components.members
        .list(of)
        .map((member) => (strangers.has(member.peer) ? { ...member, wants: false } : member)),
    onChange: components.members.onChange,
  }
  const follower = followMembers(
    { network, members, clock },
    {
      tree,
      snapshot: name,
      self,
      origin,
      signal,
      isBlamed: (peer) => blamed.has(peer),
      ready: Promise.resolve(),
      onEvents: dispatch,
      onGone: (peer) => requests.drop(peer),
    },
  )
  const objects = createFetchObjects(
    { ...components, members },
    {
      tree,
      self,
      origin,
      signal,
      isBlamed: (peer) => blamed.has(peer),
      told: follower.told,
      onWrongBytes: (peer, cid) => blame(peer, `object ${cid.toString()}`),
    },
  )

  function fail(error: unknown): void {
    if (signal.aborted) return
    close()
    options.onFailed(asMirrorError(error, `fetch the deltas of ${tree}`))
  }

  function dispatch(events: readonly SchedulerEvent[]): void {
    if (signal.aborted) return
    noteArrivals(events)
    noteStrangers(events)
    for (const command of scheduler.handle(events, clock.monotonicMs(), heldUp.totalMs())) carryOut(command)
  }

  function noteArrivals(events: readonly SchedulerEvent[]): void {
    const arrived: PlannedDelta[] = []
    for (const event of events) {
      if (event.kind !== 'received') continue
      holding.addBlocks(event.page, [event.offset])
      const delta = plan.at(event.page, event.offset)
      if (delta?.state !== 'listed') continue
      delta.state = 'arrived'
      arrived.push(delta)
    }
    if (arrived.length > 0) options.onArrived(arrived, true)
  }

  function noteStrangers(events: readonly SchedulerEvent[]): void {
    let isOther = false
    for (const event of events) {
      if (event.kind !== 'holding') continue
      if (silent.delete(event.peer) && silent.size === 0) goOn()
      const isStranger = event.update.kind === 'unknown'
      if (isStranger === strangers.has(event.peer)) continue
      if (isStranger) strangers.add(event.peer)
      else strangers.delete(event.peer)
      isOther = true
    }
    if (isOther) queueMicrotask(follower.refresh)
  }

  function carryOut(command: SchedulerCommand): void {
    if (command.kind === 'request') requests.send(command)
    else if (command.kind === 'cancel') requests.cancel(command.request)
    else if (command.kind === 'wake') wake.set(command.atMs)
    else if (command.kind === 'blame') blame(command.peer, `delta ${command.offset} of page ${command.page}`)
    else if (command.kind === 'page-complete') {
      pages.delete(command.page)
      if (!inPart.has(command.page)) holding.fillPage(command.page)
    }
  }

  function blame(peer: string, what: string): void {
    if (blamed.has(peer)) return
    blamed.add(peer)
    log?.warn({ peer, tree, what }, 'fetch.blamed')
    options.onBlame?.(
      peer,
      new MirrorError('corrupt', `peer ${peer} sent wrong bytes for ${what} of ${tree}`, {
        facts: { peer, tree, snapshot: snapshot.toString() },
        hint: 'It is not asked again in this fetch. Check its disk, or revoke it.',
      }),
    )
    requests.drop(peer)
    follower.refresh()
  }

  /** One set after the other, the newest there is: those in between add nothing to it. */
  async function readSets(): Promise<void> {
    if (isReading) return
    isReading = true
    try {
      await neighboursHeard
      for (let set = next; set !== undefined; set = next) {
        next = undefined
        lease.protect(set)
        await readSet(set)
      }
      if (isLast && !signal.aborted) dispatch([{ kind: 'pages-end' }])
    } catch (error) {
      fail(error)
    } finally {
      isReading = false
    }
  }

  async function readSet(cid: Cid): Promise<void> {
    const set = decodeEncodings(cid, await getBlock(objects, cid, 'set of encodings', signal))
    checkSet(set)
    let number = 0
    for await (const ref of listPages(objects, set.index, signal)) {
      const planCid = set.plan[number]
      const before = known[number]
      if (planCid === undefined) throw lie(`it has ${set.plan.length} plan nodes and more pages`)
      if (before === undefined) {
        await readDeltas(number, ref, planCid)
        known.push({ ref, plan: planCid })
      } else if (!before.ref.cid.equals(ref.cid) || !before.plan.equals(planCid)) {
        throw lie(`its page ${number} is another than before`)
      }
      number++
    }
    if (number !== set.plan.length) throw lie(`it has ${set.plan.length} plan nodes and ${number} pages`)
    if (number < known.length) throw lie(`it has ${number} pages, and had ${known.length}`)
    options.onListed(cid, set.decided)
  }

  function checkSet(set: Encodings): void {
    if (set.tree === tree && set.snapshot.equals(snapshot) && set.base.equals(base)) return
    throw lie('it is of other snapshots than its record says')
  }

  async function readDeltas(number: number, ref: PageRef, planCid: Cid): Promise<void> {
    const [page, entries] = await Promise.all([
      readPage(objects, ref, signal),
      getBlock(objects, planCid, 'plan node', signal).then((bytes) => decodePlan(planCid, bytes)),
    ])
    const deltas = plan.add(number, page.blocks, entries)
    const stored = await blocks.has(page.blocks.map((block) => block.cid))
    const wanted = await options.isWanted(deltas)
    signal.throwIfAborted()
    const arrived = deltas.filter(({ offset }) => wanted[offset] === true && stored[offset] === true)
    for (const delta of deltas) if (wanted[delta.offset] !== true) delta.state = 'done'
    for (const delta of arrived) delta.state = 'arrived'
    pages.set(number, page)
    if (deltas.some(({ offset }) => stored[offset] !== true && wanted[offset] !== true)) inPart.add(number)
    holding.addPage(number, page.cid, stored)
    if (arrived.length > 0) options.onArrived(arrived, false)
    dispatch([
      {
        kind: 'page',
        page: number,
        key: page.cid.multihash.digest,
        lengths: page.blocks.map(({ lengthBytes }) => lengthBytes),
        has: deltas.map(({ offset }) => stored[offset] === true || wanted[offset] !== true),
      },
    ])
  }

  function lie(what: string): MirrorError {
    return new MirrorError('corrupt', `the set of encodings of a snapshot of ${tree} is not right: ${what}`, {
      facts: { tree, snapshot: snapshot.toString(), base: base.toString() },
      hint: 'Its publisher made it so. The snapshot is fetched without it.',
    })
  }

  function close(): void {
    if (abort.signal.aborted) return
    abort.abort(new MirrorError('aborted', 'the deltas are no longer needed'))
    wake.stop()
    cancelGoOn()
    goOn()
    scheduler.close()
    follower.close()
    requests.close()
    holding.end()
    lease.close()
  }

  follower.refresh()
  return {
    grow(set) {
      if (signal.aborted) return
      next = set
      void readSets()
    },
    end() {
      isLast = true
      if (!signal.aborted) void readSets()
    },
    explain: () => scheduler.explain(clock.monotonicMs()),
    close,
  }
}
