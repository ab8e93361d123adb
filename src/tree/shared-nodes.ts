/**
 * Decoded nodes of files, shared by all who read of one file: a thousand that begin together load and hold each node once. One
 * that takes long to come (out of the mesh) ends with the reader that asked for it; the next one who waits asks again.
 *
 * Bounded: MAX_NODES of up to a few hundred kB each, and those that readers have in their hands.
 */
import { cidKey } from '../block/cid.ts'
import { type LoadFileNode, loadFileNode } from '../dag/reader.ts'
import { abortable } from './abort.ts'

const MAX_NODES = 32

type LoadedNode = Awaited<ReturnType<LoadFileNode>>

export function createSharedNodes(): LoadFileNode {
  /** By CID and by what its parent says of it. */
  const nodes = new Map<string, LoadedNode>()
  const loading = new Map<string, Promise<LoadedNode>>()

  function keep(key: string, node: LoadedNode): void {
    nodes.delete(key)
    if (nodes.size >= MAX_NODES) nodes.delete(nodes.keys().next().value!)
    nodes.set(key, node)
  }

  return async (source, ref, signal) => {
    const key = `${cidKey(ref.cid)} ${ref.sizeBytes} ${ref.level}`
    for (;;) {
      const node = nodes.get(key)
      if (node !== undefined) {
        keep(key, node)
        return node
      }
      const others = loading.get(key)
      if (others === undefined) break
      await abortable(
        others.then(
          () => undefined,
          () => undefined,
        ),
        signal,
      )
    }
    const own = loadFileNode(source, ref, signal)
    loading.set(key, own)
    try {
      const node = await own
      keep(key, node)
      return node
    } finally {
      loading.delete(key)
    }
  }
}
