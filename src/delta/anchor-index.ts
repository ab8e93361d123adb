/** Where in the base the anchors of some of its bytes lie, and what places that gives for new bytes. */
import { visitAnchors } from './anchors.ts'
import type { BaseSpan } from './place-blocks.ts'

export interface AnchorIndex {
  readonly anchors: number
  /** Of an anchor that occurs several times the first counts. When it is full, nothing is added. */
  add(bytes: Uint8Array, address: number): void
  /** For each block of a run, where its like lies; undefined where too few anchors agree. */
  locate(run: Uint8Array, lengths: readonly number[]): (BaseSpan | undefined)[]
}

/** Of anchors that agree, the places lie within this of each other. */
const AGREE_BYTES = 64 * 1024
/** One may be chance: a common table, a licence. */
const LEAST_ANCHORS = 2

export function createAnchorIndex(maxAnchors: number): AnchorIndex {
  const addresses = new Map<number, number>()

  function placeOf(shifts: number[], start: number, lengthBytes: number): BaseSpan | undefined {
    const shift = densest(shifts)
    if (shift === undefined) return undefined
    const from = Math.max(0, start + shift)
    return { from, to: Math.max(from, start + shift + lengthBytes) }
  }

  return {
    get anchors() {
      return addresses.size
    },
    add(bytes, address) {
      visitAnchors(bytes, (hash, offset) => {
        if (addresses.size < maxAnchors && !addresses.has(hash)) addresses.set(hash, address + offset)
      })
    },
    locate(run, lengths) {
      const ends: number[] = []
      let sum = 0
      for (const length of lengths) {
        sum += length
        ends.push(sum)
      }
      const shifts: number[][] = lengths.map(() => [])
      let block = 0
      visitAnchors(run, (hash, offset) => {
        while (offset > ends[block]!) block += 1
        const address = addresses.get(hash)
        if (address !== undefined) shifts[block]!.push(address - offset)
      })
      return lengths.map((length, at) => placeOf(shifts[at]!, ends[at]! - length, length))
    },
  }
}

/** The middle of the most that lie within AGREE_BYTES of each other. */
function densest(values: number[]): number | undefined {
  values.sort((a, b) => a - b)
  let [best, bestCount] = [0, 0]
  for (let start = 0, end = 0; start < values.length; start++) {
    while (end < values.length && values[end]! - values[start]! <= AGREE_BYTES) end += 1
    if (end - start > bestCount) [best, bestCount] = [start, end - start]
  }
  return bestCount < LEAST_ANCHORS ? undefined : values[best + (bestCount >> 1)]
}
