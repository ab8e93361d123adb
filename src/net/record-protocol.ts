/**
 * `/mirrormesh/1/records`: makes two sides hold the union of their records. Both sides.
 *
 * The initiator leads the reconciliation and alone learns the difference; then it sends what the other lacks and asks
 * for what it lacks itself, and the responder answers. Both end with DONE. What comes in is offered frame by frame, so
 * nothing piles up.
 */
import { hex } from '../base/bytes.ts'
import { isMirrorError, MirrorError } from '../base/errors.ts'
import { createReconciler } from '../record/reconcile.ts'
import type { FrameStream } from './frame-stream.ts'
import { MAX_IDS_PER_SESSION, MAX_RECONCILE_BYTES, MAX_RECONCILE_ROUNDS } from './limits.ts'
import type { RecordExchange } from './ports.ts'
import type { Frame } from './wire/frame.ts'
import { encodeFrame } from './wire/frame.ts'
import {
  DONE,
  decodeRecords,
  decodeWant,
  RECONCILE,
  RECORDS,
  recordsFrames,
  WANT,
  wantFrames,
} from './wire/records.ts'

export const RECORDS_PROTOCOL = '/mirrormesh/1/records'

/** Ids of records loaded at one time while sending. */
const SEND_BATCH = 64

interface Side {
  readonly frames: FrameStream
  readonly incoming: AsyncGenerator<Frame>
  readonly records: RecordExchange
  readonly peer: string
}

interface Turn {
  readonly received: number
  readonly wanted: readonly Uint8Array[]
}

export async function reconcileWith(
  frames: FrameStream,
  records: RecordExchange,
  peer: string,
): Promise<{ received: number; sent: number }> {
  const side: Side = { frames, incoming: frames.frames(), records, peer }
  try {
    const { need, give } = await leadReconciliation(side)
    const sent = await takeTurn(side, give, need)
    const { received } = await readTurn(side)
    await frames.closeWrite()
    return { received, sent }
  } finally {
    frames.abort(new MirrorError('aborted', 'the reconciliation is over'))
  }
}

export async function serveReconciliation(
  frames: FrameStream,
  records: RecordExchange,
  peer: string,
): Promise<void> {
  const side: Side = { frames, incoming: frames.frames(), records, peer }
  try {
    const first = await followReconciliation(side)
    const { wanted } = await readTurn(side, first)
    await takeTurn(side, wanted, [])
    await frames.closeWrite()
    // The initiator closes when it has read our last word.
    await side.incoming.next()
  } finally {
    frames.abort(new MirrorError('aborted', 'the reconciliation is over'))
  }
}

interface Difference {
  readonly need: readonly Uint8Array[]
  readonly give: readonly Uint8Array[]
}

async function leadReconciliation({ frames, incoming, records }: Side): Promise<Difference> {
  const reconciler = createReconciler(records.ids(), {
    isInitiator: true,
    maxMessageBytes: MAX_RECONCILE_BYTES,
  })
  const need: Uint8Array[] = []
  const give: Uint8Array[] = []
  let message: Uint8Array | undefined = reconciler.start()
  for (let round = 0; message !== undefined && round < MAX_RECONCILE_ROUNDS; round++) {
    await frames.send(encodeFrame(RECONCILE, [message]))
    const { type, body } = await nextFrame(incoming)
    if (type !== RECONCILE) throw outOfTurn(type)
    if (body.length === 0) break
    try {
      const step = reconciler.receive(body)
      for (const id of step.need) need.push(id)
      for (const id of step.give) give.push(id)
      message = step.reply
    } catch (error) {
      // More is different than one session may hold: what is known is exchanged, the next session goes on from there.
      if (!isMirrorError(error, 'limit') || need.length + give.length === 0) throw error
      break
    }
  }
  return { need: distinct(need).slice(0, MAX_IDS_PER_SESSION), give: distinct(give) }
}

/** Answers until the initiator goes on to its turn, whose first frame is returned. */
async function followReconciliation({ frames, incoming, records }: Side): Promise<Frame> {
  const reconciler = createReconciler(records.ids(), {
    isInitiator: false,
    maxMessageBytes: MAX_RECONCILE_BYTES,
  })
  for (let round = 0; round <= MAX_RECONCILE_ROUNDS; round++) {
    const frame = await nextFrame(incoming)
    if (frame.type !== RECONCILE) return frame
    const { reply } = reconciler.receive(frame.body)
    await frames.send(encodeFrame(RECONCILE, reply === undefined ? [] : [reply]))
  }
  throw new MirrorError('limit', 'a reconciliation of too many rounds')
}

/** Sends records and wishes, then DONE. Returns how many records went. */
async function takeTurn(
  { frames, records }: Side,
  give: readonly Uint8Array[],
  need: readonly Uint8Array[],
): Promise<number> {
  let sent = 0
  // Sent in any order, most of a long history would have to wait at the other side, where room for that is bounded.
  const ordered = give.length > 1 ? (records.inOrder?.(give) ?? give) : give
  for (let at = 0; at < ordered.length; at += SEND_BATCH) {
    const some = await records.get(ordered.slice(at, at + SEND_BATCH))
    for (const frame of recordsFrames(some)) await frames.send(frame)
    sent += some.length
  }
  for (const frame of wantFrames(need)) await frames.send(frame)
  await frames.send(encodeFrame(DONE, []))
  return sent
}

async function readTurn({ incoming, records, peer }: Side, first?: Frame): Promise<Turn> {
  let received = 0
  const wanted: Uint8Array[] = []
  for (
    let frame = first ?? (await nextFrame(incoming));
    frame.type !== DONE;
    frame = await nextFrame(incoming)
  ) {
    if (frame.type === RECORDS) {
      const { accepted } = await records.offer(decodeRecords(frame.body), peer)
      received += accepted
    } else if (frame.type === WANT) {
      for (const id of decodeWant(frame.body)) wanted.push(id)
      if (wanted.length > MAX_IDS_PER_SESSION)
        throw new MirrorError('limit', 'too many records wanted at one time')
    } else throw outOfTurn(frame.type)
  }
  return { received, wanted: distinct(wanted) }
}

async function nextFrame(incoming: AsyncGenerator<Frame>): Promise<Frame> {
  const next = await incoming.next()
  if (next.done === true) throw new MirrorError('unreachable', 'the peer ended the reconciliation')
  return next.value
}

function distinct(ids: readonly Uint8Array[]): Uint8Array[] {
  return [...new Map(ids.map((id) => [hex(id), id])).values()]
}

function outOfTurn(type: number): MirrorError {
  return new MirrorError('corrupt', `frame of type ${type} out of turn`)
}
