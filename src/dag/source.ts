import type { Cid } from '../block/cid.ts'

/** Where readers take blocks from. The bytes are plain and verified against the CID; undefined is missing. */
export interface NodeSource {
  get(cid: Cid, signal?: AbortSignal): Promise<Uint8Array | undefined>
}
