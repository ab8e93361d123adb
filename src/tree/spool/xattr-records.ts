/** Sets of extended attributes in the temporary files that threads pass to each other. */

import { printableName } from '../../base/bytes.ts'
import { MAX_BLOCK_BYTES } from '../../block/block.ts'
import type { Xattr } from '../../dag/xattrs.ts'
import { xattrsLength } from '../../dag/xattrs.ts'
import type { XattrTarget } from '../../posix/xattr.ts'
import { readXattrs } from '../../posix/xattr.ts'
import { reasonOf } from '../reason.ts'
import type { RecordReader, RecordWriter } from './record-bytes.ts'

export const NO_XATTRS: readonly Xattr[] = []
/** What frames the list in a block of its own. */
const FRAME_BYTES = 64

/** The attributes of `target`; of what is not captured `report` hears why. */
export function captureXattrs(target: XattrTarget, report: (reason: string) => void): readonly Xattr[] {
  let xattrs: readonly Xattr[]
  try {
    xattrs = readXattrs(target, (name, error) => {
      report(`its extended attribute ${printableName(name)} is not captured: ${reasonOf(error)}`)
    })
  } catch (error) {
    report(`its extended attributes are not captured: ${reasonOf(error)}`)
    return NO_XATTRS
  }
  if (xattrs.length === 0) return NO_XATTRS
  if (xattrsLength(xattrs) + FRAME_BYTES <= MAX_BLOCK_BYTES) return xattrs
  report(`its extended attributes are not captured: they are over ${MAX_BLOCK_BYTES - FRAME_BYTES} bytes`)
  return NO_XATTRS
}

export function writeXattrRecords(out: RecordWriter, xattrs: readonly Xattr[]): void {
  out.u32(xattrs.length)
  for (const { name, value } of xattrs) {
    out.u16(name.length)
    out.bytes(name)
    out.u32(value.length)
    out.bytes(value)
  }
}

export function readXattrRecords(from: RecordReader): readonly Xattr[] {
  const count = from.u32()
  if (count === 0) return NO_XATTRS
  return Array.from({ length: count }, () => ({
    name: from.bytes(from.u16()),
    value: from.bytes(from.u32()),
  }))
}
