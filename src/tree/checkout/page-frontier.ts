/** Which blocks of an index are stored, for whoever goes through them in order, behind a fetch. Pure. */

/** Of a page: which of its blocks came, by offset. */
export type NewBlocks = (offset: number) => boolean

/** What a fetch tells of the pages of its index. */
export interface PageListener {
  /** A page is read. @param has which of its blocks were stored before anything was fetched */
  read(page: number, has: readonly boolean[]): void
  /** These blocks of it are stored now. */
  arrived(page: number, offsets: readonly number[]): void
  /** All of them are. */
  stored(page: number): void
}

export interface PageFrontier extends PageListener {
  /** Whether the block is stored; page by page and offset by offset, -1 for the page itself. */
  isReached(page: number, offset: number): boolean
  /** Resolves when it is; false at the end. */
  reaches(page: number, offset: number): Promise<boolean>
  /** Undefined where nothing of the page is new, or that is not known. */
  newOf(page: number): NewBlocks | undefined
  /** It is not asked for any more. */
  pass(page: number): void
  /** No more will be stored. */
  end(): void
}

interface PageState {
  readonly has: Uint8Array
  /** Undefined when nothing is. */
  readonly isNew: Uint8Array | undefined
  /** The first block that is not stored. */
  first: number
}

/** Pages that are told of and not passed. A page is a thousand blocks. */
const MAX_STORED = 100_000
const MAX_READ = 20_000

export function createPageFrontier(): PageFrontier {
  const pages = new Map<number, PageState>()
  const full = new Set<number>()
  let isOver = false
  let wake: (() => void) | undefined

  function end(): void {
    isOver = true
    wake?.()
  }

  function isReached(page: number, offset: number): boolean {
    return full.has(page) || (pages.get(page)?.first ?? -2) > offset
  }

  return {
    read(page, has) {
      if (isOver || pages.size >= MAX_READ) return
      const isNew = has.every(Boolean) ? undefined : bitsOf(has.map((isHere) => !isHere))
      const first = has.indexOf(false)
      pages.set(page, { has: bitsOf(has), isNew, first: first < 0 ? has.length : first })
      wake?.()
    },
    arrived(page, offsets) {
      const state = pages.get(page)
      if (state === undefined) return
      for (const offset of offsets) state.has[offset >>> 3]! |= 1 << (offset & 7)
      const before = state.first
      while (hasBit(state.has, state.first)) state.first += 1
      if (state.first > before) wake?.()
    },
    stored(page) {
      if (isOver) return
      full.add(page)
      // Who goes through them is so far behind that what follows is left to others.
      if (full.size > MAX_STORED) end()
      wake?.()
    },
    isReached,
    async reaches(page, offset) {
      while (!isReached(page, offset) && !isOver) await new Promise<void>((resolve) => (wake = resolve))
      wake = undefined
      return isReached(page, offset)
    },
    newOf(page) {
      const bits = pages.get(page)?.isNew
      return bits && ((offset) => hasBit(bits, offset))
    },
    pass(page) {
      pages.delete(page)
      full.delete(page)
    },
    end,
  }
}

function bitsOf(flags: readonly boolean[]): Uint8Array {
  // One bit more, so that there is always one that is not set.
  const bits = new Uint8Array((flags.length >>> 3) + 1)
  for (const [at, flag] of flags.entries()) if (flag) bits[at >>> 3]! |= 1 << (at & 7)
  return bits
}

function hasBit(bits: Uint8Array, at: number): boolean {
  return ((bits[at >>> 3] ?? 0) & (1 << (at & 7))) !== 0
}
