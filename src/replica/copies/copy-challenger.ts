/**
 * Has other sites show what they say they hold: draws blocks of a snapshot that is here by chance, asks for their digest under a key
 * made on the spot (possession.ts), and remembers who answered right, in time. That is what makes their copies verified ones
 * (verified-copies.ts), for this site and, by its announcement, for the others.
 *
 * Asked is, of each pinned tree, for the newest snapshot here and for those of which a pin wants a minimum of copies, until as many
 * are verified as are counted on. Whoever is first in the order of rendezvous hashing asks at once, each one after it a while later
 * and only while there are still too few: so mostly one site asks, it is another for each snapshot, and one that is silent, too old
 * or dishonest is gone round. And before something is dropped here that others are to keep, whoever is counted on (`prove`).
 *
 * Bounded: so many questions a round, of a peer, at once, in memory; an answer has its deadline; who fails is asked again after
 * growing pauses. Kept in memory alone: after a restart it is asked again.
 */
import { LRUCache } from 'lru-cache'
import { equalBytes } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { sleep } from '../../base/clock.ts'
import { asMirrorError, isMirrorError, MirrorError } from '../../base/errors.ts'
import { matchesTree } from '../../base/names.ts'
import type { PathFilter } from '../../base/path-filter.ts'
import { Semaphore } from '../../base/semaphore.ts'
import { type Cid, cidKey } from '../../block/cid.ts'
import type { Scratch } from '../../dag/scratch.ts'
import type { NodeSource } from '../../dag/source.ts'
import type { Host } from '../../net/ports.ts'
import { rateLimit } from '../../net/rate-limit.ts'
import type { TreeState } from '../../record/mesh-state.ts'
import type { ReplicaLog } from '../fetch-network.ts'
import { filterOf, hasRight } from '../goals.ts'
import type { CompleteSnapshots } from '../holdings/complete-snapshots.ts'
import {
  decodePossession,
  encodeQuestion,
  MAX_POSITIONS,
  NONCE_BYTES,
  UNKNOWN_QUESTION,
} from '../questions.ts'
import type { Ledger } from '../records/ledger.ts'
import { affinity } from '../scheduler/rendezvous.ts'
import { createBackground } from '../site-agent/background.ts'
import { backoffMs } from '../site-agent/backoff.ts'
import type { VerifiedCopy } from '../status/announced-tree.ts'
import type { HeardSite } from '../status/status.ts'
import {
  type Challenge,
  type ChallengeOutcome,
  createChallengeBook,
  type Wish,
  wishKey,
} from './challenge-book.ts'
import { copiesWanted, KEEPERS } from './last-copies.ts'
import { commonFilter, drawPositions, showPossession } from './possession.ts'
import { type CopyView, claimed, type OwnChallenge, sequencesOf, verificationsIn } from './verified-copies.ts'

export interface CopyChallengerComponents {
  readonly ledger: Pick<Ledger, 'state'>
  readonly complete: Pick<CompleteSnapshots, 'list' | 'has' | 'viewOf'>
  /** The store as a tree has it. */
  readonly blocksOf: (tree: string) => NodeSource
  readonly host: Pick<Host, 'ask' | 'peers'>
  readonly heard: () => ReadonlyMap<string, HeardSite>
  readonly clock: Clock
  /** Nobody else can foresee them. */
  readonly randomBytes: (size: number) => Uint8Array
  readonly scratch?: Scratch | undefined
  readonly logger: ReplicaLog
  readonly self: { readonly peer: string }
  /** Somebody's copy is verified, or is no longer. */
  readonly onChange: () => void
}

export interface FailedCopy {
  readonly tree: string
  readonly sequence: number
  readonly peer: string
  readonly outcome: Exclude<ChallengeOutcome, 'shown'>
  /** In a row. */
  readonly failures: number
  readonly detail: string
}

export interface CopyChallenger {
  start(): void
  stop(): Promise<void>
  /** Asks now, within bounds: resolves when each has answered or will not. What came of it, `view` tells. */
  prove(wishes: readonly Wish[], signal?: AbortSignal): Promise<void>
  /** What verified copies are judged by. */
  view(): CopyView
  /** For the announcement: of snapshots that are still here. */
  told(tree: string): readonly VerifiedCopy[]
  /** Copies that were asked for and not shown, of sites that still say that they hold them. */
  failed(): readonly FailedCopy[]
}

const ROUND_MS = 5_000
/** Looked at in a round, in turns. */
const TREES_A_ROUND = 64
const SNAPSHOTS_A_TREE = 16
const CHALLENGES_A_ROUND = 4
const AT_ONCE = 4
/** Of one peer: this many at once, and one more each interval, about 1,800 an hour. */
const PEER_BURST = 32
const PEER_INTERVAL_MS = 2_000
/** The one after the first in the order asks so much later, and so on. */
const STAGGER_MS = 30_000
/** Eight blocks come off a slow disk in far less; to fetch them from afar takes longer, mostly. */
const ANSWER_MS = 10_000
/** Verified copies are asked for again after this: well before they stop to count. */
const AGAIN_MS = 18 * 3_600_000
const FAILED_PAUSE = { firstMs: 60_000, maxMs: 6 * 3_600_000 }
const SILENT_PAUSE = { firstMs: 15_000, maxMs: 3_600_000 }
const OLDER_PAUSE_MS = 3_600_000
/** Before a drop the pauses do not hold, but for this. */
const PROVE_PAUSE_MS = 5_000
const MAX_PROVED = 256
const MAX_LACKING = 16_384
/** Of a tree; older ones are asked for only before they go. */
const HEADS_LOOKED_AT = 1024

export function createCopyChallenger(components: CopyChallengerComponents): CopyChallenger {
  const { ledger, complete, blocksOf, host, heard, clock, randomBytes, scratch, logger, self, onChange } =
    components
  const background = createBackground(logger)
  const slots = new Semaphore(AT_ONCE)
  const mayAsk = rateLimit(clock, PEER_BURST, PEER_INTERVAL_MS)
  const isHere = (tree: string, snapshot: Cid): boolean =>
    complete.has(tree, snapshot) || complete.viewOf(tree, snapshot) !== undefined
  const book = createChallengeBook(isHere)
  const asking = new Set<string>()
  /** Since when there are too few verified copies of a snapshot. */
  const lacking = new LRUCache<string, number>({ max: MAX_LACKING })
  let turn = 0

  const random = (): number => new DataView(randomBytes(4).buffer.slice(0)).getUint32(0) / 2 ** 32
  const asOwn = ({ sequence, timeMs, outcome }: Challenge): OwnChallenge[] =>
    outcome === 'shown' || outcome === 'not-shown' ? [{ sequence, timeMs, isShown: outcome === 'shown' }] : []

  function view(): CopyView {
    return {
      state: ledger.state(),
      self: self.peer,
      heard: heard(),
      own: (tree, peer) => book.of(tree, peer).flatMap(asOwn),
      nowMs: clock.nowMs(),
    }
  }

  async function ask(wish: Wish, signal: AbortSignal): Promise<void> {
    const key = wishKey(wish)
    if (asking.has(key) || !mayAsk(wish.peer)) return
    asking.add(key)
    try {
      await slots.run(() => challenge(wish, signal), 1, signal)
    } finally {
      asking.delete(key)
    }
  }

  async function challenge(wish: Wish, signal: AbortSignal): Promise<void> {
    const { tree: name, snapshot, peer } = wish
    const now = view()
    const { state } = now
    const tree = state.trees.get(name)
    const member = state.members.get(peer)
    const last = now.heard.get(peer)
    if (tree === undefined || member === undefined || last === undefined) return
    const sequences = sequencesOf(tree, snapshot)
    const claim = claimed(now, name, snapshot, sequences, peer)
    if (claim === undefined || sequences.size === 0 || !isHere(name, snapshot)) return
    const theirs = claim === 'part' ? filterOf(state, name, member) : undefined
    // Its filter is gone by now, and what it says is of before: there will be more.
    if (claim === 'part' && theirs === undefined) return
    const { outcome, detail } = await outcomeOf(wish, theirs, signal)
    const sequence = Math.max(...sequences)
    const before = book.last(wish)
    const failures = outcome === 'shown' ? 0 : (before?.failures ?? 0) + 1
    const nowMs = clock.monotonicMs()
    book.remember({
      ...{ tree: name, snapshot, peer, sequence, outcome, detail, failures },
      timeMs: clock.nowMs(),
      atMs: nowMs,
      nextMs: nowMs + pauseMs(outcome, failures),
      version: last.announcement.version,
    })
    const facts = { tree: name, sequence, peer, site: member.site }
    if (outcome === 'shown') logger.info(facts, 'copies.shown')
    else if (outcome === 'not-shown') logger.warn({ ...facts, detail, failures }, 'copies.not-shown')
    else logger.debug({ ...facts, outcome, detail }, 'copies.not-answered')
    if (outcome !== before?.outcome || outcome === 'shown') onChange()
  }

  async function outcomeOf(
    { tree, snapshot, peer }: Wish,
    theirs: PathFilter | undefined,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const view = complete.viewOf(tree, snapshot)
    const filter = commonFilter(view?.filter, theirs)
    if (filter === 'nothing') return notAsked('what both sites hold cannot be told by their filters')
    try {
      const blocks = blocksOf(tree)
      const options = { count: MAX_POSITIONS, random, filter, view, scratch, signal }
      const at = await drawPositions(blocks, snapshot, options)
      const question = { tree, root: snapshot, nonce: randomBytes(NONCE_BYTES), at }
      const expected =
        at.length === 0 ? undefined : await showPossession(blocks, { holder: peer, ...question }, signal)
      if (expected === undefined) return notAsked('its blocks cannot be read here')
      return await put(peer, question, expected, signal)
    } catch (error) {
      if (signal.aborted) throw error
      // Ours, not theirs.
      return notAsked(asMirrorError(error, 'challenge a copy').message)
    }
  }

  async function put(
    peer: string,
    question: { tree: string; root: Cid; nonce: Uint8Array; at: readonly number[] },
    expected: Uint8Array,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const patience = new AbortController()
    const cancel = clock.after(ANSWER_MS, () =>
      patience.abort(new MirrorError('timed-out', `no answer within ${ANSWER_MS / 1000} s`)),
    )
    try {
      const ends = AbortSignal.any([patience.signal, signal])
      const answer = decodePossession(
        await host.ask(peer, encodeQuestion({ ask: 'possession', ...question }), ends),
      )
      if (answer === undefined) return { outcome: 'not-shown', detail: 'it answers that it does not hold it' }
      return equalBytes(answer, expected)
        ? { outcome: 'shown', detail: '' }
        : { outcome: 'not-shown', detail: 'its answer is wrong' }
    } catch (error) {
      if (signal.aborted) throw error
      const { message } = asMirrorError(error, 'ask for a copy')
      if (isMirrorError(error, 'corrupt') || isMirrorError(error, 'limit'))
        return { outcome: 'not-shown', detail: message }
      return { outcome: message.endsWith(UNKNOWN_QUESTION) ? 'older' : 'no-answer', detail: message }
    } finally {
      cancel()
    }
  }

  function pauseMs(outcome: ChallengeOutcome, failures: number): number {
    if (outcome === 'shown') return AGAIN_MS
    if (outcome === 'older') return OLDER_PAUSE_MS
    return backoffMs(failures, random, outcome === 'not-shown' ? FAILED_PAUSE : SILENT_PAUSE)
  }

  /** Whom to ask now for copies of this snapshot. */
  function dueOf(
    tree: TreeState,
    { snapshot, sequences, isNewest }: HeldHere,
    now: CopyView,
    verifications: ReturnType<typeof verificationsIn>,
  ): Wish[] {
    const { state, nowMs } = now
    const monotonicMs = clock.monotonicMs()
    const key = cidKey(snapshot)
    const lackKey = `${tree.name} ${key}`
    const isTagged = [...tree.tags.values()].some(({ body }) => cidKey(body.snapshot) === key)
    const filter = complete.viewOf(tree.name, snapshot)?.filter
    const wanted = copiesWanted(state, tree, { key, isTagged, isNewest }, filter, nowMs)
    if (wanted === 0 && !isNewest) return []
    const claiming = [...now.heard.keys()].filter(
      (peer) => peer !== self.peer && claimed(now, tree.name, snapshot, sequences, peer) !== undefined,
    )
    const verified = new Set(
      [...claiming, self.peer].filter((peer) =>
        verifications(peer).some(
          ({ sequence, timeMs }) => sequences.has(sequence) && nowMs - timeMs < AGAIN_MS,
        ),
      ),
    )
    const lack = Math.max(KEEPERS, wanted) - verified.size
    if (lack <= 0) {
      lacking.delete(lackKey)
      return []
    }
    const sinceMs = lacking.get(lackKey) ?? monotonicMs
    lacking.set(lackKey, sinceMs)
    const text = snapshot.toString()
    const order = [...claiming, self.peer]
      .map((peer) => ({ peer, score: affinity(peer, text) }))
      .toSorted((a, b) => b.score - a.score || (a.peer < b.peer ? -1 : 1))
    const rank = order.findIndex(({ peer }) => peer === self.peer)
    if (monotonicMs - sinceMs < rank * STAGGER_MS) return []
    const connected = new Set(host.peers().map(({ peer }) => peer))
    const due = order.flatMap(({ peer }) => {
      const wish = { tree: tree.name, snapshot, peer }
      if (peer === self.peer || verified.has(peer) || !connected.has(peer)) return []
      const before = book.last(wish)
      const isOther = before?.version !== now.heard.get(peer)?.announcement.version
      return before === undefined || isOther || before.nextMs <= monotonicMs ? [wish] : []
    })
    return due.slice(0, lack)
  }

  function due(): Wish[] {
    const now = view()
    const held = Map.groupBy(complete.list(), ({ tree }) => tree)
    const names = [...held.keys()].toSorted()
    if (names.length === 0) return []
    const found: Wish[] = []
    const count = Math.min(TREES_A_ROUND, names.length)
    for (let i = 0; i < count && found.length < CHALLENGES_A_ROUND; i++) {
      turn = (turn + 1) % names.length
      const name = names[turn]!
      const tree = now.state.trees.get(name)
      if (tree === undefined || tree.body.removed || !hasRight(now.state, name, self.peer, now.nowMs))
        continue
      // Most pins are of other trees.
      const pins = new Map([...now.state.pins].filter(([, { body }]) => matchesTree(body.tree, name)))
      if (pins.size === 0) continue
      const narrow = { ...now, state: { ...now.state, pins } }
      const verifications = verificationsIn(now, name)
      for (const each of heldOf(tree, held.get(name)!))
        found.push(...dueOf(tree, each, narrow, verifications))
    }
    return found.slice(0, CHALLENGES_A_ROUND)
  }

  return {
    start() {
      background.run('challenge copies', async (signal) => {
        for (;;) {
          await sleep(clock, Math.round(ROUND_MS * (0.8 + random() * 0.4)), signal)
          await Promise.all(due().map((wish) => ask(wish, signal)))
        }
      })
    },
    stop: () => background.stop(new MirrorError('aborted', 'the node is stopping')),
    async prove(wishes, signal) {
      const ends = signal === undefined ? background.signal : AbortSignal.any([background.signal, signal])
      const peers = Map.groupBy(wishes.slice(0, MAX_PROVED), ({ peer }) => peer)
      await Promise.all(
        [...peers.values()].map(async (ofPeer) => {
          for (const wish of ofPeer) {
            const before = book.last(wish)
            if (before !== undefined && clock.monotonicMs() - before.atMs < PROVE_PAUSE_MS) continue
            await ask(wish, ends)
            // Who does not answer once is not waited for again and again.
            const outcome = book.last(wish)?.outcome
            if (outcome === 'no-answer' || outcome === 'older') return
          }
        }),
      )
    },
    view,
    told: (tree) => book.told(tree),
    failed() {
      const now = view()
      return book.all().flatMap(({ tree: name, peer, outcome, snapshot, sequence, failures, detail }) => {
        const tree = now.state.trees.get(name)
        if (outcome === 'shown' || tree === undefined) return []
        const claim = claimed(now, name, snapshot, sequencesOf(tree, snapshot), peer)
        return claim === undefined ? [] : [{ tree: name, sequence, peer, outcome, failures, detail }]
      })
    },
  }
}

interface Outcome {
  readonly outcome: ChallengeOutcome
  readonly detail: string
}

function notAsked(why: string): Outcome {
  return { outcome: 'no-answer', detail: `not asked: ${why}` }
}

interface HeldHere {
  readonly snapshot: Cid
  readonly sequences: ReadonlySet<number>
  readonly isNewest: boolean
}

/** The newest that are here, newest first. */
function heldOf(tree: TreeState, held: readonly { readonly snapshot: Cid }[]): HeldHere[] {
  const here = new Map(held.map(({ snapshot }) => [cidKey(snapshot), snapshot]))
  const found = new Map<string, { snapshot: Cid; sequences: Set<number>; isNewest: boolean }>()
  const end = Math.max(0, tree.history.length - HEADS_LOOKED_AT)
  for (let at = tree.history.length - 1; at >= end; at--) {
    const { snapshot, sequence } = tree.history[at]!
    const key = cidKey(snapshot)
    const known = found.get(key)
    if (known !== undefined) known.sequences.add(sequence)
    else if (here.has(key) && found.size < SNAPSHOTS_A_TREE)
      found.set(key, { snapshot, sequences: new Set([sequence]), isNewest: found.size === 0 })
  }
  return [...found.values()]
}
