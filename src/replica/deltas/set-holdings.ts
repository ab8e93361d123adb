/**
 * What this node holds of sets of encodings that nobody here fetches or makes just now: worked out from the store when
 * somebody asks, since nothing of it is written down but the blocks themselves.
 */
import { isMirrorError } from '../../base/errors.ts'
import type { Cid } from '../../block/cid.ts'
import { RAW } from '../../block/cid.ts'
import { decodeEncodings } from '../../dag/encodings.ts'
import { listPages, readPage } from '../../dag/reader.ts'
import { getBlock } from '../../dag/source.ts'
import type { HoldingUpdate } from '../../net/ports.ts'
import type { TreeState } from '../../record/mesh-state.ts'
import type { BlockReader } from '../../store/block-store.ts'
import { encodingsName } from '../fetch/encodings-name.ts'
import type { Holdings } from '../holdings/holdings.ts'

export interface SetHoldingsComponents {
  readonly blocks: BlockReader
  /** The store as a tree has it; the same for all trees where none is private. */
  readonly blocksOf?: (tree: string) => BlockReader
  readonly state: () => TreesWithSets
}

interface TreesWithSets {
  readonly trees: ReadonlyMap<string, Pick<TreeState, 'encodings'>>
}

/** The same holdings, which answer for sets as well. */
export function withSets(holdings: Holdings, components: SetHoldingsComponents): Holdings {
  return {
    ...holdings,
    async *watch(tree, snapshot, signal) {
      if (snapshot.code === RAW) yield* storedPart(components, tree, snapshot, signal)
      // Told anew if it is in progress, and then of what changes.
      yield* holdings.watch(tree, snapshot, signal)
    },
  }
}

async function* storedPart(
  { blocks: all, blocksOf = () => all, state }: SetHoldingsComponents,
  tree: string,
  name: Cid,
  signal: AbortSignal,
): AsyncGenerator<HoldingUpdate, void, undefined> {
  const set = findSet(state(), tree, name)
  if (set === undefined) return
  const blocks = blocksOf(tree)
  try {
    const { index } = decodeEncodings(set, await getBlock(blocks, set, 'set of encodings', signal))
    let number = 0
    for await (const ref of listPages(blocks, index, signal)) {
      const page = await readPage(blocks, ref, signal)
      const has = await blocks.has(page.blocks.map(({ cid }) => cid))
      const offsets = [...has.keys()].filter((offset) => has[offset] === true)
      if (offsets.length === has.length) yield { kind: 'pages', full: [number] }
      else if (offsets.length > 0) yield { kind: 'blocks', page: number, offsets }
      number++
    }
  } catch (error) {
    // Some of its nodes are not here: of what they list this node holds nothing that it could tell the place of.
    if (!isMirrorError(error, 'not-found')) throw error
  }
}

/** The newest set of the pair that has this name. */
function findSet({ trees }: TreesWithSets, tree: string, name: Cid): Cid | undefined {
  for (const all of trees.get(tree)?.encodings.values() ?? [])
    for (const { body } of all)
      if (encodingsName(tree, body.snapshot, body.base).equals(name)) return body.set ?? undefined
  return undefined
}
