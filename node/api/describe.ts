/** Entries and changes of trees as lines of JSON. Names are printable; raw bytes go along where that loses something. */
import { decodeUtf8, printableName } from '../../src/base/bytes.ts'
import type { Entry } from '../../src/dag/entry.ts'
import { isDevice } from '../../src/dag/entry.ts'
import { itemize } from '../../src/dag/itemize.ts'
import type { Change } from '../../src/dag/reader.ts'
import type { DiffLine, EntryLine } from './answers.ts'

export function joinPath(path: readonly Uint8Array[]): string {
  return path.map(printableName).join('/')
}

/** `rawPath` in base64 when the printable path is not what it spells. */
function pathFields(path: readonly Uint8Array[]): { path: string; rawPath?: string } {
  const printable = joinPath(path)
  const isExact = path.every((name) => decodeUtf8(name) === printableName(name))
  if (isExact) return { path: printable }
  const raw = Buffer.concat(path.flatMap((name, i) => (i === 0 ? [name] : [Buffer.from('/'), name])))
  return { path: printable, rawPath: raw.toString('base64') }
}

export function describeEntry(path: readonly Uint8Array[], entry: Entry): EntryLine {
  const cid = entry.type === 'directory' ? entry.directory : entry.type === 'file' ? entry.content : undefined
  return {
    ...pathFields(path),
    type: entry.type,
    mode: entry.mode,
    mtime: timeText(entry.mtimeSec, entry.mtimeNsec),
    uid: entry.uid,
    gid: entry.gid,
    ...(entry.user === undefined ? {} : { user: entry.user }),
    ...(entry.group === undefined ? {} : { group: entry.group }),
    ...(entry.type === 'file' ? { sizeBytes: entry.sizeBytes } : {}),
    ...(entry.type === 'symlink' ? { target: printableName(entry.target) } : {}),
    ...(isDevice(entry) ? { device: `${entry.major}:${entry.minor}` } : {}),
    ...(entry.xattrs === undefined ? {} : { xattrs: entry.xattrs.map(({ name }) => printableName(name)) }),
    ...(entry.xattrBlock === undefined ? {} : { xattrBlock: entry.xattrBlock.toString() }),
    ...(entry.type === 'file' && entry.holes !== undefined ? { holeBytes: holeBytesOf(entry.holes) } : {}),
    ...(cid === undefined ? {} : { cid: cid.toString() }),
  }
}

/** Lengths are every second number. */
function holeBytesOf(holes: readonly number[]): number {
  return holes.reduce((sum, value, at) => (at % 2 === 1 ? sum + value : sum), 0)
}

/** @param isCompared contents were compared by hash */
export function describeChange(whole: Change, isCompared: boolean): DiffLine {
  const { path, change, content, metadata, before, after } = whole
  return {
    ...pathFields(path),
    change,
    content,
    metadata,
    items: itemize(whole, isCompared),
    type: (after ?? before)!.type,
    ...(after?.type === 'symlink' ? { target: printableName(after.target) } : {}),
    ...(after?.type === 'file' ? { sizeBytes: after.sizeBytes } : {}),
  }
}

/** Seconds that a Date can hold; times beyond are printed as seconds. */
const MAX_DATE_SECONDS = 8.64e12

export function timeText(seconds: number, nanoseconds: number): string {
  const fraction = String(nanoseconds).padStart(9, '0')
  if (Math.abs(seconds) > MAX_DATE_SECONDS) return `@${seconds}.${fraction}`
  return `${new Date(seconds * 1000).toISOString().slice(0, -5)}.${fraction}Z`
}
