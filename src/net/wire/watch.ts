/**
 * Messages of `/mirrormesh/1/watch`: one stream a watch; the client ends it by closing the stream.
 *
 *   type  from    body
 *   0x01  client  WATCH: u16 tree length, tree, 33 bytes snapshot CID (codec and digest)
 *   0x81  server  COMPLETE: nothing
 *   0x82  server  UNKNOWN: nothing
 *   0x83  server  PAGES: runs of page numbers that are full
 *   0x84  server  BLOCKS: u32 page, runs of offsets
 *
 * Runs: u16 count, then count x (u32 first, u32 length), rising and apart; 65,536 numbers in all at most.
 */
import { MirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import { CID_KEY_BYTES } from '../../block/cid.ts'
import { MAX_TREE_NAME_BYTES, MAX_UPDATE_ENTRIES } from '../limits.ts'
import type { HoldingUpdate } from '../ports.ts'
import { cidField, FieldReader, treeField, u16, u32 } from './fields.ts'
import type { Frame, FrameLimits } from './frame.ts'
import { encodeFrame } from './frame.ts'

const WATCH = 0x01
const COMPLETE = 0x81
const UNKNOWN = 0x82
const PAGES = 0x83
const BLOCKS = 0x84

const RUN_BYTES = 8
const MAX_RUNS = 8_192

export const WATCH_TO_SERVER: FrameLimits = { [WATCH]: 2 + MAX_TREE_NAME_BYTES + CID_KEY_BYTES }
export const WATCH_TO_CLIENT: FrameLimits = {
  [COMPLETE]: 0,
  [UNKNOWN]: 0,
  [PAGES]: 2 + MAX_RUNS * RUN_BYTES,
  [BLOCKS]: 4 + 2 + MAX_RUNS * RUN_BYTES,
}

export interface WatchRequest {
  readonly tree: string
  readonly snapshot: Cid
}

export function encodeWatch(request: WatchRequest): Uint8Array {
  return encodeFrame(WATCH, [treeField(request.tree), cidField(request.snapshot)])
}

export function decodeWatch(body: Uint8Array): WatchRequest {
  const reader = new FieldReader(body, 'watch')
  const request = { tree: reader.tree(), snapshot: reader.cid() }
  reader.end()
  return request
}

/** One update may need several frames; each means the same on its own. */
export function encodeUpdate(update: HoldingUpdate): Uint8Array[] {
  switch (update.kind) {
    case 'complete':
      return [encodeFrame(COMPLETE, [])]
    case 'unknown':
      return [encodeFrame(UNKNOWN, [])]
    case 'pages':
      return encodeRuns(update.full).map((runs) => encodeFrame(PAGES, [runs]))
    case 'blocks':
      return encodeRuns(update.offsets).map((runs) => encodeFrame(BLOCKS, [u32(update.page), runs]))
  }
}

export function decodeUpdate({ type, body }: Frame): HoldingUpdate {
  const reader = new FieldReader(body, 'holding')
  if (type === COMPLETE) return { kind: 'complete' }
  if (type === UNKNOWN) return { kind: 'unknown' }
  if (type === PAGES) return { kind: 'pages', full: decodeRuns(reader) }
  return { kind: 'blocks', page: reader.u32(), offsets: decodeRuns(reader) }
}

function encodeRuns(numbers: readonly number[]): Uint8Array[] {
  const sorted = [...new Set(numbers)].sort((a, b) => a - b)
  const frames: Uint8Array[] = []
  let runs: Uint8Array[] = []
  let entries = 0
  const flush = (): void => {
    const body = new Uint8Array(2 + runs.length * RUN_BYTES)
    body.set(u16(runs.length))
    runs.forEach((run, i) => {
      body.set(run, 2 + i * RUN_BYTES)
    })
    frames.push(body)
    runs = []
    entries = 0
  }
  for (let i = 0; i < sorted.length; ) {
    const first = sorted[i]!
    let length = 1
    while (sorted[i + length] === first + length && entries + length < MAX_UPDATE_ENTRIES) length++
    const run = new Uint8Array(RUN_BYTES)
    run.set(u32(first))
    run.set(u32(length), 4)
    runs.push(run)
    entries += length
    i += length
    if (runs.length === MAX_RUNS || entries >= MAX_UPDATE_ENTRIES) flush()
  }
  // An empty update says something too: the peer has begun, and holds nothing yet.
  if (runs.length > 0 || frames.length === 0) flush()
  return frames
}

function decodeRuns(reader: FieldReader): number[] {
  const count = reader.u16()
  if (count * RUN_BYTES !== reader.left) throw new MirrorError('corrupt', 'malformed holding message: runs')
  const numbers: number[] = []
  let next = 0
  for (let i = 0; i < count; i++) {
    const first = reader.u32()
    const length = reader.u32()
    if (length < 1 || first < next || first + length > 2 ** 32) {
      throw new MirrorError('corrupt', 'malformed holding message: runs rise and do not overlap')
    }
    if (numbers.length + length > MAX_UPDATE_ENTRIES) {
      throw new MirrorError('limit', `a holding message names over ${MAX_UPDATE_ENTRIES} places`)
    }
    for (let n = first; n < first + length; n++) numbers.push(n)
    next = first + length
  }
  return numbers
}
