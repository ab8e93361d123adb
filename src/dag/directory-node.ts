/**
 * Loading the nodes of one directory while holding each to what its parent says of it: level, number of entries and
 * range of names. Without this a directory that was made on purpose could show an entry to one reader and hide it
 * from another, or send a reader in circles.
 */
import { compareBytes, equalBytes } from '../base/bytes.ts'
import { MirrorError } from '../base/errors.ts'
import type { Cid } from '../block/cid.ts'
import type { DirectoryNode } from './directory.ts'
import { decodeDirectoryNode } from './directory.ts'
import type { Entry } from './entry.ts'
import type { NodeSource } from './source.ts'
import { getBlock } from './source.ts'

/** A node that is to be read; the claims are absent for a directory's root. */
export interface DirectoryRef {
  readonly cid: Cid
  readonly claim?: {
    readonly level: number
    readonly entries: number
    /** Every name below is greater. */
    readonly after: Uint8Array | undefined
    readonly lastName: Uint8Array
  }
}

export interface LoadedLeaf {
  readonly kind: 'leaf'
  readonly lengthBytes: number
  readonly entries: readonly Entry[]
}

export interface LoadedBranch {
  readonly kind: 'branch'
  readonly lengthBytes: number
  readonly children: readonly DirectoryRef[]
}

export type LoadDirectoryNode = (
  source: NodeSource,
  ref: DirectoryRef,
  signal: AbortSignal | undefined,
) => Promise<LoadedLeaf | LoadedBranch>

/** @throws MirrorError `not-found`, `corrupt`, `limit` or `unsupported` */
export async function loadDirectoryNode(
  source: NodeSource,
  ref: DirectoryRef,
  signal: AbortSignal | undefined,
): Promise<LoadedLeaf | LoadedBranch> {
  const bytes = await getBlock(source, ref.cid, 'directory', signal)
  const node = decodeDirectoryNode(ref.cid, bytes)
  if (ref.claim !== undefined && !isAsClaimed(node, ref.claim)) {
    throw new MirrorError('corrupt', `dir node ${ref.cid.toString()} is not what its parent says of it`)
  }
  if (node.kind === 'leaf') return { kind: 'leaf', lengthBytes: bytes.length, entries: node.entries }
  let after = ref.claim?.after
  const children = node.children.map(({ cid, entries, lastName }): DirectoryRef => {
    const child = { cid, claim: { level: node.level - 1, entries, after, lastName } }
    after = lastName
    return child
  })
  return { kind: 'branch', lengthBytes: bytes.length, children }
}

function isAsClaimed(node: DirectoryNode, claim: NonNullable<DirectoryRef['claim']>): boolean {
  const level = node.kind === 'leaf' ? 0 : node.level
  const names =
    node.kind === 'leaf'
      ? node.entries.map(({ name }) => name)
      : node.children.map(({ lastName }) => lastName)
  const entries =
    node.kind === 'leaf' ? node.entries.length : node.children.reduce((sum, child) => sum + child.entries, 0)
  const first = names[0]
  const last = names.at(-1)
  return (
    level === claim.level &&
    entries === claim.entries &&
    first !== undefined &&
    last !== undefined &&
    equalBytes(last, claim.lastName) &&
    (claim.after === undefined || compareBytes(claim.after, first) < 0)
  )
}
