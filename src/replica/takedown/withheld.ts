/**
 * What a takedown in force keeps from being given away while it is still in the store: to members by position, to clients by
 * position or CID. From the moment that the record is known until the collections have taken it, which a check-out may put off.
 *
 * Withheld is what the snapshots list that the takedown means (and the deltas that lead to them), but for what any other snapshot
 * lists that is complete here. In three steps, so that it holds at once and costs little:
 *
 * - until a takedown's blocks are listed, nothing of its tree is given, and nothing by its CID alone;
 * - then all of them are withheld, from the pages that no snapshot of the tree that stays has: mostly few;
 * - then those that other snapshots list are given again; what becomes complete later is looked at as well.
 * Who asks for something meanwhile waits, some seconds at most.
 *
 * In memory (spilled to scratch), made anew at each start. Where a crash cut a collection short, so that the lists of what is still
 * here are gone, it stays at the first step until the next collection ends.
 */
import { type Clock, sleep } from '../../base/clock.ts'
import { type Cid, cidKey } from '../../block/cid.ts'
import { decodeIndexNode } from '../../dag/block-index.ts'
import { decodeEncodings } from '../../dag/encodings.ts'
import { createFingerprintSet, type FingerprintSet } from '../../dag/fingerprint-set.ts'
import type { Scratch } from '../../dag/scratch.ts'
import { decodeSnapshot } from '../../dag/snapshot.ts'
import type { MeshState, Takedown } from '../../record/mesh-state.ts'
import type { BlockStore } from '../../store/block-store.ts'

/** That long somebody waits until it is known what is withheld. */
const MAX_WAIT_MS = 5_000

type Given = Pick<BlockStore, 'get' | 'getEncoded' | 'has'>

export interface Withheld {
  /**
   * The same blocks without what is withheld; of a tree, or of none: by CID. Asked anew with each block: a takedown may come at any
   * time.
   */
  from<T extends Given>(blocks: T, tree: string | undefined): T
  /** Lists what goes with these snapshots. `wereHere`: they were complete here, so that their lists should be. */
  list(takedown: Takedown, asked: ListRequest, signal: AbortSignal): Promise<void>
  /** Gives what other complete snapshots need. */
  spare(complete: readonly CompleteOne[], signal: AbortSignal): Promise<void>
  isListed(takedown: Takedown): boolean
  /** Its blocks are gone from the store. */
  done(takedown: Takedown): void
  close(): void
}

export interface ListRequest {
  readonly gone: readonly { readonly snapshot: Cid; readonly wasHere: boolean }[]
  /** Snapshots of the tree that stay. */
  readonly stays: readonly Cid[]
}

export interface CompleteOne {
  readonly tree: string
  readonly snapshot: Cid
}

interface Listed {
  readonly candidates: FingerprintSet
  /** Of them, what something else needs. */
  readonly spared: FingerprintSet
  /** Snapshots that were looked at for it. */
  readonly seen: Set<string>
  /** What is here of it cannot be told. */
  readonly isBlind: boolean
  /** What others need is spared. */
  isSettled: boolean
}

export function createWithheld({
  state,
  blocks,
  scratch,
  clock,
}: {
  readonly state: () => Pick<MeshState, 'takedowns' | 'trees'>
  readonly blocks: Pick<BlockStore, 'get'>
  readonly scratch?: Scratch | undefined
  readonly clock: Clock
}): Withheld {
  /** By the record: a takedown that is said anew is another. */
  const listed = new Map<string, Listed | 'done'>()
  let changed = Promise.withResolvers<void>()
  const keyOf = ({ origin: { record } }: Takedown): string => cidKey(record)

  function judge(tree: string | undefined, cid: Cid): 'given' | 'withheld' | 'not-known-yet' {
    const { takedowns } = state()
    let verdict: 'given' | 'not-known-yet' = 'given'
    for (const takedown of takedowns.values()) {
      if (takedown.body.removed) continue
      const found = listed.get(keyOf(takedown))
      if (found === 'done') continue
      if (found === undefined || found.isBlind) {
        if (tree !== undefined && tree !== takedown.body.tree) continue
        if (found !== undefined) return 'withheld'
        verdict = 'not-known-yet'
      } else if (found.candidates.has(cid) && !found.spared.has(cid)) {
        if (found.isSettled) return 'withheld'
        verdict = 'not-known-yet'
      }
    }
    return verdict
  }

  /** Whoever asks just then waits a little: who is told that a block is not here goes elsewhere, and does not come back. */
  async function areGiven(
    tree: string | undefined,
    cids: readonly Cid[],
    signal: AbortSignal | undefined,
  ): Promise<boolean[]> {
    if (state().takedowns.size === 0) return cids.map(() => true)
    let verdicts = cids.map((cid) => judge(tree, cid))
    const untilMs = clock.monotonicMs() + MAX_WAIT_MS
    while (verdicts.includes('not-known-yet') && clock.monotonicMs() < untilMs) {
      await Promise.race([changed.promise, sleep(clock, Math.max(1, untilMs - clock.monotonicMs()), signal)])
      verdicts = cids.map((cid) => judge(tree, cid))
    }
    return verdicts.map((verdict) => verdict === 'given')
  }

  function settle(found: Listed): void {
    if (found.isSettled) return
    found.isSettled = true
    tell()
  }

  function tell(): void {
    const before = changed
    changed = Promise.withResolvers<void>()
    before.resolve()
  }

  /** The nodes of an index from its root down, and what its pages list; a node of `known` is passed over with all below it. */
  async function eachOf(
    index: Cid,
    known: { add(cid: Cid): boolean },
    onCid: (cid: Cid) => void,
    { signal, areMissing, branchesOnly = false }: EachOptions,
  ): Promise<void> {
    const stack = [{ cid: index, level: undefined as number | undefined }]
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      const { cid, level } = next
      if (!known.add(cid)) continue
      onCid(cid)
      if (branchesOnly && level === 0) continue
      const bytes = await blocks.get(cid, signal)
      signal.throwIfAborted()
      if (bytes === undefined) {
        areMissing?.()
        continue
      }
      const node = decodeIndexNode(cid, bytes)
      if (node.kind === 'branch')
        for (const child of node.children) stack.push({ cid: child.cid, level: node.level - 1 })
      else if (!branchesOnly) for (const block of node.page.blocks) onCid(block.cid)
    }
  }

  async function indexOf(snapshot: Cid, signal: AbortSignal): Promise<Cid | undefined> {
    const bytes = await blocks.get(snapshot, signal)
    return bytes === undefined ? undefined : decodeSnapshot(snapshot, bytes).index
  }

  function drop(key: string): void {
    const found = listed.get(key)
    if (found === undefined || found === 'done') return
    found.candidates.close()
    found.spared.close()
    listed.delete(key)
  }

  return {
    from(source, tree) {
      return {
        ...source,
        async get(cid, signal) {
          const [may] = await areGiven(tree, [cid], signal)
          return may === true ? source.get(cid, signal) : undefined
        },
        async getEncoded(cids, signal) {
          const may = await areGiven(tree, cids, signal)
          if (may.every(Boolean)) return source.getEncoded(cids, signal)
          const found = await source.getEncoded(
            cids.filter((_, i) => may[i]),
            signal,
          )
          let at = 0
          return may.map((is) => (is ? found[at++] : undefined))
        },
        async has(cids) {
          const may = await areGiven(tree, cids, undefined)
          return (await source.has(cids)).map((is, i) => is && may[i] === true)
        },
      }
    },
    async list(takedown, { gone, stays }, signal) {
      const { tree } = takedown.body
      const candidates = createFingerprintSet({ scratch })
      const known = createFingerprintSet({ scratch })
      let isBlind = false
      try {
        // Whose pages a snapshot that stays has as well list nothing that could be withheld.
        for (const snapshot of stays) {
          const index = await indexOf(snapshot, signal)
          if (index !== undefined) await eachOf(index, known, () => undefined, { signal, branchesOnly: true })
        }
        const add = (cid: Cid): void => void candidates.add(cid)
        for (const { snapshot, wasHere } of gone) {
          const areMissing = (): void => {
            isBlind ||= wasHere
          }
          const index = await indexOf(snapshot, signal)
          if (index === undefined) {
            areMissing()
            continue
          }
          add(snapshot)
          await eachOf(index, known, add, { signal, areMissing })
          for (const { body } of state().trees.get(tree)?.encodings.get(snapshot.toString()) ?? []) {
            const bytes = body.set === null ? undefined : await blocks.get(body.set, signal)
            if (body.set === null || bytes === undefined) continue
            add(body.set)
            await eachOf(decodeEncodings(body.set, bytes).index, known, add, { signal })
          }
        }
      } catch (error) {
        candidates.close()
        throw error
      } finally {
        known.close()
      }
      drop(keyOf(takedown))
      const spared = createFingerprintSet({ scratch })
      listed.set(keyOf(takedown), { candidates, spared, seen: new Set(), isBlind, isSettled: false })
      tell()
    },
    async spare(complete, signal) {
      for (const [key, found] of [...listed]) {
        if (found === 'done') continue
        const left = complete.filter(({ tree, snapshot }) => !found.seen.has(`${tree}/${cidKey(snapshot)}`))
        if (left.length === 0 || found.candidates.size === 0) {
          settle(found)
          continue
        }
        const known = createFingerprintSet({ scratch })
        try {
          for (const { tree, snapshot } of left) {
            const index = await indexOf(snapshot, signal)
            const spare = (cid: Cid): void => {
              if (listed.get(key) === found && found.candidates.has(cid)) found.spared.add(cid)
            }
            if (index !== undefined) await eachOf(index, known, spare, { signal })
            found.seen.add(`${tree}/${cidKey(snapshot)}`)
          }
          settle(found)
        } finally {
          known.close()
        }
      }
    },
    isListed: (takedown) => listed.has(keyOf(takedown)),
    done(takedown) {
      drop(keyOf(takedown))
      listed.set(keyOf(takedown), 'done')
      tell()
    },
    close() {
      for (const key of [...listed.keys()]) drop(key)
    },
  }
}

interface EachOptions {
  readonly signal: AbortSignal
  readonly areMissing?: () => void
  /** Pages are named, and not read. */
  readonly branchesOnly?: boolean
}
