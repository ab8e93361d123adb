/**
 * Extended attributes as pax records, as GNU tar, bsdtar and star read them: each as `SCHILY.xattr.NAME`, its value as it is; and
 * POSIX ACLs, which are attributes too, once more in words (`SCHILY.acl.access`, `SCHILY.acl.default`), for those who restore ACLs
 * alone. What is no ACL of Linux's form stays an attribute.
 *
 *   ACL      4 bytes version (2), then 8 bytes an entry; numbers are little-endian
 *   entry    2 bytes tag, 2 bytes permissions (4 read, 2 write, 1 execute), 4 bytes user or group
 */
import { concatBytes, utf8 } from '../../src/base/bytes.ts'
import type { Xattr } from '../../src/dag/xattrs.ts'
import type { PaxRecord } from './tar-header.ts'

const PREFIX = utf8('SCHILY.xattr.')
const ACLS: ReadonlyMap<string, string> = new Map([
  ['system.posix_acl_access', 'SCHILY.acl.access'],
  ['system.posix_acl_default', 'SCHILY.acl.default'],
])
const ACL_VERSION = 2
/** By tag; those that name somebody end in a colon. */
const TAGS: ReadonlyMap<number, string> = new Map([
  [0x01, 'user:'],
  [0x02, 'user'],
  [0x04, 'group:'],
  [0x08, 'group'],
  [0x10, 'mask:'],
  [0x20, 'other:'],
])

export function xattrRecords(xattrs: readonly Xattr[]): PaxRecord[] {
  return xattrs.flatMap(({ name, value }): PaxRecord[] => {
    const acl = ACLS.get(Buffer.from(name).toString('latin1'))
    const text = acl === undefined ? undefined : aclText(value)
    return [
      [concatBytes([PREFIX, keyOf(name)]), value],
      ...(acl === undefined || text === undefined ? [] : [[acl, utf8(text)] as const]),
    ]
  })
}

/** A key ends at the first equals sign. GNU tar writes it so, and reads it. */
function keyOf(name: Uint8Array): Uint8Array {
  if (!name.includes(0x3d) && !name.includes(0x25)) return name
  const text = Buffer.from(name).toString('latin1').replaceAll('%', '%25').replaceAll('=', '%3D')
  return Buffer.from(text, 'latin1')
}

function aclText(value: Uint8Array): string | undefined {
  const view = new DataView(value.buffer, value.byteOffset, value.length)
  if (value.length < 4 || (value.length - 4) % 8 !== 0 || view.getUint32(0, true) !== ACL_VERSION)
    return undefined
  const entries: string[] = []
  for (let at = 4; at < value.length; at += 8) {
    const tag = TAGS.get(view.getUint16(at, true))
    if (tag === undefined) return undefined
    const who = tag.endsWith(':') ? '' : `:${view.getUint32(at + 4, true)}`
    const may = view.getUint16(at + 2, true)
    entries.push(`${tag}${who}:${may & 4 ? 'r' : '-'}${may & 2 ? 'w' : '-'}${may & 1 ? 'x' : '-'}`)
  }
  return entries.join(',')
}
