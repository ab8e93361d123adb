/**
 * Messages of `/mirrormesh/3/blocks` and the versions before it (see request.ts for the types they travel in).
 *
 *   REQUEST  u16 tree length, tree, 33 bytes page (codec and digest), u16 count (1 to 1,024), count x u16 offset (distinct)
 *   DATA     one block and more, one behind the other, each of them:
 *              u16 offset, u8 encoding, u24 length as it travels, with encoding 1 also u24 length of the plain block (4 MiB at
 *              most), and the block: its plain bytes (encoding 0), or one zstd frame, shorter than they are (encoding 1)
 *            in version 2 one block: u16 offset, u8 encoding, u32 length of the plain block, the block as above
 *            in version 1 one block: u16 offset, the block's plain bytes
 *   MISSING  u16 count (1 to 1,024), count x u16 offset
 *
 * Example of DATA: `00 07 00 00 00 02 68 69  00 08 00 00 00 00` is block 7, "hi", and block 8, which is empty.
 */
import { MirrorError } from '../../base/errors.ts'
import { MAX_BLOCK_BYTES } from '../../block/block.ts'
import type { Cid } from '../../block/cid.ts'
import { CID_KEY_BYTES } from '../../block/cid.ts'
import { isEncodedLength } from '../../block/encoding.ts'
import { MAX_BATCH_BYTES, MAX_OFFSETS_PER_REQUEST, MAX_TREE_NAME_BYTES } from '../limits.ts'
import { cidField, FieldReader, putU24, treeField, u8, u16, u32 } from './fields.ts'
import type { FrameLimits } from './frame.ts'
import { BUSY, CANCEL, DATA, END, ID_BYTES, MISSING, REQUEST } from './request.ts'

export const BLOCKS_3 = '/mirrormesh/3/blocks'
export const BLOCKS_2 = '/mirrormesh/2/blocks'
export const BLOCKS_1 = '/mirrormesh/1/blocks'

/** Of a block: the longer one, of a frame in version 3. */
const DATA_HEADER_BYTES = 2 + 1 + 3 + 3
const OFFSETS_BYTES = 2 + 2 * MAX_OFFSETS_PER_REQUEST

export const BLOCKS_TO_SERVER: FrameLimits = {
  [REQUEST]: ID_BYTES + 2 + MAX_TREE_NAME_BYTES + CID_KEY_BYTES + OFFSETS_BYTES,
  [CANCEL]: ID_BYTES,
}

export const BLOCKS_TO_CLIENT: FrameLimits = {
  [DATA]: ID_BYTES + DATA_HEADER_BYTES + MAX_BLOCK_BYTES,
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

export interface BlockData {
  readonly offset: number
  readonly bytes: Uint8Array
  /** The length of the plain block, when `bytes` are a zstd frame. */
  readonly zstdOfBytes?: number
}

/**
 * The fields of one DATA after the other: of MAX_BATCH_BYTES at most each, or of a single block. The versions before 3 have one
 * block in each.
 * @throws MirrorError `internal` for a frame where the version knows none
 */
export function encodeBlockData(blocks: readonly BlockData[], protocol: string): EncodedData[] {
  if (protocol !== BLOCKS_3)
    return blocks.map((block) => ({ count: 1, fields: encodeSingle(block, protocol) }))
  const all: { count: number; fields: Uint8Array[] }[] = []
  let filledBytes = 0
  for (const { offset, bytes, zstdOfBytes } of blocks) {
    const lengthBytes = DATA_HEADER_BYTES + bytes.length
    if (all.length === 0 || filledBytes + lengthBytes > MAX_BATCH_BYTES) {
      all.push({ count: 0, fields: [] })
      filledBytes = 0
    }
    const data = all.at(-1)!
    data.count++
    data.fields.push(blockHeader(offset, bytes.length, zstdOfBytes), bytes)
    filledBytes += lengthBytes
  }
  return all
}

export interface EncodedData {
  /** Blocks in it. */
  readonly count: number
  readonly fields: readonly Uint8Array[]
}

function blockHeader(offset: number, lengthBytes: number, zstdOfBytes: number | undefined): Uint8Array {
  const header = new Uint8Array(zstdOfBytes === undefined ? DATA_HEADER_BYTES - 3 : DATA_HEADER_BYTES)
  header[0] = offset >>> 8
  header[1] = offset
  header[2] = zstdOfBytes === undefined ? 0 : 1
  putU24(header, 3, lengthBytes)
  if (zstdOfBytes !== undefined) putU24(header, 6, zstdOfBytes)
  return header
}

function encodeSingle({ offset, bytes, zstdOfBytes }: BlockData, protocol: string): readonly Uint8Array[] {
  if (protocol === BLOCKS_2) {
    return [u16(offset), u8(zstdOfBytes === undefined ? 0 : 1), u32(zstdOfBytes ?? bytes.length), bytes]
  }
  if (zstdOfBytes === undefined) return [u16(offset), bytes]
  throw new MirrorError('internal', `a compressed block for a peer that speaks ${protocol}`)
}

/**
 * Blocks as views of `fields`, one at least.
 * @throws MirrorError `corrupt` when an encoding is unknown, or the lengths cannot be those of such a block
 */
export function decodeBlockData(fields: Uint8Array, protocol: string): BlockData[] {
  const reader = new FieldReader(fields, 'block')
  if (protocol !== BLOCKS_3) return [decodeSingle(reader, protocol)]
  const blocks: BlockData[] = []
  do {
    const offset = reader.u16()
    const encoding = reader.u8()
    const travelBytes = reader.u24()
    const lengthBytes = encoding === 0 ? travelBytes : reader.u24()
    blocks.push(checked(offset, encoding, lengthBytes, reader.bytes(travelBytes)))
  } while (reader.left > 0)
  return blocks
}

function decodeSingle(reader: FieldReader, protocol: string): BlockData {
  const offset = reader.u16()
  if (protocol !== BLOCKS_2) return { offset, bytes: reader.rest() }
  const encoding = reader.u8()
  const lengthBytes = reader.u32()
  return checked(offset, encoding, lengthBytes, reader.rest())
}

function checked(offset: number, number: number, lengthBytes: number, bytes: Uint8Array): BlockData {
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
  if (offsets.length < 1 || offsets.length > MAX_OFFSETS_PER_REQUEST || !areDistinct(offsets)) {
    throw new MirrorError(
      code,
      `a request names 1 to ${MAX_OFFSETS_PER_REQUEST} distinct offsets below 65536`,
    )
  }
}

function areDistinct(offsets: readonly number[]): boolean {
  let last = -1
  let isRising = true
  for (const offset of offsets) {
    if (!Number.isInteger(offset) || offset < 0 || offset > 0xffff) return false
    isRising &&= offset > last
    last = offset
  }
  return isRising || new Set(offsets).size === offsets.length
}
