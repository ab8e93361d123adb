/**
 * How long a block's key is: for threads that compare blocks with keys and need no CIDs. Loading those takes a thread 12 ms of
 * its start.
 */
import { DIGEST_BYTES } from './hash.ts'

/** Codec byte and digest. */
export const CID_KEY_BYTES = 1 + DIGEST_BYTES
