/**
 * Asks for every block that a block leads to, link by link, without reading what leads no further. A collection that is at work
 * leaves alone what was asked for, so that nothing of it goes while it is sent.
 */
import { type Cid, RAW } from '../../src/block/cid.ts'
import { linksOf } from '../../src/block/links.ts'
import { createFingerprintSet } from '../../src/dag/fingerprint-set.ts'
import type { Scratch } from '../../src/dag/scratch.ts'
import { getBlock } from '../../src/dag/source.ts'
import type { BlockReader } from '../../src/store/block-store.ts'

/** @throws MirrorError `not-found` with the CID of a block that is not here */
export async function lookThrough(
  { blocks, scratch }: { readonly blocks: BlockReader; readonly scratch: Scratch },
  root: Cid,
  signal: AbortSignal,
): Promise<void> {
  const seen = createFingerprintSet({ scratch })
  try {
    const stack = [root]
    for (let cid = stack.pop(); cid !== undefined; cid = stack.pop()) {
      if (cid.code === RAW || !seen.add(cid)) continue
      const links = linksOf(await getBlock(blocks, cid, 'CAR', signal))
      const leaves = links.filter(({ code }) => code === RAW)
      const isHere = await blocks.has(leaves)
      // Read after all, so that the error is that of any block that is missing.
      for (const [at, leaf] of leaves.entries())
        if (isHere[at] !== true) await getBlock(blocks, leaf, 'CAR', signal)
      for (const link of links) if (link.code !== RAW) stack.push(link)
    }
  } finally {
    seen.close()
  }
}
