/**
 * Decoded nodes of directories that files were looked up in of late: to decode one of a thousand entries for one of them costs
 * a hundred times what finding it there does. Each was held to what its parent says of it when it was loaded.
 *
 * Bounded by the bytes of the encoded nodes, of which the decoded ones are some ten times as large.
 */
import { LRUCache } from 'lru-cache'
import { cidKey } from '../../src/block/cid.ts'
import { type DirectoryRef, type LoadDirectoryNode, loadDirectoryNode } from '../../src/dag/reader.ts'

const MAX_ENCODED_BYTES = 2 * 1024 * 1024
/** An entry of the map, and the objects of a small node. */
const OVERHEAD_BYTES = 128

/** For one source: what was found there is not asked for again. */
export function createHotDirectories({ maxBytes = MAX_ENCODED_BYTES } = {}): LoadDirectoryNode {
  const kept = new LRUCache<string, Awaited<ReturnType<LoadDirectoryNode>>>({
    maxSize: maxBytes,
    sizeCalculation: ({ lengthBytes }) => lengthBytes + OVERHEAD_BYTES,
  })
  return async (source, ref, signal) => {
    const key = keyOf(ref)
    const known = kept.get(key)
    if (known !== undefined) return known
    const node = await loadDirectoryNode(source, ref, signal)
    kept.set(key, node)
    return node
  }
}

/** With what its parent says: the same node under another parent is another, or none. */
function keyOf({ cid, claim }: DirectoryRef): string {
  if (claim === undefined) return cidKey(cid)
  const { level, entries, after, lastName } = claim
  const names = [after ?? new Uint8Array(0), lastName].map((name) => Buffer.from(name).toString('hex'))
  return `${cidKey(cid)} ${level} ${entries} ${names.join(' ')}`
}
