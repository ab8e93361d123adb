/** What a site that holds one snapshot lacks of the next: its blocks, and what they weigh plain and compressed. */
import { constants, zstdCompressSync } from 'node:zlib'
import { type Cid, cidKey, RAW } from '../../src/block/cid.ts'
import { decodeIndexNode } from '../../src/dag/block-index.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import type { BlockReader } from '../../src/store/block-store.ts'

export interface Weight {
  readonly blocks: number
  readonly bytes: number
  /** By level: the sum of each block compressed by itself, or plain where that is shorter. */
  readonly zstd1Bytes: number
  readonly zstd3Bytes: number
}

export interface NewBlocks {
  readonly chunks: Weight
  /** Nodes of directories and files, of the block index, and the snapshot's block. */
  readonly metadata: Weight
  /** Both, compressed at level 3 by what one request may carry: GROUP_BYTES of neighbours in one frame. */
  readonly groupedBytes: number
}

const GROUP_BYTES = 2 * 1024 * 1024

/** @param held undefined for a site that has nothing */
export async function newBlocks(blocks: BlockReader, held: Cid | undefined, wanted: Cid): Promise<NewBlocks> {
  const known = new Set<string>()
  if (held !== undefined) for await (const cid of allBlocks(blocks, held)) known.add(cidKey(cid))
  const chunks = { blocks: 0, bytes: 0, zstd1Bytes: 0, zstd3Bytes: 0 }
  const metadata = { ...chunks }
  const grouped = createGroups()
  for await (const cid of allBlocks(blocks, wanted)) {
    if (known.has(cidKey(cid))) continue
    known.add(cidKey(cid))
    const bytes = await getBlock(blocks, cid)
    const weight = cid.code === RAW ? chunks : metadata
    weight.blocks += 1
    weight.bytes += bytes.length
    weight.zstd1Bytes += Math.min(bytes.length, compressedBytes(bytes, 1))
    weight.zstd3Bytes += Math.min(bytes.length, compressedBytes(bytes, 3))
    grouped.add(bytes)
  }
  return { chunks, metadata, groupedBytes: grouped.finish() }
}

function createGroups(): { add(bytes: Uint8Array): void; finish(): number } {
  let group: Uint8Array[] = []
  let [groupBytes, sentBytes] = [0, 0]
  function end(): void {
    if (groupBytes > 0) sentBytes += Math.min(groupBytes, compressedBytes(Buffer.concat(group), 3))
    group = []
    groupBytes = 0
  }
  return {
    add(bytes) {
      if (groupBytes + bytes.length > GROUP_BYTES) end()
      group.push(bytes)
      groupBytes += bytes.length
    },
    finish() {
      end()
      return sentBytes
    },
  }
}

/** The snapshot's own block, the nodes of its index, and all that the index lists. */
async function* allBlocks(blocks: BlockReader, snapshot: Cid): AsyncGenerator<Cid> {
  yield snapshot
  const open = [decodeSnapshot(snapshot, await getBlock(blocks, snapshot)).index]
  for (let cid = open.pop(); cid !== undefined; cid = open.pop()) {
    yield cid
    const node = decodeIndexNode(cid, await getBlock(blocks, cid))
    if (node.kind === 'branch') open.push(...node.children.map((child) => child.cid))
    else for (const listed of node.page.blocks) yield listed.cid
  }
}

async function getBlock(blocks: BlockReader, cid: Cid): Promise<Uint8Array> {
  const bytes = await blocks.get(cid)
  if (bytes === undefined) throw new Error(`the store does not hold ${cid.toString()}`)
  return bytes
}

function compressedBytes(bytes: Uint8Array, level: number): number {
  return zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: level } }).length
}
