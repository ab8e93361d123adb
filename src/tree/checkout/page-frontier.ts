/** How far the pages of a block index are stored without a gap, for whoever goes through them in order. Pure. */

/** Of a page: which of its blocks came, by offset. */
export type NewBlocks = (offset: number) => boolean

export interface PageFrontier {
  /** A page is known. @param has which of its blocks were stored before anything was fetched */
  read(page: number, has: readonly boolean[]): void
  /** All of its blocks are stored. */
  stored(page: number): void
  /** Resolves when all pages up to this one are stored; they are asked for in order. Undefined at the end. */
  reaches(page: number): Promise<{ readonly isNew: NewBlocks | undefined } | undefined>
  isReached(page: number): boolean
  /** No more will be stored. */
  end(): void
}

/** Pages of a thousand blocks that are stored beyond a gap, and those whose new blocks are known. */
const MAX_BEYOND = 100_000
const MAX_NOTED = 20_000

export function createPageFrontier(): PageFrontier {
  /** The first page that is not stored. */
  let first = 0
  let isOver = false
  const beyond = new Set<number>()
  /** A bit for each block of the pages that were not full. */
  const news = new Map<number, Uint8Array>()
  let wake: (() => void) | undefined

  function end(): void {
    isOver = true
    beyond.clear()
    wake?.()
  }

  return {
    read(page, has) {
      if (isOver || news.size >= MAX_NOTED || has.every(Boolean)) return
      const bits = new Uint8Array(Math.ceil(has.length / 8))
      for (const [offset, isHere] of has.entries()) if (!isHere) bits[offset >>> 3]! |= 1 << (offset & 7)
      news.set(page, bits)
    },
    stored(page) {
      if (isOver) return
      beyond.add(page)
      while (beyond.delete(first)) first += 1
      wake?.()
      // A gap behind which so much is full already: what follows is left to others.
      if (beyond.size > MAX_BEYOND) end()
    },
    async reaches(page) {
      while (page >= first && !isOver) await new Promise<void>((resolve) => (wake = resolve))
      wake = undefined
      if (page >= first) return undefined
      const bits = news.get(page)
      news.delete(page - 1)
      return { isNew: bits && ((offset) => ((bits[offset >>> 3] ?? 0) & (1 << (offset & 7))) !== 0) }
    },
    isReached: (page) => page < first,
    end,
  }
}
