/**
 * The headers of a tar archive: 512 bytes of ustar, and before them a pax header (type `x`) for what they cannot say.
 *
 *   name      0  100   what stands behind the prefix
 *   mode    100    8   octal, as all numbers; each ends in a zero
 *   uid     108    8
 *   gid     116    8
 *   size    124   12
 *   mtime   136   12
 *   sum     148    8   of all bytes, these being spaces
 *   type    156    1
 *   link    157  100
 *   magic   257    8   `ustar\0` `00`
 *   user    265   32
 *   group   297   32
 *   major   329    8
 *   minor   337    8
 *   prefix  345  155
 *
 * A pax header has records `LENGTH KEY=VALUE\n`. Names are bytes, and go out as they are: where pax would call for UTF-8 and they are
 * not, `hdrcharset=BINARY` says so.
 */
import { concatBytes, decodeUtf8, utf8 } from '../../src/base/bytes.ts'
import { type Entry, isDevice } from '../../src/dag/entry.ts'

export const TAR_BLOCK_BYTES = 512
/** Two blocks of it end an archive. */
export const TAR_END = new Uint8Array(2 * TAR_BLOCK_BYTES)

const NOTHING = new Uint8Array(0)

export type PaxRecord = readonly [key: string | Uint8Array, value: Uint8Array]

export interface TarHeading {
  readonly name: Uint8Array
  readonly type: string
  readonly linkName: Uint8Array
  /** Of what follows. */
  readonly sizeBytes: number
  /** Pax records beside those that the entry's own fields need. */
  readonly more: readonly PaxRecord[]
  /** One of `more` says the name: the one in the header only has to look like one. */
  readonly isNamedInMore?: boolean
}

/** The header, and before it a pax header where one is needed. */
export function tarHeader(entry: Entry, heading: TarHeading): Uint8Array {
  const { name, type, linkName, sizeBytes, more, isNamedInMore = false } = heading
  const split = splitName(name)
  const records: PaxRecord[] = []
  if (split === undefined && !isNamedInMore) records.push(['path', name])
  if (linkName.length > 100) records.push(['linkpath', linkName])
  if (records.some(([, value]) => decodeUtf8(value) === undefined))
    records.unshift(['hdrcharset', utf8('BINARY')])
  if (sizeBytes > 0o77777777777) records.push(['size', utf8(String(sizeBytes))])
  if (entry.uid > 0o7777777) records.push(['uid', utf8(String(entry.uid))])
  if (entry.gid > 0o7777777) records.push(['gid', utf8(String(entry.gid))])
  if (entry.mtimeNsec !== 0 || entry.mtimeSec < 0 || entry.mtimeSec > 0o77777777777)
    records.push(['mtime', utf8(paxTime(entry.mtimeSec, entry.mtimeNsec))])
  records.push(...more)
  const placed = split ?? { prefix: NOTHING, name: name.subarray(0, 100) }
  const main = ustar(entry, { ...placed, type, linkName, sizeBytes })
  if (records.length === 0) return main
  const body = concatBytes(records.map(([key, value]) => paxRecord(key, value)))
  const before = ustar(NOBODY, {
    prefix: NOTHING,
    name: utf8('././@PaxHeader'),
    type: 'x',
    linkName: NOTHING,
    sizeBytes: body.length,
  })
  return concatBytes([before, body, tarPadding(body.length), main])
}

export function tarPadding(bytes: number): Uint8Array {
  return TAR_END.subarray(0, (TAR_BLOCK_BYTES - (bytes % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES)
}

const NOBODY: Entry = {
  type: 'file',
  name: NOTHING,
  sizeBytes: 0,
  mode: 0o644,
  mtimeSec: 0,
  mtimeNsec: 0,
  uid: 0,
  gid: 0,
}

interface UstarFields {
  readonly prefix: Uint8Array
  readonly name: Uint8Array
  readonly type: string
  readonly linkName: Uint8Array
  readonly sizeBytes: number
}

function ustar(entry: Entry, { prefix, name, type, linkName, sizeBytes }: UstarFields): Uint8Array {
  const block = new Uint8Array(TAR_BLOCK_BYTES)
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

/** The length counts its own digits. */
function paxRecord(key: string | Uint8Array, value: Uint8Array): Uint8Array {
  const keyBytes = typeof key === 'string' ? utf8(key) : key
  const rest = keyBytes.length + value.length + 3
  let length = rest + String(rest).length
  if (String(length).length > String(rest).length) length++
  return concatBytes([utf8(`${length} `), keyBytes, utf8('='), value, utf8('\n')])
}
