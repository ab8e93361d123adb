/** The blocks of the simulated snapshot: pages of lengths, and a number for each block. */
import { blake3 } from '../../src/block/hash.ts'

export interface SnapshotLayout {
  readonly pages: readonly (readonly number[])[]
  readonly keys: readonly Uint8Array[]
  readonly blocks: number
  readonly bytes: number
  blockOf(page: number, offset: number): number
}

export function layOut(pages: readonly (readonly number[])[]): SnapshotLayout {
  const first = new Uint32Array(pages.length)
  let blocks = 0
  let bytes = 0
  for (const [page, lengths] of pages.entries()) {
    first[page] = blocks
    blocks += lengths.length
    for (const length of lengths) bytes += length
  }
  return {
    pages,
    keys: pages.map((_, page) => blake3.digest(new TextEncoder().encode(`page ${page}`))),
    blocks,
    bytes,
    blockOf: (page, offset) => first[page]! + offset,
  }
}

/** Blocks of `blockBytes` each, the last one shorter. */
export function evenPages(bytes: number, blockBytes: number, blocksPerPage = 1024): number[][] {
  const pages: number[][] = []
  for (let at = 0; at < bytes; at += blockBytes) {
    if (pages.at(-1) === undefined || pages.at(-1)!.length === blocksPerPage) pages.push([])
    pages.at(-1)!.push(Math.min(blockBytes, bytes - at))
  }
  return pages
}
