/** How many bytes a site that holds one snapshot would have to fetch for another: as they are, and as deltas. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { MirrorError } from '../../../src/base/errors.ts'
import { tryZstdLater, WIRE_LEVEL } from '../../../src/block/encoding.ts'
import type { IndexedBlock } from '../../../src/dag/block-index.ts'
import { listNewBlocks } from '../../../src/delta/list-new-blocks.ts'
import { weighIndex } from '../../../src/replica/serve/weigh-index.ts'
import { checkInside } from '../access.ts'
import type { DiffBytesAnswer } from '../answers.ts'
import { type FoundSnapshot, findSnapshot } from '../find-snapshot.ts'
import { parseQuery } from '../parse.ts'
import { says } from '../route-spec.ts'
import { DIFF_BYTES } from '../schema/tree-schema.ts'
import type { Services } from '../services.ts'
import { signalOf } from './tree-routes.ts'

/** Blocks to this length are weighed; of more, evenly spread ones stand for the rest. */
const WEIGHED_BYTES = 64 * 1024 * 1024

const QUERY = z.object({
  ref: z.string().optional(),
  toTree: z.string().optional(),
  toRef: z.string().optional(),
})

export function addDiffBytesRoute(app: FastifyInstance, services: Services): void {
  app.get<{ Params: { tree: string } }>(
    '/api/v1/trees/:tree/diff-bytes',
    says({
      summary: 'What a site that holds the one snapshot would fetch for the other',
      scope: 'read',
      query: QUERY,
      answer: DIFF_BYTES,
    }),
    async ({ access, params: { tree }, url }, reply): Promise<DiffBytesAnswer> => {
      const { ref, toTree = tree, toRef } = parseQuery(QUERY, url)
      // What two trees have in common tells of the one what is known of the other.
      for (const each of [tree, toTree]) checkInside(access, services.ledger.state(), each)
      const held = signalOf(reply)
      const from = await findSnapshot(services, tree, ref, held, { orBranch: true })
      const to = await findSnapshot(services, toTree, toRef, held, { orBranch: true })
      const { blocks: newBlocks, bytes: newBytes, zstdShare } = await weighNew(services, from, to, held)
      const made = services.ledger
        .state()
        .trees.get(toTree)
        ?.encodings.get(to.cid.toString())
        ?.find(({ body }) => body.base.equals(from.cid) && body.set !== null)?.body
      const { travellingBytes: indexBytes } = await weighIndex(
        services.blocks,
        { from: from.cid, to: to.cid },
        held,
      )
      const restBytes = newBytes - Math.min(newBytes, made?.targetBytes ?? 0)
      return {
        from: from.place,
        to: to.place,
        newBlocks,
        newBytes,
        zstdBytes: Math.round(newBytes * zstdShare),
        indexBytes,
        deltas:
          made === undefined
            ? null
            : {
                bytes: made.bytes,
                targetBytes: made.targetBytes,
                restZstdBytes: Math.round(restBytes * zstdShare),
              },
      }
    },
  )
}

/** What is new, and to what share of its bytes compression brings it on the way. */
async function weighNew(
  { blocks }: Pick<Services, 'blocks'>,
  from: FoundSnapshot,
  to: FoundSnapshot,
  signal: AbortSignal,
): Promise<{ blocks: number; bytes: number; zstdShare: number }> {
  const indexes = { target: to.snapshot.index, base: from.snapshot.index }
  const list = async (): Promise<AsyncIterable<IndexedBlock>> => {
    const found = await listNewBlocks(blocks, indexes, signal)
    if (found !== undefined) return found
    throw new MirrorError('limit', 'more blocks have changed between the two than are compared at a time')
  }
  const total = { blocks: 0, bytes: 0 }
  for await (const { lengthBytes } of await list()) {
    total.blocks++
    total.bytes += lengthBytes
  }
  const step = Math.max(1, Math.ceil(total.bytes / WEIGHED_BYTES))
  const weighed = { plain: 0, zstd: 0 }
  let at = 0
  for await (const { cid, lengthBytes } of await list()) {
    if (at++ % step !== 0) continue
    const bytes = await blocks.get(cid, signal)
    if (bytes === undefined) continue
    weighed.plain += lengthBytes
    weighed.zstd += (await tryZstdLater(bytes, WIRE_LEVEL))?.length ?? lengthBytes
  }
  return { ...total, zstdShare: weighed.plain === 0 ? 1 : weighed.zstd / weighed.plain }
}
