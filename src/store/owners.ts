/**
 * Through which trees a block came here. Blocks of trees that every member reads are everybody's, and nothing is kept about
 * them. A block that came through private trees alone is owned: its place in the index names the tree by which it came
 * first (by a number), and a mark stands for each further one. So a tree is never told of, and never gives, what came through another:
 * whoever lists the CIDs of a private tree in a tree of his own gets nothing (docs/decisions/0013-private-trees.md).
 *
 * Everybody's wins, and stays: what came through a public tree once may be had by every member for ever. Whatever is lost
 * of this (a crash, an index that is rebuilt from packs) leaves a block to fewer trees than before, never to more.
 */
import type { Index, IndexOperation, Place } from './index/index.ts'
import {
  ALL_TREES,
  blockIndexKey,
  encodeCount,
  encodePlace,
  marksOf,
  metaIndexKey,
  numberOfTreeKey,
  ownerMarkKey,
  treeIndexKey,
} from './index/index.ts'
import { NOBODY } from './pack.ts'

/** From here on the index says who owns what: a program that knows nothing of it must not open the store. */
export const OWNED_FORMAT = 3

export interface Owners {
  /** Undefined for a tree that never owned a block. */
  find(tree: string): number | undefined
  /** Its name; undefined for NOBODY. */
  nameOf(number: number): string | undefined
  /** Its number from now on. On disk with, or before, whatever is written afterwards. */
  register(tree: string): Promise<number>
}

export async function loadOwners(index: Index): Promise<Owners> {
  const numbers = new Map<string, number>()
  const names = new Map<number, string>()
  let last = NOBODY
  for await (const [key, value] of index.entries(ALL_TREES)) {
    const number = numberOfTreeKey(key)
    const name = Buffer.from(value).toString('utf8')
    numbers.set(name, number)
    names.set(number, name)
    last = Math.max(last, number)
  }
  const registering = new Map<string, Promise<number>>()

  async function add(tree: string): Promise<number> {
    const number = ++last
    await index.batch(
      [
        { type: 'put', key: treeIndexKey(number), value: new Uint8Array(Buffer.from(tree, 'utf8')) },
        { type: 'put', key: metaIndexKey('format'), value: encodeCount(OWNED_FORMAT) },
      ],
      { sync: false },
    )
    numbers.set(tree, number)
    names.set(number, tree)
    return number
  }

  return {
    find: (tree) => numbers.get(tree),
    nameOf: (number) => names.get(number),
    async register(tree) {
      const known = numbers.get(tree)
      if (known !== undefined) return known
      const adding = registering.get(tree) ?? add(tree).finally(() => registering.delete(tree))
      registering.set(tree, adding)
      return adding
    },
  }
}

/** Whose a block is that was `known` here and comes once more; undefined: everybody's. */
export function mergeOwners(known: number | undefined, next: number | undefined): number | undefined {
  if (known === undefined || next === undefined) return undefined
  return known === NOBODY ? next : known
}

/** Whether `next` needs a mark beside the owner that stays. */
export function needsMark(known: number | undefined, next: number | undefined): next is number {
  return known !== undefined && next !== undefined && known !== next && known !== NOBODY && next !== NOBODY
}

export function withOwner<T extends { readonly owner?: number }>(of: T, owner: number | undefined): T {
  if (of.owner === owner) return of
  const { owner: _, ...rest } = of
  return (owner === undefined ? rest : { ...rest, owner }) as T
}

/** What is to be written when a block that lies at `known` comes through `next` as well. */
export async function admission(
  index: Pick<Index, 'entries'>,
  key: Uint8Array,
  known: Place,
  next: number | undefined,
): Promise<IndexOperation[]> {
  const owner = mergeOwners(known.owner, next)
  if (owner !== known.owner) {
    const place = encodePlace(withOwner(known, owner))
    const put = { type: 'put', key: blockIndexKey(key), value: place } as const
    return owner === undefined ? [put, ...(await dropMarks(index, key))] : [put]
  }
  return needsMark(known.owner, next) ? [markFor(key, next)] : []
}

export function markFor(key: Uint8Array, tree: number): IndexOperation {
  return { type: 'put', key: ownerMarkKey(key, tree), value: new Uint8Array(0) }
}

/**
 * For a block that is lost, and may come back through another tree: the one that has it from before, and may count as complete,
 * sees it again then.
 */
export function markOwner(key: Uint8Array, { owner }: Pick<Place, 'owner'>): IndexOperation[] {
  return owner === undefined || owner === NOBODY ? [] : [markFor(key, owner)]
}

export async function dropMarks(index: Pick<Index, 'entries'>, key: Uint8Array): Promise<IndexOperation[]> {
  const operations: IndexOperation[] = []
  for await (const [mark] of index.entries(marksOf(key))) operations.push({ type: 'del', key: mark })
  return operations
}
