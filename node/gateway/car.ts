/**
 * A part of the DAG as a CARv1 archive (https://ipld.io/specs/transport/car/carv1/), made as it is sent: each block
 * before what it links to, depth first, each once.
 *
 *   archive  varint of the header's length, header: dag-cbor { roots: [CID], version: 1 }
 *   section  varint of the length of what follows, CID, the block's bytes
 *
 * What a node links to is read off its tags, whatever it is: folders, lists of chunks, snapshots, block indexes.
 *
 * Bounded: the blocks that were sent are remembered in a set that goes to a scratch file; what is still to come is
 * remembered as links of the nodes on the way down.
 */
import { concatBytes } from '../../src/base/bytes.ts'
import { type Cid, DAG_CBOR } from '../../src/block/cid.ts'
import { encodeCbor } from '../../src/block/codec.ts'
import { linksOf } from '../../src/block/links.ts'
import { createFingerprintSet } from '../../src/dag/fingerprint-set.ts'
import type { NodeSource } from '../../src/dag/reader.ts'
import type { Scratch } from '../../src/dag/scratch.ts'
import { getBlock } from '../../src/dag/source.ts'

export const CAR_TYPE = 'application/vnd.ipld.car; version=1; order=dfs; dups=n'

/** `block`: the root alone. `all`: everything below it. */
export type CarScope = 'block' | 'all'

export async function* carOf(
  { blocks, scratch }: { readonly blocks: NodeSource; readonly scratch: Scratch },
  root: Cid,
  { scope, signal }: { readonly scope: CarScope; readonly signal: AbortSignal },
): AsyncGenerator<Uint8Array> {
  const seen = createFingerprintSet({ scratch })
  try {
    // Read before the header is sent: a root that is not here is an error, not an archive without it.
    let bytes = await getBlock(blocks, root, 'CAR', signal)
    const header = encodeCbor({ roots: [root], version: 1 })
    yield concatBytes([varint(header.length), header])
    const pending: Cid[] = []
    seen.add(root)
    for (let cid: Cid | undefined = root; cid !== undefined; cid = nextOf(pending, seen)) {
      if (cid !== root) bytes = await getBlock(blocks, cid, 'CAR', signal)
      yield concatBytes([varint(cid.bytes.length + bytes.length), cid.bytes])
      yield bytes
      if (scope === 'all' && cid.code === DAG_CBOR)
        for (const link of linksOf(bytes).reverse()) pending.push(link)
    }
  } finally {
    seen.close()
  }
}

function nextOf(pending: Cid[], seen: { add(cid: Cid): boolean }): Cid | undefined {
  for (let cid = pending.pop(); cid !== undefined; cid = pending.pop()) if (seen.add(cid)) return cid
  return undefined
}

function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80)
  return Uint8Array.of(...bytes, rest)
}
