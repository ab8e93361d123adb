/**
 * The order of a listing, by its query: `sort` is name, size or time, `order` is asc or desc. By name, rising, is how a
 * folder lies in the tree, so that alone is streamed whatever its size; every other order is made in memory, and only of
 * a folder of at most MAX_SORTED entries and for a few clients at a time. Over that the listing stays in the order of
 * names, and says so.
 */
import { compareBytes } from '../../src/base/bytes.ts'
import type { ListingRow } from './listing-row.ts'

export const MAX_SORTED = 10_000
const MAX_AT_A_TIME = 16

export const SORT_KEYS = ['name', 'size', 'time'] as const
export type SortKey = (typeof SORT_KEYS)[number]

export interface FolderOrder {
  readonly key: SortKey
  readonly isDescending: boolean
}

export const NAME_ORDER: FolderOrder = { key: 'name', isDescending: false }

/** Sizes and times begin with the largest and the newest unless `order` says otherwise. What is not known is by name. */
export function parseOrder(query: URLSearchParams): FolderOrder {
  const key = SORT_KEYS.find((known) => known === query.get('sort')) ?? 'name'
  const order = query.get('order')
  return { key, isDescending: order === null || order === '' ? key !== 'name' : order === 'desc' }
}

export function isNameOrder({ key, isDescending }: FolderOrder): boolean {
  return key === 'name' && !isDescending
}

type Rows = AsyncIterable<ListingRow> | Iterable<ListingRow>

let sorting = 0

/**
 * The rows in that order; dispose of it when they were sent.
 * @param readRows begins anew at each call
 */
export async function orderRows(
  readRows: () => Rows,
  order: FolderOrder,
  maxSorted = MAX_SORTED,
): Promise<{ readonly rows: Rows; readonly isSorted: boolean } & Disposable> {
  const asTheyLie = (isSorted: boolean) => ({ rows: readRows(), isSorted, [Symbol.dispose]: () => undefined })
  if (isNameOrder(order)) return asTheyLie(true)
  if (sorting >= MAX_AT_A_TIME) return asTheyLie(false)
  sorting++
  let isOver = false
  const end = (): void => {
    if (!isOver) sorting--
    isOver = true
  }
  try {
    const rows: ListingRow[] = []
    for await (const row of readRows()) {
      if (rows.length === maxSorted) {
        end()
        return asTheyLie(false)
      }
      rows.push(withoutContent(row))
    }
    return { rows: rows.sort(comparison(order)), isSorted: true, [Symbol.dispose]: end }
  } catch (error) {
    end()
    throw error
  }
}

/** What a small file has is not shown, and would be many times what is. */
function withoutContent(row: ListingRow): ListingRow {
  if (row.type !== 'file' || row.inline === undefined) return row
  const { inline: _inline, ...rest } = row
  return rest
}

/** Equal ones by name, rising, whatever the order. */
function comparison({ key, isDescending }: FolderOrder): (a: ListingRow, b: ListingRow) => number {
  const sign = isDescending ? -1 : 1
  if (key === 'name') return (a, b) => sign * compareBytes(a.name, b.name)
  const compare = key === 'size' ? bySize : byTime
  return (a, b) => sign * compare(a, b) || compareBytes(a.name, b.name)
}

function bySize(a: ListingRow, b: ListingRow): number {
  return sizeOf(a) - sizeOf(b)
}

/** Folders and links have none, and come before the smallest file. */
function sizeOf(row: ListingRow): number {
  return row.type === 'file' ? row.sizeBytes : -1
}

function byTime(a: ListingRow, b: ListingRow): number {
  if (a.type === 'folder' || b.type === 'folder')
    return Number(a.type !== 'folder') - Number(b.type !== 'folder')
  return a.mtimeSec - b.mtimeSec || a.mtimeNsec - b.mtimeNsec
}
