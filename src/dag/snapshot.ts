/**
 * A snapshot: one immutable version of a tree. Its root entry leads to everything that a check-out writes; its index
 * lists the blocks below that root (not the index's own nodes, nor the snapshot). Times of import and the parent are
 * part of the snapshot but not of its root: an unchanged tree gives the same root and the same index again.
 *
 * A dag-cbor map; docs/formats.md has the table of its keys.
 */
import { MirrorError } from '../base/errors.ts'
import type { Block } from '../block/block.ts'
import type { ChunkerParams } from '../block/chunker.ts'
import { checkChunkerParams, MAX_INLINE_BYTES } from '../block/chunker.ts'
import type { Cid } from '../block/cid.ts'
import { cidOf, DAG_CBOR } from '../block/cid.ts'
import { CborReader } from './cbor-reader.ts'
import { CborWriter } from './cbor-writer.ts'
import type { Entry } from './entry.ts'
import { isSpecial, readEntry, writeEntry } from './entry.ts'
import { isIgnoreRule } from './ignore-rule.ts'
import {
  MAX_IGNORE_BYTES,
  MAX_IGNORE_RULES,
  MAX_NOTE_BYTES,
  MAX_NOTE_KEY_BYTES,
  MAX_NOTES,
  MAX_REASON_BYTES,
  MAX_SNAPSHOT_BYTES,
  MAX_UNCAPTURED_LISTED,
  MAX_UNCAPTURED_PATH_BYTES,
} from './limits.ts'
import { checkTreeName } from './tree-name.ts'

export interface SnapshotCounts {
  readonly files: number
  readonly directories: number
  readonly symlinks: number
  /** Fifos, sockets and devices; absent when there are none. */
  readonly specials?: number
  /** Sum of the file sizes. */
  readonly bytes: number
  /** Of the block index: each block once. */
  readonly blocks: number
  readonly blockBytes: number
}

export interface Uncaptured {
  readonly count: number
  /** The first of them, 100 at most; paths in printable form. */
  readonly first: readonly { readonly path: string; readonly reason: string }[]
}

export interface Snapshot {
  readonly tree: string
  /** Its name is empty. */
  readonly root: Entry
  readonly index: Cid
  /** The snapshot that this one was made after. */
  readonly parent?: Cid
  readonly createdMs: number
  readonly chunker: ChunkerParams
  readonly counts: SnapshotCounts
  readonly uncaptured: Uncaptured
  /** The publisher's own facts: keys of `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`, values of text. */
  readonly notes: Readonly<Record<string, string>>
  /** Rules in gitignore syntax by which entries of the source were left out; absent when there were none. */
  readonly ignore?: readonly string[]
}

/** Of a snapshot whose small files lie in its directories; one without has version 1. */
export const SNAPSHOT_VERSION = 2
/** Keys that each snapshot has; a parent and ignore rules come on top. */
const KEYS = 10

const NOTE_KEY = /^[A-Za-z0-9][A-Za-z0-9._-]*$/
/** In canonical order: shorter first, then by bytes. */
const COUNTS = ['bytes', 'files', 'blocks', 'specials', 'symlinks', 'blockBytes', 'directories'] as const
const SIZES = [
  ['avg', 'avgBytes'],
  ['max', 'maxBytes'],
  ['min', 'minBytes'],
] as const
const MAX_TREE_BYTES = 1024

/** @throws MirrorError `invalid` when a field is out of bounds */
export function encodeSnapshot(snapshot: Snapshot): Block {
  const problem = problemOf(snapshot)
  if (problem !== undefined) throw new MirrorError('invalid', `this snapshot cannot be written: ${problem}`)
  checkTreeName(snapshot.tree)
  const chunker = checkChunkerParams(snapshot.chunker)
  const { counts, uncaptured, parent, ignore } = snapshot
  const notes = sortedNotes(snapshot.notes)

  const writer = new CborWriter(1024)
  writer.map(KEYS + (parent === undefined ? 0 : 1) + (ignore === undefined ? 0 : 1))
  writer.text('k')
  writer.text('snapshot')
  writer.text('v')
  writer.int(chunker.inlineBytes === undefined ? 1 : SNAPSHOT_VERSION)
  writer.text('root')
  writeEntry(writer, snapshot.root)
  writer.text('tree')
  writer.text(snapshot.tree)
  writer.text('index')
  writer.cid(snapshot.index)
  writer.text('notes')
  writer.map(notes.length)
  for (const [key, value] of notes) {
    writer.text(key)
    writer.text(value)
  }
  writer.text('counts')
  writer.map(counts.specials === undefined ? COUNTS.length - 1 : COUNTS.length)
  for (const name of COUNTS) {
    const count = counts[name]
    if (count === undefined) continue
    writer.text(name)
    writer.int(count)
  }
  if (ignore !== undefined) {
    writer.text('ignore')
    writer.array(ignore.length)
    for (const rule of ignore) writer.text(rule)
  }
  if (parent !== undefined) {
    writer.text('parent')
    writer.cid(parent)
  }
  writer.text('chunker')
  writer.map(SIZES.length + (chunker.inlineBytes === undefined ? 1 : 2))
  for (const [key, name] of SIZES) {
    writer.text(key)
    writer.int(chunker[name])
  }
  writer.text('kind')
  writer.text(chunker.kind)
  if (chunker.inlineBytes !== undefined) {
    writer.text('inline')
    writer.int(chunker.inlineBytes)
  }
  writer.text('created')
  writer.int(snapshot.createdMs)
  writer.text('uncaptured')
  writer.map(2)
  writer.text('count')
  writer.int(uncaptured.count)
  writer.text('first')
  writer.array(uncaptured.first.length)
  for (const { path, reason } of uncaptured.first) {
    writer.array(2)
    writer.text(path)
    writer.text(reason)
  }
  const bytes = writer.copy()
  return { cid: cidOf(DAG_CBOR, bytes), bytes }
}

/** @throws MirrorError `corrupt`, `limit`, or `unsupported` for a later version */
export function decodeSnapshot(cid: Cid, bytes: Uint8Array): Snapshot {
  const what = (): string => `snapshot ${cid.toString()}`
  if (bytes.length > MAX_SNAPSHOT_BYTES) {
    throw new MirrorError(
      'limit',
      `${what()} has ${bytes.length} bytes where ${MAX_SNAPSHOT_BYTES} is the most`,
    )
  }
  const reader = new CborReader(bytes, what)
  const keys = reader.map(64)
  reader.expectKey('k')
  if (reader.text(16) !== 'snapshot') throw reader.corrupt('it is something else')
  reader.expectKey('v')
  const version = reader.uint(Number.MAX_SAFE_INTEGER)
  if (version === 0) throw reader.corrupt('it has no such version')
  if (version > SNAPSHOT_VERSION) {
    throw new MirrorError('unsupported', `${what()} has format version ${version}`, {
      hint: 'Upgrade this node: the snapshot was made by a newer version.',
    })
  }
  let optional = keys - KEYS
  if (optional < 0 || optional > 2)
    throw reader.corrupt(`it has ${KEYS} keys, a parent and ignore rules or not`)
  reader.expectKey('root')
  const root = readEntry(reader)
  reader.expectKey('tree')
  const tree = readTreeName(reader)
  reader.expectKey('index')
  const index = reader.cid()
  reader.expectKey('notes')
  const notes = readNotes(reader)
  reader.expectKey('counts')
  const counts = readCounts(reader)
  let key = reader.text(64)
  let ignore: string[] | undefined
  if (optional > 0 && key === 'ignore') {
    ignore = readIgnore(reader)
    optional -= 1
    key = reader.text(64)
  }
  let parent: Cid | undefined
  if (optional > 0 && key === 'parent') {
    parent = reader.cid()
    optional -= 1
    key = reader.text(64)
  }
  if (optional !== 0 || key !== 'chunker') throw reader.corrupt('the key "chunker" was expected')
  const chunker = readChunker(reader, version)
  reader.expectKey('created')
  const createdMs = reader.int()
  reader.expectKey('uncaptured')
  const uncaptured = readUncaptured(reader)
  reader.end()

  const snapshot: Snapshot = {
    tree,
    root,
    index,
    createdMs,
    chunker,
    counts,
    uncaptured,
    notes,
    ...(parent === undefined ? {} : { parent }),
    ...(ignore === undefined ? {} : { ignore }),
  }
  const problem = problemOf(snapshot)
  if (problem !== undefined) throw reader.corrupt(problem)
  return snapshot
}

function readTreeName(reader: CborReader): string {
  const name = reader.text(MAX_TREE_BYTES)
  try {
    return checkTreeName(name)
  } catch (error) {
    throw new MirrorError('corrupt', 'a snapshot names no tree', { cause: error })
  }
}

function readNotes(reader: CborReader): Record<string, string> {
  const notes: Record<string, string> = {}
  let last: string | undefined
  for (let left = reader.map(MAX_NOTES); left > 0; left--) {
    const key = reader.text(MAX_NOTE_KEY_BYTES)
    if (!NOTE_KEY.test(key)) throw reader.corrupt('a note has no proper key')
    if (last !== undefined && compareKeys(last, key) >= 0) throw reader.corrupt('notes are not in order')
    last = key
    notes[key] = reader.text(MAX_NOTE_BYTES)
  }
  return notes
}

function readIgnore(reader: CborReader): string[] {
  const rules: string[] = []
  for (let left = reader.array(MAX_IGNORE_RULES); left > 0; left--) rules.push(reader.text(MAX_IGNORE_BYTES))
  return rules
}

function readCounts(reader: CborReader): SnapshotCounts {
  const found = reader.map(COUNTS.length)
  if (found < COUNTS.length - 1) throw reader.corrupt('counts are missing')
  const counts: Record<(typeof COUNTS)[number], number> = {
    files: 0,
    directories: 0,
    symlinks: 0,
    specials: 0,
    bytes: 0,
    blocks: 0,
    blockBytes: 0,
  }
  for (const name of COUNTS) {
    if (name === 'specials' && found < COUNTS.length) continue
    reader.expectKey(name)
    counts[name] = reader.uint(Number.MAX_SAFE_INTEGER)
  }
  const { specials, ...others } = counts
  return found === COUNTS.length ? { ...others, specials } : others
}

function readChunker(reader: CborReader, version: number): ChunkerParams {
  const keys = SIZES.length + version
  if (reader.map(keys) !== keys) throw reader.corrupt('chunker parameters are missing')
  const params: Record<string, unknown> = {}
  for (const [key, name] of SIZES) {
    reader.expectKey(key)
    params[name] = reader.uint(Number.MAX_SAFE_INTEGER)
  }
  reader.expectKey('kind')
  params.kind = reader.text(64)
  if (version > 1) {
    reader.expectKey('inline')
    params.inlineBytes = reader.uint(MAX_INLINE_BYTES)
    if (params.inlineBytes === 0)
      throw reader.corrupt('no file lies in a directory, and its version says otherwise')
  }
  return checkChunkerParams(params)
}

function readUncaptured(reader: CborReader): Uncaptured {
  if (reader.map(2) !== 2) throw reader.corrupt('the uncaptured are a count and a list')
  reader.expectKey('count')
  const count = reader.uint(Number.MAX_SAFE_INTEGER)
  reader.expectKey('first')
  const first: { path: string; reason: string }[] = []
  for (let left = reader.array(MAX_UNCAPTURED_LISTED); left > 0; left--) {
    if (reader.array(2) !== 2) throw reader.corrupt('an uncaptured entry is a path and a reason')
    first.push({ path: reader.text(MAX_UNCAPTURED_PATH_BYTES), reason: reader.text(MAX_REASON_BYTES) })
  }
  return { count, first }
}

/** What both directions hold to. */
function problemOf(snapshot: Snapshot): string | undefined {
  const { root, index, parent, createdMs, counts, uncaptured, notes, ignore } = snapshot
  if (root.name.length !== 0) return 'the root has a name'
  if (isSpecial(root)) return 'the root is a special file'
  if (root.type === 'file' && root.inline !== undefined)
    return 'a root that is a file has its content in blocks'
  if (index.code !== DAG_CBOR || (parent !== undefined && parent.code !== DAG_CBOR)) {
    return 'its index and its parent are dag-cbor nodes'
  }
  if (!Number.isSafeInteger(createdMs) || createdMs < 0) return 'its time is no time'
  for (const name of COUNTS) {
    const count = counts[name]
    if (count === undefined && name === 'specials') continue
    if (count === undefined || !Number.isSafeInteger(count) || count < 0)
      return `the count of ${name} is no whole number`
  }
  if (counts.specials === 0) return 'no special files are not counted'

  const { count, first } = uncaptured
  if (!Number.isSafeInteger(count) || count < first.length || first.length > MAX_UNCAPTURED_LISTED) {
    return `the uncaptured are more than counted, or more than ${MAX_UNCAPTURED_LISTED} are listed`
  }
  for (const { path, reason } of first) {
    if (!isText(path, MAX_UNCAPTURED_PATH_BYTES) || !isText(reason, MAX_REASON_BYTES)) {
      return 'an uncaptured path or its reason is too long, or is no text'
    }
  }
  const keys = Object.keys(notes)
  if (keys.length > MAX_NOTES) return `it has more than ${MAX_NOTES} notes`
  for (const key of keys) {
    if (key.length > MAX_NOTE_KEY_BYTES || !NOTE_KEY.test(key)) {
      return `a note's key is 1 to ${MAX_NOTE_KEY_BYTES} letters, digits, ".", "_" and "-"`
    }
    if (!isText(notes[key], MAX_NOTE_BYTES))
      return `note "${key}" is over ${MAX_NOTE_BYTES} bytes, or is no text`
  }
  if (ignore !== undefined) {
    const bytes = ignore.reduce((sum, rule) => sum + Buffer.byteLength(rule), 0)
    if (ignore.length === 0 || ignore.length > MAX_IGNORE_RULES || bytes > MAX_IGNORE_BYTES) {
      return `ignore rules are 1 to ${MAX_IGNORE_RULES}, of ${MAX_IGNORE_BYTES} bytes in all`
    }
    if (!ignore.every(isIgnoreRule)) return 'an ignore rule is not one line of text that says something'
  }
  return undefined
}

function isText(value: unknown, maxBytes: number): boolean {
  return typeof value === 'string' && value.isWellFormed() && Buffer.byteLength(value) <= maxBytes
}

function sortedNotes(notes: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(notes).sort(([a], [b]) => compareKeys(a, b))
}

/** The order of dag-cbor's keys; these are ASCII. */
function compareKeys(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0)
}
