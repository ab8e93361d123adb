/**
 * Carries out takedowns at this site: what a takedown names stops to count as complete, durably, so that it is not served and
 * not fetched again; check-outs move away from it; then two collections, one after the other, take its blocks, but for those that
 * something else needs.
 * Only then it is done, which is written down and told. Whatever was killed in between is gone about again.
 *
 * A takedown by path also names what only this site knows to have the path: each snapshot that is complete here is looked at.
 */

import { hex, utf8 } from '../../base/bytes.ts'
import { type Clock, sleep } from '../../base/clock.ts'
import { asMirrorError, isMirrorError, MirrorError } from '../../base/errors.ts'
import { type Cid, cidKey } from '../../block/cid.ts'
import { lookUp } from '../../dag/reader.ts'
import { decodeSnapshot } from '../../dag/snapshot.ts'
import { type Takedown, takenDown } from '../../record/mesh-state.ts'
import type { BlockStore } from '../../store/block-store.ts'
import type { KeyValue } from '../../store/index/key-value.ts'
import type { ReplicaLog } from '../fetch-network.ts'
import type { CompleteSnapshots } from '../holdings/complete-snapshots.ts'
import type { Ledger } from '../records/ledger.ts'
import type { Withheld } from './withheld.ts'

export interface TakedownKeeperComponents {
  readonly ledger: Pick<Ledger, 'state' | 'subscribe'>
  readonly complete: Pick<CompleteSnapshots, 'list' | 'revoke' | 'shown'>
  readonly blocks: Pick<BlockStore, 'get' | 'leases'>
  /** Store.values. */
  readonly values: (namespace: string) => KeyValue
  /** Printed CIDs of the snapshots that lie in check-outs of pins. */
  readonly checkedOut: () => readonly string[]
  readonly collect: (signal: AbortSignal) => Promise<unknown>
  /** What lies outside of the store, fetched for readers: nobody knows of which snapshots. */
  readonly forgetPulled?: () => void
  /** What is kept from others until it is gone. */
  readonly withheld: Withheld
  readonly clock: Clock
  readonly logger: ReplicaLog
  /** Snapshots count as complete no longer, or a takedown is done. */
  readonly onChanged: () => void
}

export interface TakedownKeeper {
  start(): Promise<void>
  stop(): Promise<void>
  /** Something may have become complete here. */
  look(): void
  isGone(tree: string, snapshot: Cid): boolean
  /** A greater number whenever this site has found more that is gone; what the records say alone does not count. */
  revision(): number
  /** Of the takedowns in force that are done here, as `takedownId` makes them. */
  done(): readonly string[]
}

const RETRY_MS = 2000

/** How a takedown is named in what sites say. */
export function takedownId({ origin: { record } }: Takedown): string {
  return hex(record.multihash.digest).slice(0, 16)
}

export function createTakedownKeeper(components: TakedownKeeperComponents): TakedownKeeper {
  const { ledger, complete, blocks, values, checkedOut, collect, forgetPulled, withheld, clock } = components
  const { logger, onChanged } = components
  const stopped = new AbortController()
  const doneValues = values('takedowns-done')
  const foundValues = values('takedowns-found')
  const doneIds = new Set<string>()
  /** Collected once: what was on its way into the store meanwhile goes with the next. */
  const onceIds = new Set<string>()
  const forgottenIds = new Set<string>()
  /** Names of takedowns by what they found here: `tree/key of the CID`. */
  const found = new Map<string, string>()
  let revision = 0
  let working: Promise<void> | undefined
  let withholding = Promise.resolve()
  let isDue = false

  const inForce = (): Takedown[] => [...ledger.state().takedowns.values()].filter(({ body }) => !body.removed)
  const foundKey = (tree: string, snapshot: Cid): string => `${tree}/${cidKey(snapshot)}`

  function isGone(tree: string, snapshot: Cid): boolean {
    const state = ledger.state()
    if (state.takedowns.size === 0) return false
    const name = found.get(foundKey(tree, snapshot))
    if (name !== undefined && state.takedowns.get(name)?.body.removed === false) return true
    return takenDown(state, tree).has(cidKey(snapshot))
  }

  /** Of what is complete here, what a takedown means. */
  async function targetsOf({ body }: Takedown): Promise<Cid[]> {
    const listed = new Set(body.snapshots.map(cidKey))
    const history = ledger.state().trees.get(body.tree)?.history ?? []
    const targets: Cid[] = []
    for (const { tree, snapshot } of complete.list()) {
      if (tree !== body.tree) continue
      const sequence = history.findLast((head) => head.snapshot.equals(snapshot))?.sequence
      const mayHave = body.path !== null && (sequence ?? 0) <= body.through
      if (listed.has(cidKey(snapshot)) || (mayHave && (await hasPath(snapshot, body.path!))))
        targets.push(snapshot)
    }
    return targets
  }

  async function hasPath(snapshot: Cid, path: string): Promise<boolean> {
    const shown = complete.shown(snapshot)
    const bytes = await blocks.get(shown, stopped.signal)
    if (bytes === undefined) return false
    const names = path.split('/').map(utf8)
    return (await lookUp(blocks, decodeSnapshot(shown, bytes).root, names, stopped.signal)) !== undefined
  }

  /** True when nothing of it is left here. */
  async function carryOut(takedown: Takedown): Promise<boolean> {
    const { name, tree, reason } = takedown.body
    const targets = await targetsOf(takedown)
    // Before anything else: what is in use goes late, and is not given away meanwhile.
    await withholdAll()
    for (const snapshot of targets) {
      found.set(foundKey(tree, snapshot), name)
      revision++
      await foundValues.put(foundKey(tree, snapshot), utf8(name), { sync: true })
      await complete.revoke(tree, snapshot)
      logger.info({ tree, snapshot: snapshot.toString(), takedown: name, reason }, 'takedown.dropped')
    }
    if (targets.length > 0) onChanged()
    if (targets.length > 0 || !forgottenIds.has(takedownId(takedown))) {
      forgetPulled?.()
      forgottenIds.add(takedownId(takedown))
    }
    if (isInUse(tree)) return false
    forgetPulled?.()
    await collect(stopped.signal)
    // What was complete or in use by the time that the collection chose has stayed.
    return !isInUse(tree) && (await targetsOf(takedown)).length === 0
  }

  /** Beside the collections, which may take long: nothing of a tree is given before it is known what goes. */
  function withholdAll(): Promise<void> {
    const next = withholding.then(async () => {
      for (const takedown of inForce()) {
        const targets = await targetsOf(takedown)
        if (targets.length > 0 || !withheld.isListed(takedown)) {
          if (targets.length === 0 && doneIds.has(takedownId(takedown))) withheld.done(takedown)
          else await withhold(takedown, targets)
        }
      }
      const stays = complete.list().filter(({ tree, snapshot }) => !isGone(tree, snapshot))
      await withheld.spare(stays, stopped.signal)
    })
    withholding = next.catch(() => undefined)
    return next
  }

  /** Lists what goes, as far as it is here: also what a start finds half done. */
  async function withhold(takedown: Takedown, targets: readonly Cid[]): Promise<void> {
    const { tree } = takedown.body
    const isTarget = new Set(targets.map(cidKey))
    const means = (snapshot: Cid): boolean => isTarget.has(cidKey(snapshot)) || isGone(tree, snapshot)
    const wasHere = (snapshot: Cid): boolean =>
      isTarget.has(cidKey(snapshot)) || found.has(foundKey(tree, snapshot))
    const heads = ledger.state().trees.get(tree)?.history ?? []
    const known = new Map(
      [...takedown.body.snapshots, ...targets, ...heads.map(({ snapshot }) => snapshot)].map((each) => [
        cidKey(each),
        each,
      ]),
    )
    const gone = [...known.values()]
      .filter(means)
      .map((snapshot) => ({ snapshot, wasHere: wasHere(snapshot) }))
    const stays = complete
      .list()
      .flatMap((each) => (each.tree === tree && !means(each.snapshot) ? [each.snapshot] : []))
    await withheld.list(takedown, { gone, stays }, stopped.signal)
  }

  function isInUse(tree: string): boolean {
    const history = ledger.state().trees.get(tree)?.history ?? []
    const gone = new Set(
      history.filter(({ snapshot }) => isGone(tree, snapshot)).map(({ snapshot }) => snapshot.toString()),
    )
    // A client that reads a byte a minute would hold it up for days. What it gets less is missing, and its answer is cut.
    // What lies below single blocks may be anything.
    for (const { roots, below, end } of blocks.leases())
      if (below.length > 0 || roots.some((root) => gone.has(root.toString()))) end?.()
    return (
      checkedOut().some((snapshot) => gone.has(snapshot)) ||
      blocks.leases().some(({ roots }) => roots.some((root) => gone.has(root.toString())))
    )
  }

  async function work(): Promise<void> {
    for (;;) {
      isDue = false
      let isAnyLeft = false
      for (const takedown of inForce()) {
        const id = takedownId(takedown)
        try {
          if (doneIds.has(id) && (await targetsOf(takedown)).length === 0) continue
          if (!(await carryOut(takedown))) {
            isAnyLeft = true
            continue
          }
          if (!onceIds.has(id)) {
            onceIds.add(id)
            isAnyLeft = true
            continue
          }
          onceIds.delete(id)
          doneIds.add(id)
          await doneValues.put(id, utf8(takedown.body.name), { sync: true })
          withheld.done(takedown)
          logger.info({ tree: takedown.body.tree, takedown: takedown.body.name }, 'takedown.done')
          onChanged()
        } catch (error) {
          if (stopped.signal.aborted) return
          isAnyLeft = true
          if (isMirrorError(error, 'busy')) continue
          logger.warn(
            { takedown: takedown.body.name, err: asMirrorError(error, 'take down') },
            'takedown.failed',
          )
        }
      }
      if (!isAnyLeft && !isDue) return
      if (isAnyLeft) await sleep(clock, RETRY_MS, stopped.signal)
    }
  }

  /** What fails is gone about again with the takedown itself. */
  function withholdSoon(): void {
    withholdAll().catch((error) => {
      if (!stopped.signal.aborted)
        logger.warn({ err: asMirrorError(error, 'withhold what is taken down') }, 'takedown.failed')
    })
  }

  function look(): void {
    if (stopped.signal.aborted || ledger.state().takedowns.size === 0) return
    isDue = true
    working ??= work()
      .catch((error) => {
        if (!stopped.signal.aborted)
          logger.warn({ err: asMirrorError(error, 'take down') }, 'takedown.failed')
      })
      .finally(() => {
        working = undefined
        if (isDue) look()
      })
  }

  return {
    async start() {
      for await (const [id] of doneValues.entries()) doneIds.add(id)
      for await (const [key, value] of foundValues.entries()) found.set(key, Buffer.from(value).toString())
      revision++
      const end = ledger.subscribe(({ effects }) => {
        if (!effects.some(({ kind }) => kind === 'takedown')) return
        withholdSoon()
        look()
      })
      stopped.signal.addEventListener('abort', end)
      withholdSoon()
      look()
    },
    async stop() {
      stopped.abort(new MirrorError('aborted', 'the node is stopping'))
      await working
      await withholding
      withheld.close()
    },
    look,
    isGone,
    revision: () => revision,
    done: () =>
      inForce()
        .map(takedownId)
        .filter((id) => doneIds.has(id)),
  }
}
