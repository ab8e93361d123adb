import { MirrorError } from '../base/errors.ts'
import type { Cid } from '../block/cid.ts'

/** Where readers take blocks from. The bytes are plain and verified against the CID; undefined is missing. */
export interface NodeSource {
  get(cid: Cid, signal?: AbortSignal): Promise<Uint8Array | undefined>
  /** As `get`, of many, in order: for sources where a batch costs little more than one. */
  getMany?(cids: readonly Cid[], signal?: AbortSignal): Promise<(Uint8Array | undefined)[]>
}

/** @throws MirrorError `not-found` with the CID in its facts when the source does not have the block */
export async function getBlock(
  source: NodeSource,
  cid: Cid,
  what: string,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  signal?.throwIfAborted()
  const bytes = await source.get(cid, signal)
  if (bytes === undefined) {
    throw new MirrorError('not-found', `block ${cid.toString()} is not here (${what})`, {
      facts: { cid: cid.toString() },
      hint: 'The snapshot is not complete here; fetch it, or read it at a site that has it.',
    })
  }
  return bytes
}
