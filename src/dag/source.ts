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
  if (bytes === undefined) throw missing(cid, what)
  return bytes
}

/** As `getBlock`, of many, at once where the source can. How much they are is the caller's to bound. */
export async function getBlocks(
  source: NodeSource,
  cids: readonly Cid[],
  what: string,
  signal: AbortSignal | undefined,
): Promise<Uint8Array[]> {
  signal?.throwIfAborted()
  if (source.getMany === undefined || cids.length === 1)
    return Promise.all(cids.map((cid) => getBlock(source, cid, what, signal)))
  const found = await source.getMany(cids, signal)
  return found.map((bytes, at) => {
    if (bytes === undefined) throw missing(cids[at]!, what)
    return bytes
  })
}

function missing(cid: Cid, what: string): MirrorError {
  return new MirrorError('not-found', `block ${cid.toString()} is not here (${what})`, {
    facts: { cid: cid.toString() },
    hint: 'The snapshot is not complete here; fetch it, or read it at a site that has it.',
  })
}
