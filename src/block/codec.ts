/** dag-cbor, strict: one byte string per value, so a node's CID is a function of its meaning. */
import * as dagCbor from '@ipld/dag-cbor'
import { equalBytes } from '../base/bytes.ts'
import { MirrorError } from '../base/errors.ts'
import type { Block } from './block.ts'
import { MAX_BLOCK_BYTES } from './block.ts'
import { cidOf, DAG_CBOR } from './cid.ts'

export function encodeCbor(value: unknown): Uint8Array {
  const bytes: Uint8Array = dagCbor.encode(value)
  // The library returns a Buffer at times, whose slice() shares its memory.
  return Buffer.isBuffer(bytes) ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length) : bytes
}

/**
 * The value that `bytes` spell, still unchecked in shape.
 * @param what names the thing in the error
 * @throws MirrorError `limit` over `maxBytes`, `corrupt` when they are not canonical dag-cbor
 */
export function decodeCbor(bytes: Uint8Array, what: string, maxBytes = MAX_BLOCK_BYTES): unknown {
  if (bytes.length > maxBytes) {
    throw new MirrorError('limit', `${what} is ${bytes.length} bytes, over its limit of ${maxBytes}`)
  }
  let value: unknown
  let again: Uint8Array
  try {
    value = dagCbor.decode(bytes)
    // The library takes keys in any order, short floats and undefined; encoding again tells them apart.
    again = dagCbor.encode(value)
  } catch (error) {
    throw new MirrorError(
      'corrupt',
      `${what} is not dag-cbor: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    )
  }
  if (!equalBytes(again, bytes)) {
    throw new MirrorError('corrupt', `${what} is not canonical dag-cbor`)
  }
  return value
}

/** Encodes a DAG node as a block. */
export function nodeBlock(value: unknown): Block {
  const bytes = encodeCbor(value)
  return { cid: cidOf(DAG_CBOR, bytes), bytes }
}
