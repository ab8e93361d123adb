/**
 * Nodes of trees, as a hostile publisher may make them: directories, files, indexes, snapshots, attributes. What is taken is
 * written again as the same bytes where there is one way to write it, and holds nothing that could lead out of a tree.
 */
import assert from 'node:assert/strict'
import { cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import { decodeIndexNode, encodeBranch, encodePage } from '../../src/dag/block-index.ts'
import { decodeDirectoryNode } from '../../src/dag/directory.ts'
import { decodeEntry, type Entry, encodeEntry } from '../../src/dag/entry.ts'
import { decodeFileNode } from '../../src/dag/file.ts'
import { decodeSnapshot, encodeSnapshot } from '../../src/dag/snapshot.ts'
import { decodeXattrBlock } from '../../src/dag/xattrs.ts'
import { mutateBytes, type Random } from './mutate.ts'
import { attempt, goldenNodes, mutated, type Trial } from './target.ts'

const { entries, blocks } = goldenNodes()
const DECODERS = {
  directory: (bytes: Uint8Array) => {
    const node = decodeDirectoryNode(cidOf(DAG_CBOR, bytes), bytes)
    if (node.kind === 'leaf') for (const entry of node.entries) checkEntry(entry, false)
    return true
  },
  file: (bytes: Uint8Array) => {
    const { parts, sizeBytes } = decodeFileNode(cidOf(DAG_CBOR, bytes), bytes)
    assert.equal(
      parts.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0),
      sizeBytes,
    )
    return true
  },
  index: (bytes: Uint8Array) => {
    const node = decodeIndexNode(cidOf(DAG_CBOR, bytes), bytes)
    if (node.kind === 'page') assertSame(encodePage(node.page.blocks).bytes, bytes)
    else if (node.level === 1) assertSame(encodeBranch(node.children).bytes, bytes)
    return true
  },
  snapshot: (bytes: Uint8Array) => {
    const snapshot = decodeSnapshot(cidOf(DAG_CBOR, bytes), bytes)
    assertSame(encodeSnapshot(snapshot).bytes, bytes)
    checkEntry(snapshot.root, true)
    return true
  },
  xattrs: (bytes: Uint8Array) => {
    for (const { name } of decodeXattrBlock(cidOf(DAG_CBOR, bytes), bytes)) assert.ok(name.length > 0)
    return true
  },
} as const

export function tryDag(random: Random): Trial {
  if (random.int(4) === 0) {
    const input = mutated(random, random.pick(entries))
    const entry = attempt(() => decodeEntry(input))
    if (entry !== undefined) {
      assertSame(encodeEntry(entry), input)
      checkEntry(entry, entry.name.length === 0)
    }
    return { taken: entry !== undefined, input }
  }
  const { name, bytes } = random.pick(blocks)
  const input = random.int(4) === 0 ? mutateBytes(random, bytes) : mutated(random, bytes)
  // A node of one kind where another is wanted as well.
  const kind = random.int(6) === 0 ? random.pick(Object.keys(DECODERS)) : kindOf(name)
  return { taken: attempt(() => DECODERS[kind as keyof typeof DECODERS](input)) === true, input }
}

function kindOf(name: string): string {
  return Object.keys(DECODERS).find((kind) => name.includes(kind)) ?? 'snapshot'
}

function checkEntry(entry: Entry, isRoot: boolean): void {
  const name = Buffer.from(entry.name)
  if (!isRoot) {
    assert.ok(name.length >= 1 && name.length <= 255)
    assert.ok(!name.includes(0) && !name.includes(0x2f), 'a name with a slash or NUL')
    assert.ok(!name.equals(Buffer.from('.')) && !name.equals(Buffer.from('..')))
  }
  if (entry.type === 'symlink') assert.ok(entry.target.length > 0 && !entry.target.includes(0))
}

function assertSame(written: Uint8Array, read: Uint8Array): void {
  assert.equal(Buffer.compare(written, read), 0, 'it is not written as it was read')
}
