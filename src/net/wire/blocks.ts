/**
 * Messages of `/mirrormesh/1/blocks` (see request.ts for the types they travel in).
 *
 *   REQUEST  u16 tree length, tree, 33 bytes page (codec and digest), u16 count (1 to 1,024), count x u16 offset (distinct)
 *   DATA     u16 offset, the block's plain bytes (4 MiB at most)
 *   MISSING  u16 count (1 to 1,024), count x u16 offset
 */
import { MirrorError } from '../../base/errors.ts'
import { MAX_BLOCK_BYTES } from '../../block/block.ts'
import type { Cid } from '../../block/cid.ts'
import { CID_KEY_BYTES } from '../../block/cid.ts'
import { MAX_OFFSETS_PER_REQUEST, MAX_TREE_NAME_BYTES } from '../limits.ts'
import { cidField, FieldReader, treeField } from './fields.ts'
import type { FrameLimits } from './frame.ts'
import { BUSY, CANCEL, DATA, END, ID_BYTES, MISSING, REQUEST } from './request.ts'

const OFFSETS_BYTES = 2 + 2 * MAX_OFFSETS_PER_REQUEST

export const BLOCKS_TO_SERVER: FrameLimits = {
  [REQUEST]: ID_BYTES + 2 + MAX_TREE_NAME_BYTES + CID_KEY_BYTES + OFFSETS_BYTES,
  [CANCEL]: ID_BYTES,
}
export const BLOCKS_TO_CLIENT: FrameLimits = {
  [DATA]: ID_BYTES + 2 + MAX_BLOCK_BYTES,
  [MISSING]: ID_BYTES + OFFSETS_BYTES,
  [BUSY]: ID_BYTES,
  [END]: ID_BYTES,
}

export interface BlocksRequest {
  readonly tree: string
  readonly page: Cid
  readonly offsets: readonly number[]
}

export function encodeBlocksRequest(request: BlocksRequest): Uint8Array[] {
  checkOffsets(request.offsets, 'invalid')
  return [treeField(request.tree), cidField(request.page), encodeOffsets(request.offsets)]
}

export function decodeBlocksRequest(fields: Uint8Array): BlocksRequest {
  const reader = new FieldReader(fields, 'blocks request')
  const tree = reader.tree()
  const page = reader.cid()
  const offsets = readOffsets(reader)
  checkOffsets(offsets, 'corrupt')
  return { tree, page, offsets }
}

export function encodeOffsets(offsets: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(2 + 2 * offsets.length)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, offsets.length)
  offsets.forEach((offset, i) => {
    view.setUint16(2 + 2 * i, offset)
  })
  return bytes
}

export function decodeMissing(fields: Uint8Array): number[] {
  return readOffsets(new FieldReader(fields, 'missing'))
}

export function decodeBlockData(fields: Uint8Array): { readonly offset: number; readonly bytes: Uint8Array } {
  const reader = new FieldReader(fields, 'block')
  return { offset: reader.u16(), bytes: reader.rest() }
}

function readOffsets(reader: FieldReader): number[] {
  const count = reader.u16()
  if (count < 1 || count > MAX_OFFSETS_PER_REQUEST) {
    throw new MirrorError('limit', `a list of ${count} offsets: it holds 1 to ${MAX_OFFSETS_PER_REQUEST}`)
  }
  const offsets: number[] = []
  for (let i = 0; i < count; i++) offsets.push(reader.u16())
  reader.end()
  return offsets
}

function checkOffsets(offsets: readonly number[], code: 'invalid' | 'corrupt'): void {
  const isSound =
    offsets.length >= 1 &&
    offsets.length <= MAX_OFFSETS_PER_REQUEST &&
    offsets.every((offset) => Number.isInteger(offset) && offset >= 0 && offset <= 0xffff) &&
    new Set(offsets).size === offsets.length
  if (!isSound) {
    throw new MirrorError(
      code,
      `a request names 1 to ${MAX_OFFSETS_PER_REQUEST} distinct offsets below 65536`,
    )
  }
}
