/**
 * Fingerprints that no longer fit in memory: runs in temporary storage, each sorted by its first word. Two runs of
 * about one size are merged into one, so n fingerprints lie in about log2(n / first run) runs, each was copied as often,
 * and a search reads one page of each. Memory is the first word of every page (1/64 byte a fingerprint) and a filter of
 * fixed size, which tells of nearly every fingerprint that is in no run that it is not: as long as there are fewer than
 * some ten million; with more, searches that could have been saved cost time and no memory.
 *
 * Kept exact by its caller: no fingerprint is added twice.
 */
import type { Scratch, ScratchFile } from './scratch.ts'

/** Four big-endian words of a digest. */
export const FINGERPRINT_WORDS = 4
const FINGERPRINT_BYTES = 4 * FINGERPRINT_WORDS
/** Fingerprints of a page: 4 KiB. */
const PAGE_ITEMS = 256
const PAGE_WORDS = PAGE_ITEMS * FINGERPRINT_WORDS
/** 13 bits each for ten million: of a hundred that are new four in a thousand are searched for in vain. */
const FILTER_BYTES = 16 * 1024 * 1024
const MERGE_PAGES = 64

export interface FingerprintRuns {
  has(a: number, b: number, c: number, d: number): boolean
  /** @param words fingerprints in ascending order of their first words, none of them here yet */
  add(words: Uint32Array): void
  close(): void
}

interface Run {
  readonly file: ScratchFile
  readonly items: number
  /** First word of the first fingerprint of each page. */
  readonly fences: Uint32Array
}

export function createFingerprintRuns(scratch: Scratch, filterBytes = FILTER_BYTES): FingerprintRuns {
  const filter = new Uint32Array(filterBytes / 4)
  const page = new Uint32Array(PAGE_WORDS)
  const pageBytes = new Uint8Array(page.buffer)
  /** Largest first. */
  const runs: Run[] = []

  /** Four bits of one 64-byte line of the filter; a digest's words are as good as random. */
  function isFiltered(b: number, c: number, d: number): boolean {
    const line = lineOf(b)
    for (let n = 0; n < 4; n++) {
      const bit = bitOf(c, d, n)
      if ((filter[line + (bit >>> 5)]! & (1 << (bit & 31))) === 0) return true
    }
    return false
  }

  function note(b: number, c: number, d: number): void {
    const line = lineOf(b)
    for (let n = 0; n < 4; n++) {
      const bit = bitOf(c, d, n)
      filter[line + (bit >>> 5)]! |= 1 << (bit & 31)
    }
  }

  const lineOf = (b: number): number => (b % (filter.length >>> 4)) << 4

  function readPage(run: Run, number: number): number {
    const items = Math.min(PAGE_ITEMS, run.items - number * PAGE_ITEMS)
    run.file.read(number * PAGE_ITEMS * FINGERPRINT_BYTES, pageBytes.subarray(0, items * FINGERPRINT_BYTES))
    return items
  }

  function isIn(run: Run, a: number, b: number, c: number, d: number): boolean {
    // From the last page that starts below `a`: one that starts with it may follow others that hold it.
    for (let number = lastBelow(run.fences, a); number < run.fences.length; number++) {
      if (run.fences[number]! > a) return false
      const items = readPage(run, number)
      for (let at = firstAtLeast(page, items, a) * FINGERPRINT_WORDS; ; at += FINGERPRINT_WORDS) {
        if (at >= items * FINGERPRINT_WORDS) break
        if (page[at] !== a) return false
        if (page[at + 1] === b && page[at + 2] === c && page[at + 3] === d) return true
      }
    }
    return false
  }

  function merge(left: Run, right: Run): Run {
    const out = createRunWriter(scratch.open(), left.items + right.items)
    const [x, y] = [createRunReader(left), createRunReader(right)]
    while (!x.isAtEnd || !y.isAtEnd) {
      const from = y.isAtEnd || (!x.isAtEnd && x.word(0) <= y.word(0)) ? x : y
      out.add(from.word(0), from.word(1), from.word(2), from.word(3))
      from.next()
    }
    left.file.close()
    right.file.close()
    return out.finish()
  }

  return {
    has(a, b, c, d) {
      if (isFiltered(b, c, d)) return false
      for (const run of runs) if (isIn(run, a, b, c, d)) return true
      return false
    },
    add(words) {
      const out = createRunWriter(scratch.open(), words.length / FINGERPRINT_WORDS)
      for (let at = 0; at < words.length; at += FINGERPRINT_WORDS) {
        const [a, b, c, d] = [words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!]
        out.add(a, b, c, d)
        note(b, c, d)
      }
      let run = out.finish()
      for (let last = runs.at(-1); last !== undefined && last.items < 2 * run.items; last = runs.at(-1)) {
        runs.pop()
        run = merge(last, run)
      }
      runs.push(run)
    },
    close() {
      for (const { file } of runs.splice(0)) file.close()
    },
  }
}

/** Nine bits each, out of 64 that the line was not chosen by. */
function bitOf(c: number, d: number, n: number): number {
  return n < 3 ? (c >>> (9 * n)) & 511 : d & 511
}

function createRunWriter(
  file: ScratchFile,
  items: number,
): { add(a: number, b: number, c: number, d: number): void; finish(): Run } {
  const words = new Uint32Array(MERGE_PAGES * PAGE_WORDS)
  const fences = new Uint32Array(Math.ceil(items / PAGE_ITEMS))
  let used = 0
  let added = 0
  const flush = (): void => {
    file.append(new Uint8Array(words.buffer, 0, 4 * used))
    used = 0
  }
  return {
    add(a, b, c, d) {
      if (added % PAGE_ITEMS === 0) fences[added / PAGE_ITEMS] = a
      added += 1
      words[used] = a
      words[used + 1] = b
      words[used + 2] = c
      words[used + 3] = d
      used += FINGERPRINT_WORDS
      if (used === words.length) flush()
    },
    finish() {
      flush()
      return { file, items, fences }
    },
  }
}

function createRunReader({ file, items }: Run): {
  readonly isAtEnd: boolean
  word(index: number): number
  next(): void
} {
  const words = new Uint32Array(MERGE_PAGES * PAGE_WORDS)
  let read = 0
  let filled = 0
  let at = 0
  function fill(): void {
    const wanted = Math.min(words.length / FINGERPRINT_WORDS, items - read)
    file.read(read * FINGERPRINT_BYTES, new Uint8Array(words.buffer, 0, wanted * FINGERPRINT_BYTES))
    read += wanted
    filled = wanted * FINGERPRINT_WORDS
    at = 0
  }
  fill()
  return {
    get isAtEnd() {
      return at === filled
    },
    word: (index) => words[at + index]!,
    next() {
      at += FINGERPRINT_WORDS
      if (at === filled && read < items) fill()
    },
  }
}

/** The last of the ascending fences that is below `a`; the first when none is. */
function lastBelow(fences: Uint32Array, a: number): number {
  let low = 0
  let high = fences.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (fences[middle]! < a) low = middle + 1
    else high = middle
  }
  return Math.max(0, low - 1)
}

/** Number of the first fingerprint of a page whose first word is `a` or greater. */
function firstAtLeast(page: Uint32Array, items: number, a: number): number {
  let low = 0
  let high = items
  while (low < high) {
    const middle = (low + high) >>> 1
    if (page[middle * FINGERPRINT_WORDS]! < a) low = middle + 1
    else high = middle
  }
  return low
}
