/**
 * The encodings of a snapshot against an older one of its tree (the base): which deltas there are, and what each is made of.
 * The deltas are blocks, listed by an index like a snapshot's; a plan node beside each page of it says for each of the page's
 * deltas which blocks it gives (the targets) and which it needs (of the base), by their places in the two snapshots' own indexes.
 *
 * It grows while deltas are made: each step makes a new object, which shares the pages and plan nodes of the one before, so
 * a delta's page and offset stay. Advisory: whoever uses a delta checks what it gives against the targets' CIDs.
 *
 * Two dag-cbor maps; docs/formats.md has the tables of their keys.
 */
import { MirrorError } from '../base/errors.ts'
import type { Block } from '../block/block.ts'
import type { Cid } from '../block/cid.ts'
import { cidOf, DAG_CBOR } from '../block/cid.ts'
import { CborReader } from './cbor-reader.ts'
import { CborWriter } from './cbor-writer.ts'
import { MAX_DELTA_BLOCKS, MAX_DELTA_RANGES, MAX_NODE_ITEMS } from './limits.ts'
import { checkTreeName } from './tree-name.ts'

/** `count` blocks from position `first` on in a snapshot's block index. */
export interface BlockRange {
  readonly first: number
  readonly count: number
}

export interface DeltaEntry {
  /** In the target's index, in the order of the delta's bytes; one block at least. */
  readonly targets: readonly BlockRange[]
  /** In the base's index, in the order of the dictionary's bytes; one block at least. */
  readonly base: readonly BlockRange[]
}

export interface Encodings {
  readonly tree: string
  /** Whose blocks the deltas give. */
  readonly snapshot: Cid
  /** Whose blocks they need; another than `snapshot`. */
  readonly base: Cid
  /** Root of the index of the deltas. */
  readonly index: Cid
  /** For each page of that index, in order, the plan node of its deltas; one at least. */
  readonly plan: readonly Cid[]
  /** Positions of the snapshot's index below this one get no further delta. */
  readonly decided: number
}

export const ENCODINGS_VERSION = 1
const MAX_TREE_BYTES = 1024
const KEYS = 8

/** @throws MirrorError `invalid` when a field is out of bounds */
export function encodeEncodings(encodings: Encodings): Block {
  const problem = problemOf(encodings)
  if (problem !== undefined)
    throw new MirrorError('invalid', `this set of encodings cannot be written: ${problem}`)
  const writer = new CborWriter(512 + 41 * encodings.plan.length)
  writer.map(KEYS)
  writer.text('k')
  writer.text('encodings')
  writer.text('v')
  writer.int(ENCODINGS_VERSION)
  writer.text('base')
  writer.cid(encodings.base)
  writer.text('plan')
  writer.array(encodings.plan.length)
  for (const node of encodings.plan) writer.cid(node)
  writer.text('tree')
  writer.text(checkTreeName(encodings.tree))
  writer.text('index')
  writer.cid(encodings.index)
  writer.text('decided')
  writer.int(encodings.decided)
  writer.text('snapshot')
  writer.cid(encodings.snapshot)
  return blockOf(writer)
}

/** @throws MirrorError `corrupt`, `limit`, or `unsupported` for a later version */
export function decodeEncodings(cid: Cid, bytes: Uint8Array): Encodings {
  const reader = new CborReader(bytes, () => `set of encodings ${cid.toString()}`)
  if (reader.map(KEYS) !== KEYS) throw reader.corrupt(`it has ${KEYS} keys`)
  readKind(reader, 'encodings', cid)
  reader.expectKey('base')
  const base = reader.cid()
  reader.expectKey('plan')
  const plan: Cid[] = []
  for (let left = reader.array(MAX_NODE_ITEMS); left > 0; left--) plan.push(reader.cid())
  reader.expectKey('tree')
  const tree = readTree(reader)
  reader.expectKey('index')
  const index = reader.cid()
  reader.expectKey('decided')
  const decided = reader.uint(Number.MAX_SAFE_INTEGER)
  reader.expectKey('snapshot')
  const snapshot = reader.cid()
  reader.end()
  const encodings = { tree, snapshot, base, index, plan, decided }
  const problem = problemOf(encodings)
  if (problem !== undefined) throw reader.corrupt(problem)
  return encodings
}

/** True for what `encodeEncodings` wrote, by its first bytes; whether it is sound, `decodeEncodings` says. */
export function isEncodings(bytes: Uint8Array): boolean {
  return HEAD.every((byte, at) => bytes[at] === byte)
}

/** @throws MirrorError `invalid` when an entry is out of bounds */
export function encodePlan(entries: readonly DeltaEntry[]): Block {
  if (entries.length === 0 || entries.length > MAX_NODE_ITEMS)
    throw new MirrorError('invalid', `a plan node has 1 to ${MAX_NODE_ITEMS} entries, not ${entries.length}`)
  const writer = new CborWriter(32 * entries.length)
  writer.map(3)
  writer.text('k')
  writer.text('plan')
  writer.text('v')
  writer.int(ENCODINGS_VERSION)
  writer.text('items')
  writer.array(entries.length)
  for (const { targets, base } of entries) {
    writer.array(2)
    for (const ranges of [targets, base]) {
      const problem = problemOfRanges(ranges)
      if (problem !== undefined) throw new MirrorError('invalid', `a delta cannot be planned: ${problem}`)
      writer.array(2 * ranges.length)
      for (const { first, count } of ranges) {
        writer.int(first)
        writer.int(count)
      }
    }
  }
  return blockOf(writer)
}

/** @throws MirrorError `corrupt`, `limit`, or `unsupported` for a later version */
export function decodePlan(cid: Cid, bytes: Uint8Array): DeltaEntry[] {
  const reader = new CborReader(bytes, () => `plan node ${cid.toString()}`)
  if (reader.map(3) !== 3) throw reader.corrupt('it has three keys')
  readKind(reader, 'plan', cid)
  reader.expectKey('items')
  const entries: DeltaEntry[] = []
  for (let left = reader.array(MAX_NODE_ITEMS); left > 0; left--) {
    if (reader.array(2) !== 2) throw reader.corrupt('an entry has targets and a base')
    entries.push({ targets: readRanges(reader), base: readRanges(reader) })
  }
  reader.end()
  if (entries.length === 0) throw reader.corrupt('it has no entries')
  return entries
}

function readRanges(reader: CborReader): BlockRange[] {
  const numbers = reader.array(2 * MAX_DELTA_RANGES)
  if (numbers % 2 !== 0) throw reader.corrupt('a range has two numbers')
  const ranges: BlockRange[] = []
  for (let left = numbers / 2; left > 0; left--) {
    const first = reader.uint(Number.MAX_SAFE_INTEGER - MAX_DELTA_BLOCKS)
    ranges.push({ first, count: reader.uint(MAX_DELTA_BLOCKS) })
  }
  const problem = problemOfRanges(ranges)
  if (problem !== undefined) throw reader.corrupt(problem)
  return ranges
}

function problemOfRanges(ranges: readonly BlockRange[]): string | undefined {
  if (ranges.length === 0 || ranges.length > MAX_DELTA_RANGES)
    return `${ranges.length} ranges where 1 to ${MAX_DELTA_RANGES} are allowed`
  let blocks = 0
  for (const { first, count } of ranges) {
    if (!Number.isSafeInteger(first + count) || first < 0 || count < 1)
      return `a range of ${count} from ${first}`
    blocks += count
  }
  return blocks > MAX_DELTA_BLOCKS ? `${blocks} blocks where ${MAX_DELTA_BLOCKS} are the most` : undefined
}

function problemOf({ snapshot, base, index, plan, decided }: Encodings): string | undefined {
  if (plan.length === 0 || plan.length > MAX_NODE_ITEMS)
    return `${plan.length} plan nodes where 1 to ${MAX_NODE_ITEMS} are allowed`
  if ([snapshot, base, index, ...plan].some(({ code }) => code !== DAG_CBOR))
    return 'a link is no dag-cbor node'
  if (snapshot.equals(base)) return 'a snapshot is no base of itself'
  return Number.isSafeInteger(decided) && decided >= 0 ? undefined : `${decided} positions are decided`
}

function readKind(reader: CborReader, kind: string, cid: Cid): void {
  reader.expectKey('k')
  const found = reader.text(16)
  reader.expectKey('v')
  const version = reader.uint(Number.MAX_SAFE_INTEGER)
  if (found !== kind) throw reader.corrupt('it is something else')
  if (version === ENCODINGS_VERSION) return
  throw new MirrorError('unsupported', `${kind} node ${cid.toString()} has format version ${version}`, {
    hint: 'Upgrade this node: the deltas were made by a newer version.',
  })
}

function readTree(reader: CborReader): string {
  const name = reader.text(MAX_TREE_BYTES)
  try {
    return checkTreeName(name)
  } catch (error) {
    throw new MirrorError('corrupt', 'a set of encodings names no tree', { cause: error })
  }
}

function blockOf(writer: CborWriter): Block {
  const bytes = writer.copy()
  return { cid: cidOf(DAG_CBOR, bytes), bytes }
}

const HEAD = (() => {
  const writer = new CborWriter(32)
  writer.map(KEYS)
  writer.text('k')
  writer.text('encodings')
  return writer.copy()
})()
