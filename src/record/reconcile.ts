/**
 * Finds what two sets of 32-byte ids do not share, at a cost that follows the difference and not the sets: range-based
 * set reconciliation (A. Meyer, "Range-Based Set Reconciliation", 2022). Pure: messages in, messages out.
 *
 * The initiator asks about ranges, by fingerprint or by listing its ids; the responder answers and keeps no state. A
 * fingerprint is 16 bytes of BLAKE3 over the range's ids, which lie side by side in memory. Unequal ranges are split
 * in 16 until at most 32 ids are left on one side, which lists them. The initiator alone learns the whole difference:
 * it fetches what it needs and gives what the other lacks.
 *
 * Messages and their bytes: reconcile-message.ts. Bounds: a message, the rounds, the questions in hand, the ids found;
 * whatever the other side sends, the worst is a MirrorError.
 */
import { MirrorError } from '../base/errors.ts'
import { createIdRanges, type IdRanges } from './id-ranges.ts'
import {
  answerBytes,
  type Bound,
  beginMessage,
  compareBounds,
  type Item,
  itemBytes,
  MAX_RECONCILE_BYTES,
  readMessage,
} from './reconcile-message.ts'

export type Id = Uint8Array

export interface ReconcileStep {
  /** To send to the other side; undefined when the initiator has nothing left to ask. The responder always replies. */
  readonly reply: Uint8Array | undefined
  /** Ids that the other side has and we lack, learnt from this message. Always empty at the responder. */
  readonly need: readonly Id[]
  /** Ids that we have and the other side lacks, learnt from this message. Always empty at the responder. */
  readonly give: readonly Id[]
  /** The initiator: the whole difference is known. The responder: the initiator has no reason to ask again. */
  readonly isDone: boolean
}

export interface Reconciler {
  /** The initiator's first message. */
  start(): Uint8Array
  /** @throws MirrorError `corrupt` or `limit` for a message that an honest peer does not send */
  receive(message: Uint8Array): ReconcileStep
}

export interface ReconcileOptions {
  readonly isInitiator: boolean
  readonly maxMessageBytes?: number
  /** Messages received before giving up. */
  readonly maxRounds?: number
  /** Ids needed before giving up; the next session goes on from what was fetched. */
  readonly maxNeed?: number
}

const BRANCHES = 16
const LIST_IDS = 32
const MAX_QUESTIONS = 262_144

/** @param items 32 bytes each, rising strictly; not changed while the session lasts */
export function createReconciler(items: readonly Id[], options: ReconcileOptions): Reconciler {
  const { maxMessageBytes = MAX_RECONCILE_BYTES, maxRounds = 1024, maxNeed = 1_048_576 } = options
  if (maxMessageBytes < 4096 || maxMessageBytes > MAX_RECONCILE_BYTES) {
    throw new MirrorError('invalid', `a message holds 4096 to ${MAX_RECONCILE_BYTES} bytes`)
  }
  const ranges = createIdRanges(items)
  let rounds = 0
  const countRound = (message: Uint8Array): void => {
    if (message.length > maxMessageBytes)
      throw new MirrorError('limit', 'a reconciliation message is too large')
    if (++rounds > maxRounds)
      throw new MirrorError('limit', `reconciliation did not end in ${maxRounds} rounds`)
  }
  return options.isInitiator
    ? createInitiator(ranges, { maxMessageBytes, maxNeed, countRound })
    : createResponder(ranges, { maxMessageBytes, countRound })
}

interface InitiatorLimits {
  readonly maxMessageBytes: number
  readonly maxNeed: number
  countRound(message: Uint8Array): void
}

function createInitiator(
  ranges: IdRanges,
  { maxMessageBytes, maxNeed, countRound }: InitiatorLimits,
): Reconciler {
  /** Still to be asked; the last goes first, so that a branch is finished before the next is opened. */
  const open: Range[] = [{ lower: ranges.start, upper: ranges.end }]
  let asked: Range[] = []
  let needed = 0
  let isStarted = false

  function ask(): Uint8Array | undefined {
    if (open.length === 0) return undefined
    const chosen: Item[] = []
    let bytes = 0
    for (let range = open.at(-1); range !== undefined; range = open.at(-1)) {
      const item = question(ranges, range)
      bytes += itemBytes(item)
      if (chosen.length > 0 && bytes > maxMessageBytes - 64) break
      chosen.push(item)
      open.pop()
    }
    chosen.sort((a, b) => compareBounds(a.lower, b.lower))
    asked = chosen
    const message = beginMessage(0)
    for (const item of chosen) message.add(item)
    return message.finish()
  }

  /** The asked range that holds `item`; answers rise, so the search goes on from the last. */
  function locate(item: Item, from: number, answered: number): number {
    let at = from
    while (at < answered && compareBounds(asked[at]!.upper, item.lower) <= 0) at++
    const range = asked[at]
    if (
      at >= answered ||
      range === undefined ||
      compareBounds(item.lower, range.lower) < 0 ||
      compareBounds(item.upper, range.upper) > 0
    ) {
      throw new MirrorError('corrupt', 'a reconciliation answer is about a range that was not asked about')
    }
    return at
  }

  return {
    start() {
      isStarted = true
      return ask() as Uint8Array
    },
    receive(message) {
      if (!isStarted) throw new MirrorError('internal', 'start() comes before receive()')
      countRound(message)
      const { answered, items } = readMessage(message)
      if (answered > asked.length || (answered === 0 && asked.length > 0)) {
        throw new MirrorError('corrupt', 'a reconciliation message answers what was not asked')
      }
      const need: Id[] = []
      const give: Id[] = []
      const fresh: Range[] = []
      let at = 0
      for (const item of items) {
        at = locate(item, at, answered)
        if (item.mode === 'fingerprint') fresh.push(...unequal(ranges, item))
        else compare(ranges, item, need, give)
      }
      needed += need.length
      if (needed > maxNeed)
        throw new MirrorError('limit', `the other side claims more than ${maxNeed} ids that we lack`)
      for (let i = asked.length - 1; i >= answered; i--) open.push(asked[i]!)
      for (let i = fresh.length - 1; i >= 0; i--) open.push(fresh[i]!)
      if (open.length > MAX_QUESTIONS)
        throw new MirrorError('limit', 'reconciliation has too many open questions')
      asked = []
      const reply = ask()
      return { reply, need, give, isDone: reply === undefined }
    },
  }
}

interface Range {
  readonly lower: Bound
  readonly upper: Bound
}

function question(ranges: IdRanges, { lower, upper }: Range): Item {
  const [first, end] = ranges.within(lower, upper)
  return end - first <= LIST_IDS
    ? { mode: 'list', lower, upper, ids: ranges.slice(first, end) }
    : { mode: 'fingerprint', lower, upper, fingerprint: ranges.fingerprint(first, end) }
}

/** What is left to ask about a range whose fingerprint the other side has sent: nothing when it equals ours. */
function unequal(ranges: IdRanges, item: Item & { mode: 'fingerprint' }): Range[] {
  const [first, end] = ranges.within(item.lower, item.upper)
  if (ranges.hasFingerprint(first, end, item.fingerprint)) return []
  return end - first <= LIST_IDS ? [item] : split(ranges, item, first, end)
}

function split(ranges: IdRanges, { lower, upper }: Range, first: number, end: number): Range[] {
  const parts: Range[] = []
  let from = lower
  for (let i = 1; i <= BRANCHES; i++) {
    const to = i === BRANCHES ? upper : ranges.boundBefore(first + Math.floor(((end - first) * i) / BRANCHES))
    parts.push({ lower: from, upper: to })
    from = to
  }
  return parts
}

function compare(
  ranges: IdRanges,
  item: Exclude<Item, { mode: 'fingerprint' }>,
  need: Id[],
  give: Id[],
): void {
  const [first, end] = ranges.within(item.lower, item.upper)
  if (item.mode === 'list') {
    const theirs = item.ids
    let t = 0
    for (let i = first; i < end; i++) {
      const ours = ranges.at(i)
      while (t < theirs.length && ranges.compare(theirs[t]!, i) < 0) need.push(theirs[t++]!)
      if (t < theirs.length && ranges.compare(theirs[t]!, i) === 0) t++
      else give.push(ours)
    }
    while (t < theirs.length) need.push(theirs[t++]!)
    return
  }
  if (item.asked !== end - first)
    throw new MirrorError('corrupt', 'a reconciliation answer is to another list')
  for (let i = first; i < end; i++) if (item.isLacked(i - first)) give.push(ranges.at(i))
  for (const id of item.ids) {
    if (ranges.has(id)) throw new MirrorError('corrupt', 'a reconciliation answer repeats what was listed')
    need.push(id)
  }
}

function createResponder(
  ranges: IdRanges,
  { maxMessageBytes, countRound }: { maxMessageBytes: number; countRound(message: Uint8Array): void },
): Reconciler {
  return {
    start() {
      throw new MirrorError('internal', 'the responder does not start a reconciliation')
    },
    receive(message) {
      countRound(message)
      const { items } = readMessage(message)
      const out = beginMessage(0)
      let answered = 0
      let isDone = true
      for (const item of items) {
        const room = maxMessageBytes - out.sizeBytes()
        const replies = item.mode === 'fingerprint' ? respond(ranges, item) : answer(ranges, item, room)
        if (replies === undefined) break
        const bytes = replies.reduce((sum, reply) => sum + itemBytes(reply), 0)
        if (bytes > room) break
        for (const reply of replies) out.add(reply)
        answered++
        if (replies.some(({ mode }) => mode === 'fingerprint')) isDone = false
      }
      out.setAnswered(answered)
      return { reply: out.finish(), need: [], give: [], isDone: isDone && answered === items.length }
    },
  }
}

function respond(ranges: IdRanges, item: Item & { mode: 'fingerprint' }): Item[] {
  const [first, end] = ranges.within(item.lower, item.upper)
  if (ranges.hasFingerprint(first, end, item.fingerprint)) return []
  if (end - first <= LIST_IDS) {
    return [{ mode: 'list', lower: item.lower, upper: item.upper, ids: ranges.slice(first, end) }]
  }
  return split(ranges, item, first, end).map(({ lower, upper }) => {
    const [from, to] = ranges.within(lower, upper)
    return { mode: 'fingerprint', lower, upper, fingerprint: ranges.fingerprint(from, to) }
  })
}

/**
 * What we have that the list lacks, and what it has that we lack. When that does not fit, as much as does, and a
 * fingerprint of the rest: the initiator will ask about it again. Undefined when there is no room for a single id; an
 * empty message always has that.
 */
function answer(ranges: IdRanges, item: Item, room: number): Item[] | undefined {
  if (item.mode !== 'list')
    throw new MirrorError('corrupt', 'an initiator of a reconciliation asks, it does not answer')
  const [first, end] = ranges.within(item.lower, item.upper)
  const listed = new Set(item.ids.map(textOf))
  const extra: Id[] = []
  let upper = item.upper
  let stop = end
  // Room for this answer's frame and bitmap, and for the fingerprint of the rest.
  const maxExtra = Math.floor((room - answerBytes(item.ids.length) - 128) / 32)
  if (maxExtra < 1) return undefined
  for (let i = first; i < end; i++) {
    const id = ranges.at(i)
    if (listed.has(textOf(id))) continue
    if (extra.length >= maxExtra) {
      upper = ranges.boundBefore(i)
      stop = i
      break
    }
    extra.push(id)
  }
  const isWhole = stop === end
  const within = isWhole ? item.ids : item.ids.filter((id) => compareBounds(id, upper) < 0)
  const lacked = within.map((id) => !ranges.has(id))
  const reply: Item = {
    mode: 'answer',
    lower: item.lower,
    upper,
    asked: within.length,
    isLacked: (i) => lacked[i] === true,
    ids: extra,
  }
  if (isWhole) return [reply]
  const rest: Item = {
    mode: 'fingerprint',
    lower: upper,
    upper: item.upper,
    fingerprint: ranges.fingerprint(stop, end),
  }
  return [reply, rest]
}

function textOf(id: Id): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString('latin1')
}
