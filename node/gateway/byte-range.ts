/**
 * The Range header (RFC 9110 section 14): what to send of a file of a known size.
 *
 * A malformed header or another unit is ignored, as the RFC asks. Bounded: ranges that touch or overlap are joined, so
 * no request can make a response longer than the file; over 32 parts the whole header is refused.
 */

/** Bytes [startByte, endByte) of the file: the end is exclusive, unlike on the wire. */
export interface ByteRange {
  readonly startByte: number
  readonly endByte: number
}

export type RangeAnswer =
  | { readonly kind: 'whole' }
  | { readonly kind: 'unsatisfiable' }
  | { readonly kind: 'ranges'; readonly ranges: readonly ByteRange[] }

export const MAX_RANGES = 32
const WHOLE: RangeAnswer = { kind: 'whole' }
const UNSATISFIABLE: RangeAnswer = { kind: 'unsatisfiable' }

export function parseRange(header: string | undefined, sizeBytes: number): RangeAnswer {
  const match = /^bytes[ \t]*=(.*)$/i.exec(header ?? '')
  if (match === null) return WHOLE
  const specs = match[1]!.split(',').map((spec) => spec.trim())
  const ranges: ByteRange[] = []
  let count = 0
  for (const spec of specs) {
    if (spec === '') continue
    const parts = /^(\d*)-(\d*)$/.exec(spec)
    if (parts === null || (parts[1] === '' && parts[2] === '')) return WHOLE
    if (++count > MAX_RANGES) return UNSATISFIABLE
    const range = rangeOf(parts[1]!, parts[2]!, sizeBytes)
    if (range === 'malformed') return WHOLE
    if (range !== undefined) ranges.push(range)
  }
  if (count === 0) return WHOLE
  if (ranges.length === 0) return UNSATISFIABLE
  return { kind: 'ranges', ranges: joined(ranges) }
}

/** The value of Content-Range for `range`. */
export function contentRange(range: ByteRange, sizeBytes: number): string {
  return `bytes ${range.startByte}-${range.endByte - 1}/${sizeBytes}`
}

function rangeOf(first: string, last: string, sizeBytes: number): ByteRange | 'malformed' | undefined {
  // Digits beyond 2^53 lose their last places; they are past every file's end all the same.
  if (first === '') {
    const suffixBytes = Number(last)
    if (suffixBytes === 0 || sizeBytes === 0) return undefined
    return { startByte: Math.max(0, sizeBytes - suffixBytes), endByte: sizeBytes }
  }
  const startByte = Number(first)
  const lastByte = last === '' ? Number.POSITIVE_INFINITY : Number(last)
  if (lastByte < startByte) return 'malformed'
  if (startByte >= sizeBytes) return undefined
  return { startByte, endByte: Math.min(sizeBytes, lastByte + 1) }
}

/** Joins what touches. A request in disjoint parts keeps its order, which clients may rely on; else by offset. */
function joined(ranges: readonly ByteRange[]): readonly ByteRange[] {
  const sorted = ranges.toSorted((a, b) => a.startByte - b.startByte)
  const out: ByteRange[] = []
  for (const range of sorted) {
    const last = out.at(-1)
    if (last !== undefined && range.startByte <= last.endByte) {
      out[out.length - 1] = { startByte: last.startByte, endByte: Math.max(last.endByte, range.endByte) }
    } else {
      out.push(range)
    }
  }
  return out.length === ranges.length ? ranges : out
}
