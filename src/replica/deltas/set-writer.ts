/**
 * Writes the set of encodings of one pair of snapshots, step by step: deltas are stored as they come; with each step their
 * page, its plan node and a larger set are written and flushed, and only then told and given away. So whoever hears of
 * a set finds all of it, and killed in between, the step before stands.
 *
 * Closed, it lets go of what no record names: the caller signs each set before it goes on.
 */
import { MirrorError } from '../../base/errors.ts'
import type { Block } from '../../block/block.ts'
import type { Cid } from '../../block/cid.ts'
import { cidOf, RAW } from '../../block/cid.ts'
import type { IndexedBlock, PageRef } from '../../dag/block-index.ts'
import { encodeBranch, encodePage } from '../../dag/block-index.ts'
import { type DeltaEntry, decodeEncodings, encodeEncodings, encodePlan } from '../../dag/encodings.ts'
import { MAX_NODE_ITEMS } from '../../dag/limits.ts'
import { listPages } from '../../dag/reader.ts'
import { getBlock } from '../../dag/source.ts'
import { MAX_SET_DELTAS, type MadeDelta } from '../../delta/delta.ts'
import type { BlockStore } from '../../store/block-store.ts'
import { encodingsName } from '../fetch/encodings-name.ts'
import type { Holdings } from '../holdings/holdings.ts'

export interface SetState {
  /** Undefined as long as there are no deltas. */
  readonly set: Cid | undefined
  readonly deltas: number
  /** Of the deltas. */
  readonly bytes: number
  /** Plain bytes of what they give. */
  readonly targetBytes: number
  /** Positions of the target below this one get no further delta. */
  readonly decided: number
}

export interface SetWriter {
  state(): SetState
  /** True when one more delta would be too many. */
  isFull(): boolean
  /** Stores it; it counts with the next step. */
  add(delta: MadeDelta): Promise<void>
  /** Positions below this one have been gone through. */
  decide(position: number): void
  /** Writes what was added since the last step, durably. */
  step(): Promise<SetState>
  close(): void
}

export interface SetWriterOptions {
  readonly tree: string
  readonly snapshot: Cid
  readonly base: Cid
  /** One written before, to go on from. */
  readonly from?: { readonly set: Cid; readonly bytes: number; readonly targetBytes: number }
  readonly signal?: AbortSignal
}

/** Far under what a reader takes, and a page that a step fills is told at once. */
export const PAGE_DELTAS = 1024

export async function openSetWriter(
  { blocks, holdings }: { readonly blocks: BlockStore; readonly holdings: Holdings },
  { tree, snapshot, base, from, signal }: SetWriterOptions,
): Promise<SetWriter> {
  const pages: PageRef[] = []
  const plan: Cid[] = []
  let pending: { block: IndexedBlock; entry: DeltaEntry; targetBytes: number }[] = []
  let state: SetState = { set: undefined, deltas: 0, bytes: 0, targetBytes: 0, decided: 0 }
  let decided = 0
  const lease = blocks.lease({ purpose: `make deltas of ${tree}`, isWriter: true, roots: [snapshot, base] })
  let holding: ReturnType<Holdings['begin']>
  try {
    if (from !== undefined) await readBack(from)
    holding = holdings.begin(tree, encodingsName(tree, snapshot, base))
  } catch (error) {
    lease.close()
    throw error
  }
  for (const [number, { cid, blocks: count }] of pages.entries()) tellPage(number, cid, count)

  async function readBack(before: NonNullable<SetWriterOptions['from']>): Promise<void> {
    const bytes = await getBlock(blocks, before.set, 'set of encodings', signal)
    const set = decodeEncodings(before.set, bytes)
    for await (const ref of listPages(blocks, set.index, signal)) pages.push(ref)
    if (pages.length !== set.plan.length)
      throw new MirrorError('corrupt', `the set of encodings ${before.set.toString()} is not right`)
    plan.push(...set.plan)
    decided = set.decided
    const deltas = pages.reduce((sum, page) => sum + page.blocks, 0)
    state = { ...before, deltas, decided }
    lease.protect(before.set)
  }

  function tellPage(number: number, cid: Cid, count: number): void {
    holding.addPage(number, cid, new Array<boolean>(count).fill(true))
  }

  async function write(block: Block): Promise<Cid> {
    await blocks.put([block], { verified: true })
    await holdings.allow(tree, block.cid)
    return block.cid
  }

  async function writePage(items: typeof pending): Promise<void> {
    const listed = items.map(({ block }) => block)
    const cid = await write(encodePage(listed))
    plan.push(await write(encodePlan(items.map(({ entry }) => entry))))
    const sizeBytes = listed.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0)
    pages.push({ cid, blocks: listed.length, sizeBytes })
  }

  return {
    state: () => state,
    isFull: () =>
      state.deltas + pending.length >= MAX_SET_DELTAS ||
      pages.length + Math.ceil(pending.length / PAGE_DELTAS) >= MAX_NODE_ITEMS,
    async add({ bytes, plainBytes, targets, base: window }) {
      const cid = cidOf(RAW, bytes)
      await blocks.put([{ cid, bytes }], { verified: true })
      const block = { cid, lengthBytes: bytes.length }
      pending.push({ block, entry: { targets, base: window }, targetBytes: plainBytes })
      for (const { first, count } of targets) decided = Math.max(decided, first + count)
    },
    decide(position) {
      decided = Math.max(decided, position)
    },
    async step() {
      if (pending.length === 0 && decided === state.decided) return state
      const items = pending
      pending = []
      const told = pages.length
      for (let at = 0; at < items.length; at += PAGE_DELTAS)
        await writePage(items.slice(at, at + PAGE_DELTAS))
      if (pages.length === 0) return state
      const index = pages.length === 1 ? pages[0]!.cid : await write(encodeBranch(pages))
      const set = await write(encodeEncodings({ tree, snapshot, base, index, plan, decided }))
      await blocks.flush()
      lease.protect(set)
      state = {
        set,
        deltas: state.deltas + items.length,
        bytes: state.bytes + items.reduce((sum, { block }) => sum + block.lengthBytes, 0),
        targetBytes: state.targetBytes + items.reduce((sum, each) => sum + each.targetBytes, 0),
        decided,
      }
      for (let number = told; number < pages.length; number++)
        tellPage(number, pages[number]!.cid, pages[number]!.blocks)
      return state
    },
    close() {
      holding.end()
      lease.close()
    },
  }
}
