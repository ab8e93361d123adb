/**
 * A folder of a snapshot as a tar archive (POSIX.1-2001, the pax interchange format), made as it is sent.
 *
 *   entry    512 bytes of ustar header: name, mode, uid, gid, size, mtime, type, link name, user, group, device numbers
 *   content  the file's bytes, padded with zeros to 512
 *   end      two blocks of zeros
 *
 * What a ustar header cannot say stands in a pax header (type `x`) before it, only where it is needed: names of more
 * than 100 bytes that no slash within reach divides, link targets over 100 bytes, sizes of 8 GiB and more, owners of
 * 2^21 and more, times before 1970 and parts of seconds. Names are bytes, and go out as they are: where pax would call for UTF-8 and
 * they are not, `hdrcharset=BINARY` says so.
 *
 * Names are relative to the folder, which itself is not in the archive: unpacking makes the folder's content. The bytes
 * are a function of the folder's CID. Hard links are links to the first name, for the first MAX_LINK_GROUPS groups; the
 * others are copies. A socket has no form in a tar archive, and is left out. Extended attributes and holes are not kept.
 *
 * Bounded: one block of a header at a time; the steps by what the snapshot counts, for a folder may name another a
 * million times.
 */
import { concatBytes, decodeUtf8, hex, utf8 } from '../../src/base/bytes.ts'
import { MirrorError } from '../../src/base/errors.ts'
import type { DirectoryEntry, Entry } from '../../src/dag/entry.ts'
import { isDevice } from '../../src/dag/entry.ts'
import { type NodeSource, walk } from '../../src/dag/reader.ts'
import type { ReadFile } from './file-response.ts'

const BLOCK = 512
const MAX_LINK_GROUPS = 65_536
const SLASH = Uint8Array.of(0x2f)
const ZEROS = new Uint8Array(2 * BLOCK)
const NOTHING = new Uint8Array(0)

export interface TarOptions {
  /** More are refused by breaking off: the archive then has no end, and every reader says so. */
  readonly maxEntries: number
  readonly signal: AbortSignal
}

export async function* tarOf(
  { blocks, readFile }: { readonly blocks: NodeSource; readonly readFile: ReadFile },
  folder: DirectoryEntry,
  { maxEntries, signal }: TarOptions,
): AsyncGenerator<Uint8Array> {
  const linked = new Map<string, Uint8Array>()
  let entries = 0
  for await (const { path, entry } of walk(blocks, folder, signal)) {
    if (path.length === 0) continue
    if (++entries > maxEntries)
      throw new MirrorError('limit', 'the folder has more entries than its snapshot')
    if (entry.type === 'socket') continue
    const name = nameOf(path, entry)
    const group = entry.type === 'directory' || entry.link === undefined ? undefined : hex(entry.link)
    const first = group === undefined ? undefined : linked.get(group)
    if (first !== undefined) {
      yield headerOf(entry, { name, type: '1', linkName: first })
      continue
    }
    if (group !== undefined && linked.size < MAX_LINK_GROUPS) linked.set(group, name)
    yield headerOf(entry, { name, type: TYPES[entry.type], linkName: targetOf(entry) })
    if (entry.type !== 'file') continue
    yield* readFile(entry, { startByte: 0, endByte: entry.sizeBytes }, signal)
    yield padding(entry.sizeBytes)
  }
  yield ZEROS
}

const TYPES: Readonly<Record<Exclude<Entry['type'], 'socket'>, string>> = {
  file: '0',
  symlink: '2',
  'character-device': '3',
  'block-device': '4',
  directory: '5',
  fifo: '6',
}

/** With a slash behind a folder's name. */
function nameOf(path: readonly Uint8Array[], entry: Entry): Uint8Array {
  const parts = path.flatMap((name, at) => (at === 0 ? [name] : [SLASH, name]))
  return concatBytes(entry.type === 'directory' ? [...parts, SLASH] : parts)
}

function targetOf(entry: Entry): Uint8Array {
  return entry.type === 'symlink' ? entry.target : NOTHING
}

interface Heading {
  readonly name: Uint8Array
  readonly type: string
  readonly linkName: Uint8Array
}

/** The header, and before it a pax header where one is needed. */
function headerOf(entry: Entry, { name, type, linkName }: Heading): Uint8Array {
  const sizeBytes = type === '0' && entry.type === 'file' ? entry.sizeBytes : 0
  const split = splitName(name)
  const records: (readonly [string, Uint8Array])[] = []
  if (split === undefined) records.push(['path', name])
  if (linkName.length > 100) records.push(['linkpath', linkName])
  if (records.some(([, value]) => decodeUtf8(value) === undefined))
    records.unshift(['hdrcharset', utf8('BINARY')])
  if (sizeBytes > 0o77777777777) records.push(['size', utf8(String(sizeBytes))])
  if (entry.uid > 0o7777777) records.push(['uid', utf8(String(entry.uid))])
  if (entry.gid > 0o7777777) records.push(['gid', utf8(String(entry.gid))])
  if (entry.mtimeNsec !== 0 || entry.mtimeSec < 0 || entry.mtimeSec > 0o77777777777)
    records.push(['mtime', utf8(paxTime(entry.mtimeSec, entry.mtimeNsec))])
  const main = ustar(entry, {
    ...(split ?? { prefix: NOTHING, name: name.subarray(0, 100) }),
    type,
    linkName,
    sizeBytes,
  })
  if (records.length === 0) return main
  const body = concatBytes(records.map(([key, value]) => paxRecord(key, value)))
  const before = ustar(
    { type: 'file', name: NOTHING, sizeBytes: 0, mode: 0o644, mtimeSec: 0, mtimeNsec: 0, uid: 0, gid: 0 },
    { prefix: NOTHING, name: utf8('././@PaxHeader'), type: 'x', linkName: NOTHING, sizeBytes: body.length },
  )
  return concatBytes([before, body, padding(body.length), main])
}

interface UstarFields extends Heading {
  readonly prefix: Uint8Array
  readonly sizeBytes: number
}

function ustar(entry: Entry, { prefix, name, type, linkName, sizeBytes }: UstarFields): Uint8Array {
  const block = new Uint8Array(BLOCK)
  block.set(name, 0)
  block.set(octal(entry.mode, 7), 100)
  block.set(octal(entry.uid, 7), 108)
  block.set(octal(entry.gid, 7), 116)
  block.set(octal(sizeBytes, 11), 124)
  block.set(octal(entry.mtimeSec, 11), 136)
  block.fill(0x20, 148, 156)
  block.set(utf8(type), 156)
  block.set(linkName.subarray(0, 100), 157)
  block.set(utf8('ustar\u000000'), 257)
  block.set(ownerName(entry.user), 265)
  block.set(ownerName(entry.group), 297)
  if (isDevice(entry) && type !== '1') {
    block.set(octal(entry.major, 7), 329)
    block.set(octal(entry.minor, 7), 337)
  }
  block.set(prefix, 345)
  let sum = 0
  for (const byte of block) sum += byte
  block.set(utf8(`${sum.toString(8).padStart(6, '0')}\u0000 `), 148)
  return block
}

/** Prefix and name, divided at a slash, as ustar has room for them; undefined when it has none. */
function splitName(name: Uint8Array): { readonly prefix: Uint8Array; readonly name: Uint8Array } | undefined {
  if (name.length <= 100) return { prefix: NOTHING, name }
  for (let at = Math.min(155, name.length - 2); at >= name.length - 101 && at > 0; at--) {
    if (name[at] === 0x2f) return { prefix: name.subarray(0, at), name: name.subarray(at + 1) }
  }
  return undefined
}

/** What does not fit stands in a pax record; the field then has the nearest that it can say. */
function octal(value: number, digits: number): Uint8Array {
  const most = 8 ** digits - 1
  return utf8(Math.max(0, Math.min(most, value)).toString(8).padStart(digits, '0'))
}

function ownerName(name: string | undefined): Uint8Array {
  const bytes = utf8(name ?? '')
  return bytes.length <= 31 ? bytes : NOTHING
}

function paxTime(seconds: number, nanoseconds: number): string {
  if (seconds >= 0 || nanoseconds === 0) return decimal(seconds, nanoseconds)
  // -1.75 is two seconds before 1970 and a quarter of one after that.
  return `-${decimal(-seconds - 1, 1_000_000_000 - nanoseconds)}`
}

function decimal(seconds: number, nanoseconds: number): string {
  return nanoseconds === 0 ? String(seconds) : `${seconds}.${String(nanoseconds).padStart(9, '0')}`
}

/** `LENGTH KEY=VALUE\n`, where the length counts its own digits. */
function paxRecord(key: string, value: Uint8Array): Uint8Array {
  const rest = key.length + value.length + 3
  let length = rest + String(rest).length
  if (String(length).length > String(rest).length) length++
  return concatBytes([utf8(`${length} ${key}=`), value, utf8('\n')])
}

function padding(bytes: number): Uint8Array {
  return ZEROS.subarray(0, (BLOCK - (bytes % BLOCK)) % BLOCK)
}
