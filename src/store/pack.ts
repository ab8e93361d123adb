/**
 * The pack file: an append-only run of blocks, each with a header of its own, so that the index can be rebuilt from
 * packs alone. Integers are big-endian.
 *
 *   pack header, 32 bytes              entry header, 52 bytes, then the stored bytes
 *   at  size                           at  size
 *    0   8  "MMPACK\r\n"                0   4  "MMe1"
 *    8   4  version, 1                  4   1  encoding: 0 plain, 1 zstd (src/block/encoding.ts)
 *   12   4  pack id                     5  33  block key: codec byte, BLAKE3-256 digest
 *   16  12  zero                       38   1  1: it came through private trees alone (owners.ts); else 0
 *                                      39   1  zero
 *   28   4  CRC-32 of bytes 0-27       40   4  stored bytes that follow the header
 *                                      44   4  bytes of the block once decoded
 *                                      48   4  CRC-32 of bytes 0-47
 *
 * The CRC only tells a header from noise; what vouches for a block is its digest. So an entry found anywhere, even
 * inside the bytes of another, is either exactly the block it names or it is ignored.
 *
 * Example: the raw block "hi" as first entry lies at 84 (32 + 52), stored bytes 2; the next header starts at 86.
 */
import { crc32 } from 'node:zlib'
import { MirrorError } from '../base/errors.ts'
import { CID_KEY_BYTES, DAG_CBOR, RAW } from '../block/cid.ts'
import type { BlockEncoding } from '../block/encoding.ts'
import { isEncodedLength } from '../block/encoding.ts'

export const PACK_VERSION = 1
/** The owner of a block that came through a private tree, nobody knows through which. */
export const NOBODY = 0
export const PACK_HEADER_BYTES = 32
export const ENTRY_HEADER_BYTES = 52
/** Offsets are kept in 48 bits on disk; packs are rotated long before. */
export const MAX_PACK_ID = 0xffff_ffff

export const ENTRY_MARKER = Buffer.from('MMe1', 'latin1')
const IS_PRIVATE = 1
const PACK_MAGIC = Buffer.from('MMPACK\r\n', 'latin1')

export interface EntryHeader {
  readonly key: Uint8Array
  readonly encoding: BlockEncoding
  readonly storedBytes: number
  readonly lengthBytes: number
  /** Absent: everybody's. A header does not keep which tree it is: read back, it is NOBODY's. */
  readonly owner?: number
}

export function encodePackHeader(packId: number): Uint8Array {
  const bytes = Buffer.alloc(PACK_HEADER_BYTES)
  PACK_MAGIC.copy(bytes)
  bytes.writeUInt32BE(PACK_VERSION, 8)
  bytes.writeUInt32BE(packId, 12)
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 28)), 28)
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
}

/**
 * @returns the pack's id
 * @throws MirrorError `corrupt` when the bytes are no pack header, `unsupported` for a later version
 */
export function decodePackHeader(bytes: Uint8Array): number {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (
    view.length < PACK_HEADER_BYTES ||
    !view.subarray(0, 8).equals(PACK_MAGIC) ||
    view.readUInt32BE(28) !== crc32(view.subarray(0, 28))
  ) {
    throw new MirrorError('corrupt', 'not a pack: its header is damaged')
  }
  const version = view.readUInt32BE(8)
  if (version !== PACK_VERSION) {
    throw new MirrorError('unsupported', `pack version ${version}: this program reads ${PACK_VERSION}`, {
      hint: 'Run the newer mirrormesh that wrote this store.',
    })
  }
  return view.readUInt32BE(12)
}

/** Writes the header into `target` at `at`, where ENTRY_HEADER_BYTES must be free. */
export function encodeEntryHeader(
  target: Buffer,
  at: number,
  { key, encoding, storedBytes, lengthBytes, owner }: EntryHeader,
): void {
  ENTRY_MARKER.copy(target, at)
  target[at + 4] = encodingNumber(encoding)
  target.set(key, at + 5)
  target[at + 38] = owner === undefined ? 0 : IS_PRIVATE
  target[at + 39] = 0
  target.writeUInt32BE(storedBytes, at + 40)
  target.writeUInt32BE(lengthBytes, at + 44)
  target.writeUInt32BE(crc32(target.subarray(at, at + 48)), at + 48)
}

/** The header at `at`, or undefined when no sound header of this version is there. */
export function decodeEntryHeader(bytes: Buffer, at: number): EntryHeader | undefined {
  if (bytes.length < at + ENTRY_HEADER_BYTES) return undefined
  if (bytes.compare(ENTRY_MARKER, 0, 4, at, at + 4) !== 0) return undefined
  if (bytes.readUInt32BE(at + 48) !== crc32(bytes.subarray(at, at + 48))) return undefined
  const codec = bytes[at + 5]
  const storedBytes = bytes.readUInt32BE(at + 40)
  const lengthBytes = bytes.readUInt32BE(at + 44)
  const encoding = encodingOf(bytes[at + 4])
  if (encoding === undefined || (codec !== RAW && codec !== DAG_CBOR)) return undefined
  if (!isEncodedLength(encoding, storedBytes, lengthBytes)) return undefined
  const key = new Uint8Array(bytes.subarray(at + 5, at + 5 + CID_KEY_BYTES))
  const owner = bytes[at + 38] === 0 ? {} : { owner: NOBODY }
  return { key, encoding, storedBytes, lengthBytes, ...owner }
}

/** The byte that stands for an encoding in packs and in the index. */
export function encodingNumber(encoding: BlockEncoding): number {
  return encoding === 'plain' ? 0 : 1
}

export function encodingOf(number: number | undefined): BlockEncoding | undefined {
  return number === 0 ? 'plain' : number === 1 ? 'zstd' : undefined
}

/** `00000007.pack` */
export function packFileName(packId: number): string {
  return `${String(packId).padStart(8, '0')}.pack`
}

/** The id in a pack's file name, or undefined when the name is not a pack's. */
export function packIdOf(fileName: string): number | undefined {
  const match = /^(\d{8,10})\.pack$/.exec(fileName)
  if (match === null) return undefined
  const packId = Number(match[1])
  return packId <= MAX_PACK_ID && packFileName(packId) === fileName ? packId : undefined
}
