/**
 * The ledger: the signed records that this node holds, on disk and as the state of the mesh that they make.
 *
 * Invariants:
 * - A record is durable in the record log before it changes the state, before anybody is told of it and before it is
 *   handed to a peer. So a node that is killed at any instant comes back with everything that it has acted on.
 * - All changes go through one queue: what is assessed against a state is stored and added before that state moves.
 *   A local signer therefore never uses a place in its chain, or a place in a tree's history, twice.
 * - Records that wait for others are logged as well, since their turn may come at once with what they wait for; how
 *   many may rest so is bounded, and what is over the bound is left to the next reconciliation.
 * - What peers give of one key is bounded (record-quota.ts).
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { hex } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import { Semaphore } from '../../base/semaphore.ts'
import { type Cid, cidFromDigest, cidKey, DAG_CBOR } from '../../block/cid.ts'
import type { RecordExchange } from '../../net/ports.ts'
import type { Bodies, Kind } from '../../record/content.ts'
import { type ChainTip, draftRecord, signRecord } from '../../record/draft.ts'
import type { KeyPair, PeerId, PublicKey } from '../../record/key.ts'
import type { Effect, MeshState } from '../../record/mesh-state.ts'
import { createMeshStateBuilder, type MeshStateBuilder } from '../../record/mesh-state-builder.ts'
import { decodeSigned, decodeStored, peekRecordId, type VerifiedRecord } from '../../record/record.ts'
import type { RecordLog } from '../../store/record-log.ts'
import type { ReplicaLog } from '../fetch-network.ts'
import { addUsage, createRecordQuota, type QuotaLimits, type RecordUsage } from './record-quota.ts'

/** What came in, told after it is durable and in the state. */
export interface LedgerEvent {
  /** Kept now and not before, each after those it depends on. */
  readonly records: readonly VerifiedRecord[]
  readonly effects: readonly Effect[]
  /** 'local', or the peer that gave them. */
  readonly from: string
}

export interface Ledger extends RecordExchange {
  readonly mesh: Cid
  /** A live view: it changes as records come in. */
  state(): MeshState
  /** A greater number whenever the state may have changed: for those who keep what they made of it. */
  revision(): number
  record(id: Cid): VerifiedRecord | undefined
  /** The records that the tree's state rests on: see MeshStateBuilder. */
  evidence(tree: string): readonly VerifiedRecord[]
  /** Where the key's next record goes on from. */
  tip(key: PublicKey): ChainTip | undefined
  /**
   * A record signed elsewhere (by an admin at the CLI) for this node to bring into the mesh. The same one twice is fine.
   * `check` is called when its turn has come, with the state that it will be added to; what it throws stops it.
   * @throws MirrorError `corrupt`, `conflict` when its place in the chain is taken, `refused` when it has no effect
   */
  submit(bytes: Uint8Array, check?: (state: MeshState) => void): Promise<{ readonly id: Cid }>
  /**
   * Signs by a key of this node. `body` is called when its turn has come, with the state that it will be added to, and
   * may throw to give up.
   */
  issue<K extends Kind>(
    key: KeyPair,
    kind: K,
    body: (state: MeshState) => Bodies[K],
    /** One more record, durable and told together with the first, which gives it its effect. */
    more?: (first: VerifiedRecord) => Encodings | undefined,
  ): Promise<VerifiedRecord>
  /** Returns the function that ends it. Listeners must not throw. */
  subscribe(listener: (event: LedgerEvent) => void): () => void
}

type Encodings = Bodies['encodings']

export interface LedgerOptions {
  readonly mesh: Cid
  /** Records that may rest in the log while they wait for others. */
  readonly maxWaitingRecords?: number
  readonly maxWaitingBytes?: number
  readonly quota?: QuotaLimits
}

/** Signatures take about 0.1 ms each: after so many, others get a turn. */
const RECORDS_A_TURN = 64

export async function createLedger(
  { log, clock, logger }: { readonly log: RecordLog; readonly clock: Clock; readonly logger: ReplicaLog },
  { mesh, maxWaitingRecords = 8192, maxWaitingBytes = 16 * 1024 * 1024, quota: limits }: LedgerOptions,
): Promise<Ledger> {
  const builder = createMeshStateBuilder(mesh)
  const quota = createRecordQuota((peer) => builder.rank(peer), limits)
  const turns = new Semaphore(1)
  const listeners = new Set<(event: LedgerEvent) => void>()
  let revision = 0
  /** Logged and not kept yet, with their bytes: outlives the builder's own, smaller waiting room. */
  const waiting = new Map<string, number>()
  let waitingBytes = 0

  await load(builder, log, logger, (record) => {
    quota.note(record)
    rest(record)
  })

  function rest(record: VerifiedRecord): void {
    const key = cidKey(record.id)
    if (builder.get(record.id) !== undefined || waiting.has(key)) return
    waiting.set(key, record.bytes.length)
    waitingBytes += record.bytes.length
  }

  /** The one way in: durable, then in the state, then told. Call within a turn. */
  async function enter(records: readonly VerifiedRecord[], from: string): Promise<void> {
    const fresh = records.filter((record) => !waiting.has(cidKey(record.id)))
    if (fresh.length > 0) await log.append(fresh.map((record) => record.bytes))
    for (const record of fresh) quota.note(record)
    revision++
    const effects = builder.addAll(records)
    for (const record of records) rest(record)
    const kept: VerifiedRecord[] = []
    for (const effect of effects) {
      if (effect.kind !== 'kept') continue
      const key = cidKey(effect.record)
      waitingBytes -= waiting.get(key) ?? 0
      waiting.delete(key)
      const record = builder.get(effect.record)
      if (record !== undefined) kept.push(record)
    }
    if (effects.length > 0) tell({ records: kept, effects, from })
  }

  function tell(event: LedgerEvent): void {
    for (const listener of listeners) {
      try {
        listener(event)
      } catch (error) {
        logger.warn({ err: asMirrorError(error, 'tell of new records') }, 'ledger.listener-failed')
      }
    }
  }

  /** Takes in what can be taken now, round by round while rounds uncover more. Call within a turn. */
  async function takeIn(offered: readonly VerifiedRecord[], from: string): Promise<Map<string, string>> {
    const refused = new Map<string, string>()
    let left = offered
    while (left.length > 0) {
      const entering: VerifiedRecord[] = []
      const later: VerifiedRecord[] = []
      let restRecords = waiting.size
      let restBytes = waitingBytes
      let isUncovering = false
      const coming = new Map<PeerId, RecordUsage>()
      const take = (record: VerifiedRecord): void => {
        addUsage(coming, record)
        entering.push(record)
      }
      for (const record of left) {
        const { verdict, reason } = builder.assess(record)
        const isLogged = waiting.has(cidKey(record.id))
        const overQuota =
          verdict === 'refused' || verdict === 'duplicate' || isLogged
            ? undefined
            : quota.objection(record, coming)
        if (verdict === 'refused' || overQuota !== undefined) {
          refused.set(cidKey(record.id), overQuota ?? reason)
        } else if (verdict === 'effective' || verdict === 'idle') {
          isUncovering = true
          if (isLogged) entering.push(record)
          else take(record)
        } else if (verdict === 'duplicate' || isLogged) {
          // Known, or logged and since then dropped from memory: enter() writes it no second time.
          if (verdict === 'waiting') entering.push(record)
        } else if (restRecords < maxWaitingRecords && restBytes + record.bytes.length <= maxWaitingBytes) {
          restRecords++
          restBytes += record.bytes.length
          take(record)
        } else {
          later.push(record)
        }
      }
      if (entering.length > 0) await enter(entering, from)
      left = later
      if (!isUncovering) break
    }
    for (const record of left) {
      refused.set(cidKey(record.id), 'too many records wait for others here: offer it again later')
    }
    return refused
  }

  async function offer(
    records: readonly Uint8Array[],
    from: string,
  ): Promise<{ accepted: number; refused: { reason: string }[] }> {
    const verified = new Map<string, VerifiedRecord>()
    const reasons: string[] = []
    let accepted = 0
    for (const [at, bytes] of records.entries()) {
      if (at > 0 && at % RECORDS_A_TURN === 0) await nextTurn()
      try {
        // Telling a duplicate costs a hundredth of checking its signatures.
        const id = peekRecordId(bytes)
        const key = cidKey(id)
        if (verified.has(key) || builder.has(id)) accepted++
        else verified.set(key, decodeSigned(bytes))
      } catch (error) {
        reasons.push(asMirrorError(error, 'read a record').message)
      }
    }
    if (verified.size > 0) {
      const refused = await turns.run(() => takeIn([...verified.values()], from))
      accepted += verified.size - refused.size
      reasons.push(...refused.values())
    }
    for (const reason of reasons.slice(0, 8)) logger.warn({ peer: from, reason }, 'record.refused')
    return { accepted, refused: reasons.map((reason) => ({ reason })) }
  }

  async function submit(bytes: Uint8Array, check?: (state: MeshState) => void): Promise<{ id: Cid }> {
    const record = decodeSigned(bytes)
    return turns.run(async () => {
      if (builder.get(record.id) !== undefined) return { id: record.id }
      check?.(builder.state)
      checkPlace(builder.tip(record.issuer), record)
      const { verdict, reason } = builder.assess(record)
      if (verdict === 'refused' || (verdict === 'idle' && record.content.kind !== 'unknown')) {
        throw new MirrorError('refused', `the ${record.kind} record is refused: ${reason}`, {
          facts: { kind: record.kind, issuer: record.issuerPeer },
        })
      }
      if (verdict === 'waiting') {
        throw new MirrorError('conflict', `the ${record.kind} record cannot be placed: ${reason}`, {
          facts: { kind: record.kind, issuer: record.issuerPeer },
          hint: 'Prepare and sign it again at a node that holds all the records of its issuer.',
        })
      }
      await enter([record], 'local')
      logger.info({ record: record.id.toString(), kind: record.kind }, 'record.submitted')
      return { id: record.id }
    })
  }

  return {
    mesh,
    state: () => builder.state,
    revision: () => revision,
    record: (id) => builder.get(id),
    evidence: (tree) => builder.evidence(tree),
    tip: (key) => builder.tip(key),
    ids: () => builder.ids(),
    async get(ids) {
      return ids.flatMap((id) => builder.get(cidFromDigest(DAG_CBOR, id))?.bytes ?? [])
    },
    inOrder(ids) {
      const wanted = new Set(ids.map((id) => hex(id)))
      const ordered: Uint8Array[] = []
      for (const { id } of builder.records()) {
        if (wanted.has(hex(id.multihash.digest))) ordered.push(id.multihash.digest)
      }
      return ordered
    },
    offer,
    submit,
    issue: (key, kind, body, more = () => undefined) =>
      turns.run(async () => {
        const common = { mesh, issuer: key.publicKey, timeMs: clock.nowMs() }
        const tip = builder.tip(key.publicKey)
        const draft = draftRecord({ ...common, kind, body: body(builder.state), tip })
        const record = decodeSigned(signRecord(draft, key))
        const { verdict, reason } = builder.assess(record)
        if (verdict !== 'effective') {
          throw new MirrorError('refused', `this node may not sign that ${kind} record: ${reason}`, {
            facts: { kind, issuer: key.peer },
          })
        }
        const second = more(record)
        if (second === undefined) await enter([record], 'local')
        else {
          const after = { counter: record.counter, id: record.id }
          const next = draftRecord({ ...common, kind: 'encodings', body: second, tip: after })
          await enter([record, decodeSigned(signRecord(next, key))], 'local')
        }
        return record
      }),
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

async function load(
  builder: MeshStateBuilder,
  log: RecordLog,
  logger: ReplicaLog,
  rest: (record: VerifiedRecord) => void,
): Promise<void> {
  const records: VerifiedRecord[] = []
  for await (const bytes of log.readAll()) {
    try {
      records.push(decodeStored(bytes))
    } catch (error) {
      // Of a later release, before a downgrade: it stays in the log for the day this node is upgraded again.
      logger.warn({ err: asMirrorError(error, 'read a stored record') }, 'ledger.record-unreadable')
    }
  }
  builder.addAll(records)
  for (const record of records) rest(record)
}

/** A local signer goes on from the tip; anything else means that it looked before somebody else signed. */
function checkPlace(tip: ChainTip | undefined, record: VerifiedRecord): void {
  const expected = (tip?.counter ?? 0) + 1
  const isNext = record.counter === expected && (tip === undefined || record.prev?.equals(tip.id) === true)
  if (isNext) return
  throw new MirrorError(
    'conflict',
    `the key ${record.issuerPeer} has signed ${tip?.counter ?? 0} records; this one claims place ${record.counter}`,
    {
      facts: { counter: record.counter, expected },
      hint: 'Something else was signed with this key in the meantime. Run the command again.',
    },
  )
}
