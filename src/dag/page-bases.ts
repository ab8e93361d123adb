/**
 * Which nodes of an older snapshot's index a node of a newer one resembles: those that list what was at the same place.
 * A place is a number of blocks from the start, moved by as many as were added or taken away before it: nodes that both
 * indexes have tell by how many. Nodes that both have are nobody's base: an index has each block once.
 *
 * Holds the older index's nodes, 100 to 150 bytes for each thousand blocks; an index with more than MAX_NODES of them has
 * no bases. A wrong guess costs nothing but what it saves.
 */
import type { Cid } from '../block/cid.ts'
import { cidKey } from '../block/cid.ts'
import type { PageRef } from './block-index.ts'
import { decodeIndexNode } from './block-index.ts'
import type { NodeSource } from './source.ts'

export interface PageBases {
  /** In the order of the older index; none for a node that is not expected, or whose like is not known. */
  basesOf(node: Cid): readonly Cid[]
  /** A node of the newer index was read: what is below it is expected from now on. Branches in order. */
  note(node: Cid, bytes: Uint8Array): void
}

export const MAX_BASES = 4
const MAX_NODES = 65_536

/** Nodes of one level in order, each with the number of blocks before it. */
interface Level {
  readonly cids: Cid[]
  readonly starts: number[]
  readonly at: Map<string, number>
  blocks: number
}

/** @returns undefined for an older index that is too large, or not all here */
export async function loadPageBases(
  source: NodeSource,
  { target, base }: { readonly target: Cid; readonly base: Cid },
  signal?: AbortSignal,
): Promise<PageBases | undefined> {
  const levels = await readLevels(source, base, signal)
  return levels && createPageBases(levels, { target, base })
}

function createPageBases(
  levels: readonly Level[],
  { target, base }: { readonly target: Cid; readonly base: Cid },
): PageBases {
  const bases = new Map<string, readonly Cid[]>([[cidKey(target), [base]]])
  /** Where branches that are expected start. */
  const branches = new Map<string, number>([[cidKey(target), 0]])
  /** By level: how far to the right of its place in the newer index the last common node was in the older one. */
  const drifts: number[] = levels.map(() => 0)

  function expect(level: number, children: readonly PageRef[], firstStart: number): void {
    const known = levels[level]
    const keys = children.map(({ cid }) => cidKey(cid))
    const starts: number[] = []
    let start = firstStart
    for (const { blocks } of children) {
      starts.push(start)
      start += blocks
    }
    if (level > 0) for (const [i, key] of keys.entries()) branches.set(key, starts[i]!)
    if (known === undefined) return
    const common = keys.map((key) => known.at.get(key))
    const shared = new Set(common)
    /** Of the next common node, for each. */
    const after: (number | undefined)[] = []
    for (let i = children.length - 1; i >= 0; i--) {
      const place = common[i]
      after[i] = place === undefined ? after[i + 1] : known.starts[place]! - starts[i]!
    }
    for (const [i, place] of common.entries()) {
      if (place !== undefined) {
        drifts[level] = known.starts[place]! - starts[i]!
        continue
      }
      const before = drifts[level]!
      const [from, to] = [starts[i]!, starts[i]! + children[i]!.blocks]
      const found = new Set<number>()
      for (const drift of [before, after[i] ?? before])
        for (const at of overlapping(known, from + drift, to + drift)) if (!shared.has(at)) found.add(at)
      const chosen = [...found].toSorted((a, b) => a - b).slice(0, MAX_BASES)
      if (chosen.length > 0)
        bases.set(
          keys[i]!,
          chosen.map((at) => known.cids[at]!),
        )
    }
  }

  return {
    basesOf: (node) => bases.get(cidKey(node)) ?? [],
    note(node, bytes) {
      const key = cidKey(node)
      bases.delete(key)
      const start = branches.get(key)
      if (start === undefined) return
      branches.delete(key)
      const decoded = decodeIndexNode(node, bytes)
      if (decoded.kind === 'branch') expect(decoded.level - 1, decoded.children, start)
    },
  }
}

/** At most MAX_BASES, from the first on. */
function overlapping({ starts, blocks }: Level, from: number, to: number): number[] {
  let low = 0
  let high = starts.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((starts[middle + 1] ?? blocks) <= from) low = middle + 1
    else high = middle
  }
  const found: number[] = []
  for (let at = low; at < starts.length && starts[at]! < to && found.length < MAX_BASES; at++) found.push(at)
  return found
}

/** Pages are not read, but for an index of a single one. */
async function readLevels(
  source: NodeSource,
  root: Cid,
  signal: AbortSignal | undefined,
): Promise<readonly Level[] | undefined> {
  const levels: Level[] = []
  const rootBytes = await source.get(root, signal)
  if (rootBytes === undefined) return undefined
  const first = decodeIndexNode(root, rootBytes)
  const add = (level: number, { cid, blocks }: Pick<PageRef, 'cid' | 'blocks'>): void => {
    levels[level] ??= { cids: [], starts: [], at: new Map(), blocks: 0 }
    const to = levels[level]
    to.at.set(cidKey(cid), to.cids.length)
    to.cids.push(cid)
    to.starts.push(to.blocks)
    to.blocks += blocks
  }
  const stack: { cid: Cid; blocks: number; level: number }[] = [
    first.kind === 'page'
      ? { cid: root, blocks: first.page.blocks.length, level: 0 }
      : {
          cid: root,
          blocks: first.children.reduce((sum, { blocks }) => sum + blocks, 0),
          level: first.level,
        },
  ]
  let count = 0
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    if (++count > MAX_NODES) return undefined
    const { cid, level } = next
    add(level, next)
    if (level === 0) continue
    const bytes = await source.get(cid, signal)
    if (bytes === undefined) return undefined
    const node = decodeIndexNode(cid, bytes)
    if (node.kind !== 'branch' || node.level !== level) return undefined
    for (const child of [...node.children].reverse()) stack.push({ ...child, level: level - 1 })
  }
  return levels
}
