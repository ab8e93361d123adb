/** dag-cbor, strict: one byte string per value, so a node's CID is a function of its meaning. */
import * as dagCbor from '@ipld/dag-cbor'
import { equalBytes } from '../base/bytes.ts'
import { MirrorError } from '../base/errors.ts'
import type { Block } from './block.ts'
import { MAX_BLOCK_BYTES } from './block.ts'
import { cidOf, DAG_CBOR } from './cid.ts'

/** Lists and maps in each other. */
export const MAX_DEPTH = 64

export function encodeCbor(value: unknown): Uint8Array {
  const bytes: Uint8Array = dagCbor.encode(value)
  // The library returns a Buffer at times, whose slice() shares its memory.
  return Buffer.isBuffer(bytes) ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length) : bytes
}

/**
 * The value that `bytes` spell, still unchecked in shape.
 * @param what names the thing in the error
 * @throws MirrorError `limit` over `maxBytes` or MAX_DEPTH, `corrupt` when they are not canonical dag-cbor
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
  checkDepth(value, what)
  return value
}

/** The library goes as deep as the stack has room just then: without a bound, one node takes what another refuses. */
function checkDepth(value: unknown, what: string): void {
  let level: unknown[] = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) throw new MirrorError('limit', `${what} is nested over ${MAX_DEPTH} deep`)
    level = level.flatMap(childrenOf)
  }
}

function childrenOf(value: unknown): unknown[] {
  if (Array.isArray(value)) return value
  const isMap =
    typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
  return isMap ? Object.values(value) : []
}

/** Encodes a DAG node as a block. */
export function nodeBlock(value: unknown): Block {
  const bytes = encodeCbor(value)
  return { cid: cidOf(DAG_CBOR, bytes), bytes }
}
