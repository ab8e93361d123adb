/**
 * Messages of `/mirrormesh/1/object` (see request.ts for the types they travel in).
 *
 *   REQUEST  u16 tree length, tree, 33 bytes CID (codec and digest)
 *   DATA     the object's bytes (4 MiB at most)
 *   MISSING  nothing
 */
import { MAX_BLOCK_BYTES } from '../../block/block.ts'
import type { Cid } from '../../block/cid.ts'
import { CID_KEY_BYTES } from '../../block/cid.ts'
import { MAX_TREE_NAME_BYTES } from '../limits.ts'
import { cidField, FieldReader, treeField } from './fields.ts'
import type { FrameLimits } from './frame.ts'
import { BUSY, CANCEL, DATA, END, ID_BYTES, MISSING, REQUEST } from './request.ts'

export const OBJECT_TO_SERVER: FrameLimits = {
  [REQUEST]: ID_BYTES + 2 + MAX_TREE_NAME_BYTES + CID_KEY_BYTES,
  [CANCEL]: ID_BYTES,
}
export const OBJECT_TO_CLIENT: FrameLimits = {
  [DATA]: ID_BYTES + MAX_BLOCK_BYTES,
  [MISSING]: ID_BYTES,
  [BUSY]: ID_BYTES,
  [END]: ID_BYTES,
}

export interface ObjectRequest {
  readonly tree: string
  readonly cid: Cid
}

export function encodeObjectRequest(request: ObjectRequest): Uint8Array[] {
  return [treeField(request.tree), cidField(request.cid)]
}

export function decodeObjectRequest(fields: Uint8Array): ObjectRequest {
  const reader = new FieldReader(fields, 'object request')
  const request = { tree: reader.tree(), cid: reader.cid() }
  reader.end()
  return request
}
