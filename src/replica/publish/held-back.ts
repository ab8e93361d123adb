/**
 * What this node would have published, had it not dropped so much (shrink-guard.ts): the newest of each tree, which waits
 * for an admin's verdict. Its blocks are leased, so that no collection takes them, and it is kept over restarts, for a set
 * time.
 *
 * It is about one snapshot after one head. When the tree has moved on, has another publisher, or something of it was taken
 * down since, it is let go of; a verdict on anything else does nothing. An accepted one goes out by the way of every publish, and stays here
 * until its head is in the state: whatever is killed in between is gone about again, and a head that is there ends it.
 *
 * A rejected one is let go of too, but for what it was like: the same source, published again and again by a timer, does
 * not ask again.
 */
import { hex, utf8 } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import { type Cid, parseCid } from '../../block/cid.ts'
import { encodeEntry } from '../../dag/entry.ts'
import type { Snapshot } from '../../dag/snapshot.ts'
import type { KeyPair } from '../../record/key.ts'
import type { Head, Verdict } from '../../record/mesh-state.ts'
import type { BlockStore, Lease } from '../../store/block-store.ts'
import type { KeyValue } from '../../store/index/key-value.ts'
import type { ReplicaLog } from '../fetch-network.ts'
import type { Ledger } from '../records/ledger.ts'

export interface HeldBack {
  readonly tree: string
  readonly snapshot: Cid
  /** The record of the head that it was compared with, and is to follow. */
  readonly previous: Cid
  /** Of that head. */
  readonly sequence: number
  readonly files: number
  readonly bytes: number
  /** Of that head; null when it does not say. */
  readonly filesBefore: number | null
  readonly bytesBefore: number | null
  readonly sinceMs: number
  readonly expiresMs: number
  /** Why an accepted one is not published yet. */
  readonly problem?: string
}

export interface HeldBackComponents {
  readonly ledger: Pick<Ledger, 'state' | 'subscribe'>
  readonly blocks: Pick<BlockStore, 'flush' | 'lease'>
  readonly values: KeyValue
  readonly nodeKey: Pick<KeyPair, 'peer'>
  readonly clock: Clock
  readonly logger: ReplicaLog
  readonly onChanged: () => void
}

export interface HeldBackKeeper {
  /**
   * From here on it waits, durably, in the place of another of its tree. Its blocks are stored, and leased by the caller.
   * Undefined: an admin has rejected the same already.
   */
  hold(dropping: Dropping): Promise<HeldBack | undefined>
  of(tree: string): HeldBack | undefined
  list(): readonly HeldBack[]
  /** From here on verdicts are acted on, by `publish`. */
  start(publish: (held: HeldBack, signal: AbortSignal) => Promise<unknown>): void
  stop(): Promise<void>
}

export interface Dropping {
  readonly snapshot: Snapshot
  readonly snapshotCid: Cid
  readonly before: Pick<Head, 'counts' | 'id' | 'sequence'>
}

interface Entry {
  readonly held: HeldBack
  /** The same for the same content and metadata, whenever it was imported. */
  readonly likeness: string
  readonly isRejected: boolean
  /** Ids of the tree's takedowns by then: nobody has looked for what a later one means. */
  readonly takedowns: readonly string[]
  /** Of what may still be published. */
  readonly lease: Lease | undefined
}

const DAY_MS = 24 * 3_600_000
/** An accepted one that could not be published is tried again; what has expired is let go of. */
const LOOK_MS = 60_000

export async function loadHeldBack(
  components: HeldBackComponents,
  { keepMs = 7 * DAY_MS }: { readonly keepMs?: number } = {},
): Promise<HeldBackKeeper> {
  const { ledger, blocks, values, nodeKey, clock, logger, onChanged } = components
  const stopped = new AbortController()
  const entries = new Map<string, Entry>()
  let working: Promise<void> | undefined
  let isDue = false
  let cancel = (): void => undefined
  let unsubscribe = (): void => undefined
  let publish: ((held: HeldBack, signal: AbortSignal) => Promise<unknown>) | undefined

  function lease({ tree, snapshot }: HeldBack): Lease {
    return blocks.lease({ purpose: `held back of ${tree}`, roots: [snapshot] })
  }

  for await (const [tree, value] of values.entries()) {
    const entry = decode(tree, value)
    // Of a later version: it is published again.
    if (entry === undefined) await values.delete(tree)
    else entries.set(tree, { ...entry, lease: entry.isRejected ? undefined : lease(entry.held) })
  }

  async function replace(tree: string, entry: Entry): Promise<void> {
    await values.put(tree, encode(entry), { sync: true })
    const before = entries.get(tree)
    entries.set(tree, entry)
    if (before?.lease !== entry.lease) before?.lease?.close()
    onChanged()
  }

  async function forget(tree: string, why: string): Promise<void> {
    await values.delete(tree, { sync: true })
    const entry = entries.get(tree)
    entries.delete(tree)
    entry?.lease?.close()
    logger.info({ tree, snapshot: entry?.held.snapshot.toString(), why }, 'held-back.gone')
    onChanged()
  }

  const takedownsOf = (tree: string): string[] =>
    [...ledger.state().takedowns.values()]
      .filter(({ body }) => body.tree === tree && !body.removed)
      .map(({ origin }) => origin.record.toString())

  /** Why it is not to be published any more. */
  function ending({ held: { tree, previous, expiresMs }, takedowns }: Entry): string | undefined {
    const state = ledger.state()
    const found = state.trees.get(tree)
    if (found === undefined || found.body.removed) return 'the tree is gone'
    if (found.newest?.id.equals(previous) !== true) return 'the tree has moved on'
    if (found.epoch !== undefined && found.epoch.publisher !== nodeKey.peer)
      return 'another publishes the tree'
    if (takedownsOf(tree).some((id) => !takedowns.includes(id))) return 'some of the tree was taken down'
    return clock.nowMs() >= expiresMs ? 'nobody has decided in time' : undefined
  }

  async function settle(tree: string, entry: Entry): Promise<void> {
    const { held } = entry
    const why = ending(entry)
    if (why !== undefined) return forget(tree, why)
    const verdict = ledger.state().verdicts.get(tree)
    if (entry.isRejected || verdict === undefined || !isAbout(verdict, held)) return
    const facts = { tree, snapshot: held.snapshot.toString(), admin: verdict.origin.issuer }
    if (!verdict.body.accepted) {
      logger.info(facts, 'held-back.rejected')
      return replace(tree, { ...entry, isRejected: true, lease: undefined })
    }
    try {
      logger.info(facts, 'held-back.accepted')
      await publish!(held, stopped.signal)
    } catch (error) {
      if (stopped.signal.aborted) return
      const failure = asMirrorError(error, 'publish what was held back')
      logger.warn({ ...facts, err: failure }, 'held-back.failed')
      const now = entries.get(tree)
      if (now?.held.snapshot.equals(held.snapshot) === true && held.problem !== failure.message)
        await replace(tree, { ...now, held: { ...held, problem: failure.message } })
      return
    }
    const after = entries.get(tree)
    if (after !== undefined && ending(after) !== undefined) await forget(tree, 'it is published')
  }

  async function work(): Promise<void> {
    while (isDue && !stopped.signal.aborted) {
      isDue = false
      for (const [tree, entry] of [...entries]) {
        if (!stopped.signal.aborted && entries.get(tree) === entry) await settle(tree, entry)
      }
    }
  }

  function look(): void {
    if (stopped.signal.aborted || publish === undefined) return
    isDue = true
    cancel()
    working ??= work()
      .catch((error) => {
        logger.warn({ err: asMirrorError(error, 'look at what is held back') }, 'held-back.failed')
      })
      .finally(() => {
        working = undefined
        if (stopped.signal.aborted) return
        if (isDue) look()
        else if (entries.size > 0) cancel = clock.after(LOOK_MS, look)
      })
  }

  return {
    async hold({ snapshot, snapshotCid, before }) {
      const { tree } = snapshot
      const likeness = likenessOf(snapshot)
      const known = entries.get(tree)
      // A yes that is on its way to the one is not to find the other, when nobody could tell them apart.
      if (known?.likeness === likeness && known.held.previous.equals(before.id))
        return known.isRejected ? undefined : known.held
      const nowMs = clock.nowMs()
      const held: HeldBack = {
        tree,
        snapshot: snapshotCid,
        ...{ previous: before.id, sequence: before.sequence },
        ...{ files: snapshot.counts.files, bytes: snapshot.counts.bytes },
        filesBefore: before.counts.files ?? null,
        bytesBefore: before.counts.bytes ?? null,
        ...{ sinceMs: nowMs, expiresMs: nowMs + keepMs },
      }
      await blocks.flush()
      await replace(tree, {
        ...{ held, likeness, isRejected: false, takedowns: takedownsOf(tree) },
        lease: lease(held),
      })
      logger.warn({ tree, snapshot: snapshotCid.toString(), after: before.sequence }, 'held-back.waits')
      look()
      return held
    },
    of(tree) {
      const entry = entries.get(tree)
      return entry === undefined || entry.isRejected ? undefined : entry.held
    },
    list: () => [...entries.values()].filter(({ isRejected }) => !isRejected).map(({ held }) => held),
    start(publishHeld) {
      publish = publishHeld
      unsubscribe = ledger.subscribe(({ effects }) => {
        if (effects.some(({ kind }) => ['verdict', 'head', 'tree', 'takedown'].includes(kind))) look()
      })
      look()
    },
    async stop() {
      stopped.abort(new MirrorError('aborted', 'the node is stopping'))
      unsubscribe()
      cancel()
      await working
      for (const { lease } of entries.values()) lease?.close()
    },
  }
}

function isAbout({ body }: Verdict, { snapshot, previous }: HeldBack): boolean {
  return body.snapshot.equals(snapshot) && body.previous.equals(previous)
}

function likenessOf({ index, root, uncaptured, notes, ignore = [] }: Snapshot): string {
  return JSON.stringify([index.toString(), hex(encodeEntry(root)), uncaptured, notes, ignore])
}

function encode({ held, lease: _lease, ...entry }: Entry): Uint8Array {
  const { snapshot, previous, problem: _, ...rest } = held
  const cids = { snapshot: snapshot.toString(), previous: previous.toString() }
  return utf8(JSON.stringify({ v: 1, ...rest, ...cids, ...entry }))
}

/** Written by this node alone. */
function decode(tree: string, value: Uint8Array): Omit<Entry, 'lease'> | undefined {
  const { v, snapshot, previous, likeness, isRejected, takedowns, ...rest } = JSON.parse(
    Buffer.from(value).toString(),
  )
  if (v !== 1) return undefined
  const held: HeldBack = { ...rest, tree, snapshot: parseCid(snapshot), previous: parseCid(previous) }
  return { held, likeness, isRejected, takedowns }
}
