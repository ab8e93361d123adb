/**
 * Messages of `/mirrormesh/2/blocks` and `/mirrormesh/1/blocks` (see request.ts for the types they travel in).
 *
 *   REQUEST  u16 tree length, tree, 33 bytes page (codec and digest), u16 count (1 to 1,024), count x u16 offset (distinct)
 *   DATA     in version 2: u16 offset, u8 encoding, u32 length of the plain block (4 MiB at most), and the block: its
 *            plain bytes (encoding 0), or one zstd frame, shorter than they are (encoding 1)
 *            in version 1: u16 offset, the block's plain bytes
 *   MISSING  u16 count (1 to 1,024), count x u16 offset
 */
import { MirrorError } from '../../base/errors.ts'
import { MAX_BLOCK_BYTES } from '../../block/block.ts'
import type { Cid } from '../../block/cid.ts'
import { CID_KEY_BYTES } from '../../block/cid.ts'
import { isEncodedLength } from '../../block/encoding.ts'
import { MAX_OFFSETS_PER_REQUEST, MAX_TREE_NAME_BYTES } from '../limits.ts'
import { cidField, FieldReader, treeField, u8, u16, u32 } from './fields.ts'
import type { FrameLimits } from './frame.ts'
import { BUSY, CANCEL, DATA, END, ID_BYTES, MISSING, REQUEST } from './request.ts'

export const BLOCKS_2 = '/mirrormesh/2/blocks'
export const BLOCKS_1 = '/mirrormesh/1/blocks'

const DATA_HEADER_BYTES = 2 + 1 + 4
const OFFSETS_BYTES = 2 + 2 * MAX_OFFSETS_PER_REQUEST

export const BLOCKS_TO_SERVER: FrameLimits = {
  [REQUEST]: ID_BYTES + 2 + MAX_TREE_NAME_BYTES + CID_KEY_BYTES + OFFSETS_BYTES,
  [CANCEL]: ID_BYTES,
}

export function blocksToClient(protocol: string): FrameLimits {
  return {
    [DATA]: ID_BYTES + (protocol === BLOCKS_2 ? DATA_HEADER_BYTES : 2) + MAX_BLOCK_BYTES,
    [MISSING]: ID_BYTES + OFFSETS_BYTES,
    [BUSY]: ID_BYTES,
    [END]: ID_BYTES,
  }
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

export interface BlockData {
  readonly offset: number
  readonly bytes: Uint8Array
  /** The length of the plain block, when `bytes` are a zstd frame. */
  readonly zstdOfBytes?: number | undefined
}

export function encodeBlockData(
  { offset, bytes, zstdOfBytes }: BlockData,
  protocol: string,
): readonly Uint8Array[] {
  if (protocol === BLOCKS_2) {
    return [u16(offset), u8(zstdOfBytes === undefined ? 0 : 1), u32(zstdOfBytes ?? bytes.length), bytes]
  }
  if (zstdOfBytes === undefined) return [u16(offset), bytes]
  throw new MirrorError('internal', `a compressed block for a peer that speaks ${protocol}`)
}

/** @throws MirrorError `corrupt` when the encoding is unknown, or the lengths cannot be those of such a block */
export function decodeBlockData(
  fields: Uint8Array,
  protocol: string,
): { readonly offset: number; readonly bytes: Uint8Array; readonly zstdOfBytes?: number } {
  const reader = new FieldReader(fields, 'block')
  const offset = reader.u16()
  if (protocol !== BLOCKS_2) return { offset, bytes: reader.rest() }
  const number = reader.u8()
  const lengthBytes = reader.u32()
  const bytes = reader.rest()
  const encoding = number === 0 ? 'plain' : number === 1 ? 'zstd' : undefined
  if (encoding === undefined || !isEncodedLength(encoding, bytes.length, lengthBytes)) {
    throw new MirrorError(
      'corrupt',
      `a block of ${lengthBytes} bytes in encoding ${number} and ${bytes.length} bytes`,
    )
  }
  return encoding === 'plain' ? { offset, bytes } : { offset, bytes, zstdOfBytes: lengthBytes }
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
