/**
 * Messages of `/mirrormesh/2/object` and the version before it (see request.ts for the types they travel in).
 *
 *   REQUEST  u16 tree length, tree, 33 bytes CID (codec and digest), u8 count (0 to 4), count x 33 bytes CID of a base: an
 *            object that the asker has, and that this one may resemble
 *   DATA     u8 bases: bit n is set when base n is part of the window; with none, the object's bytes (4 MiB at most);
 *            else u32 length of the object, and one zstd frame over the window: the bases of the bits, in order
 *   MISSING  nothing
 *
 * In version 1 a REQUEST ends after its CID, and DATA is the object's bytes.
 */
import { MirrorError } from '../../base/errors.ts'
import { MAX_BLOCK_BYTES } from '../../block/block.ts'
import type { Cid } from '../../block/cid.ts'
import { CID_KEY_BYTES } from '../../block/cid.ts'
import { MAX_TREE_NAME_BYTES } from '../limits.ts'
import { cidField, FieldReader, treeField, u8, u32 } from './fields.ts'
import type { FrameLimits } from './frame.ts'
import { BUSY, CANCEL, DATA, END, ID_BYTES, MISSING, REQUEST } from './request.ts'

export const OBJECT_2 = '/mirrormesh/2/object'
export const OBJECT_1 = '/mirrormesh/1/object'

export const MAX_BASES = 4
/** Of all bases together: what decoding holds beside the object. */
export const MAX_WINDOW_BYTES = 1024 * 1024

export const OBJECT_TO_SERVER: FrameLimits = {
  [REQUEST]: ID_BYTES + 2 + MAX_TREE_NAME_BYTES + CID_KEY_BYTES + 1 + MAX_BASES * CID_KEY_BYTES,
  [CANCEL]: ID_BYTES,
}
export const OBJECT_TO_CLIENT: FrameLimits = {
  [DATA]: ID_BYTES + 5 + MAX_BLOCK_BYTES,
  [MISSING]: ID_BYTES,
  [BUSY]: ID_BYTES,
  [END]: ID_BYTES,
}

export interface ObjectRequest {
  readonly tree: string
  readonly cid: Cid
  /** None by default, and in version 1. */
  readonly bases?: readonly Cid[]
}

export function encodeObjectRequest(
  { tree, cid, bases = [] }: ObjectRequest,
  protocol: string = OBJECT_2,
): Uint8Array[] {
  if (bases.length > MAX_BASES) throw new MirrorError('invalid', `an object of ${bases.length} bases`)
  if (protocol === OBJECT_1) return [treeField(tree), cidField(cid)]
  return [treeField(tree), cidField(cid), u8(bases.length), ...bases.map(cidField)]
}

export function decodeObjectRequest(fields: Uint8Array, protocol: string = OBJECT_2): ObjectRequest {
  const reader = new FieldReader(fields, 'object request')
  const request = { tree: reader.tree(), cid: reader.cid() }
  const count = protocol === OBJECT_1 ? 0 : reader.u8()
  if (count > MAX_BASES) throw new MirrorError('corrupt', `an object request names ${count} bases`)
  const bases: Cid[] = []
  for (let i = 0; i < count; i++) bases.push(reader.cid())
  reader.end()
  return count === 0 ? request : { ...request, bases }
}

/** An object as it travels. */
export interface ObjectData {
  readonly bytes: Uint8Array
  /** Given when `bytes` are a frame over bases of the request. */
  readonly over?: {
    /** Their numbers in the request, rising. */
    readonly bases: readonly number[]
    readonly lengthBytes: number
  }
}

export function encodeObjectData({ bytes, over }: ObjectData, protocol: string = OBJECT_2): Uint8Array[] {
  if (protocol === OBJECT_1) {
    if (over !== undefined) throw new MirrorError('internal', 'version 1 has whole objects only')
    return [bytes]
  }
  if (over === undefined) return [u8(0), bytes]
  return [u8(over.bases.reduce((bits, base) => bits | (1 << base), 0)), u32(over.lengthBytes), bytes]
}

/** @param baseCount of the request. @throws MirrorError `corrupt` */
export function decodeObjectData(
  fields: Uint8Array,
  baseCount: number,
  protocol: string = OBJECT_2,
): ObjectData {
  if (protocol === OBJECT_1) return { bytes: fields }
  const reader = new FieldReader(fields, 'object')
  const bits = reader.u8()
  if (bits >= 1 << baseCount) throw new MirrorError('corrupt', 'an object over bases that were not named')
  if (bits === 0) return { bytes: reader.rest() }
  const lengthBytes = reader.u32()
  const bytes = reader.rest()
  if (lengthBytes > MAX_BLOCK_BYTES || bytes.length >= lengthBytes)
    throw new MirrorError('corrupt', `a frame of ${bytes.length} bytes for an object of ${lengthBytes}`)
  const bases = Array.from({ length: baseCount }, (_, i) => i).filter((i) => (bits & (1 << i)) !== 0)
  return { bytes, over: { bases, lengthBytes } }
}
