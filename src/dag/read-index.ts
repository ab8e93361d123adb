import { MirrorError } from '../base/errors.ts'
import type { Cid } from '../block/cid.ts'
import type { IndexPage, PageRef } from './block-index.ts'
import { decodeIndexNode } from './block-index.ts'
import { createFingerprintSet } from './fingerprint-set.ts'
import type { NodeSource } from './source.ts'
import { getBlock } from './source.ts'

/**
 * The pages of an index in order. Reads branches only, but for an index of a single page: that one is read, to
 * tell its blocks and bytes. A node that is listed twice is refused: an index has each block once, and one page named
 * a million million times would be read without end. Holds 25 to 50 bytes a page, which is a thousand blocks.
 */
export async function* listPages(
  source: NodeSource,
  indexRoot: Cid,
  signal?: AbortSignal,
): AsyncGenerator<PageRef, void, undefined> {
  const root = decodeIndexNode(indexRoot, await getBlock(source, indexRoot, 'block index', signal))
  if (root.kind === 'page') {
    yield { cid: indexRoot, blocks: root.page.blocks.length, sizeBytes: sizeOf(root.page) }
    return
  }
  const seen = createFingerprintSet()
  const stack = [...root.children].reverse().map((ref) => ({ ref, level: root.level - 1 }))
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { ref, level } = next
    if (!seen.add(ref.cid)) {
      throw new MirrorError('corrupt', `a block index lists its node ${ref.cid.toString()} twice`)
    }
    if (level === 0) {
      yield ref
      continue
    }
    const node = decodeIndexNode(ref.cid, await getBlock(source, ref.cid, 'block index', signal))
    if (node.kind !== 'branch' || node.level !== level || !addsUp(ref, node.children))
      throw notAsClaimed(ref.cid)
    for (const child of [...node.children].reverse()) stack.push({ ref: child, level: level - 1 })
  }
}

/**
 * One page; given as its ref, its blocks and bytes must be what the branch says.
 * @throws MirrorError `corrupt` when they are not, or when the block is no page
 */
export async function readPage(
  source: NodeSource,
  page: Cid | PageRef,
  signal?: AbortSignal,
): Promise<IndexPage> {
  const ref = 'blocks' in page ? page : undefined
  const cid = 'blocks' in page ? page.cid : page
  const node = decodeIndexNode(cid, await getBlock(source, cid, 'index page', signal))
  if (node.kind !== 'page') throw new MirrorError('corrupt', `index node ${cid.toString()} is no page`)
  if (ref !== undefined && (node.page.blocks.length !== ref.blocks || sizeOf(node.page) !== ref.sizeBytes)) {
    throw notAsClaimed(cid)
  }
  return node.page
}

function sizeOf(page: IndexPage): number {
  let sizeBytes = 0
  for (const { lengthBytes } of page.blocks) sizeBytes += lengthBytes
  return sizeBytes
}

function addsUp(ref: PageRef, children: readonly PageRef[]): boolean {
  let blocks = 0
  let sizeBytes = 0
  for (const child of children) {
    blocks += child.blocks
    sizeBytes += child.sizeBytes
  }
  return blocks === ref.blocks && sizeBytes === ref.sizeBytes
}

function notAsClaimed(cid: Cid): MirrorError {
  return new MirrorError('corrupt', `index node ${cid.toString()} is not what its parent says of it`)
}
