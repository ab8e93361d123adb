import type { Cid } from './cid.ts'

/** The unit of storage and transfer: a chunk, or an encoded DAG node. `bytes` are plain (not compressed). */
export interface Block {
  readonly cid: Cid
  readonly bytes: Uint8Array
}

/** Bytes of the largest block that is stored, sent or accepted. */
export const MAX_BLOCK_BYTES = 4 * 1024 * 1024
