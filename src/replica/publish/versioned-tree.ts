/** Publishing one version of a tree whose root holds versions: the others are taken from the newest snapshot. */
import { printableName } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { MirrorError } from '../../base/errors.ts'
import type { Snapshot } from '../../dag/snapshot.ts'
import type { TreeBody } from '../../record/kinds/tree.ts'
import type { Head } from '../../record/mesh-state.ts'
import type { BlockStore } from '../../store/block-store.ts'
import { graft } from '../../tree/import/graft.ts'
import type { ImportResult } from '../../tree/import/import.ts'
import type { CompleteSnapshots } from '../holdings/complete-snapshots.ts'

export interface VersionComponents {
  readonly blocks: BlockStore
  readonly complete: Pick<CompleteSnapshots, 'has'>
  readonly clock: Clock
  readonly tempDir: string
}

const MAX_NAME_BYTES = 255

/** @throws MirrorError `invalid` for a name that no folder can have, `refused` for a tree of another kind */
export function checkVersion(
  { name, kind }: Pick<TreeBody, 'name' | 'kind'>,
  {
    version,
    isDry,
    inPlace,
  }: { readonly version?: string; readonly isDry?: boolean; readonly inPlace?: boolean },
): void {
  if (version === undefined) return
  if (
    version === '' ||
    version === '.' ||
    version === '..' ||
    /[/\0]/.test(version) ||
    Buffer.byteLength(version) > MAX_NAME_BYTES
  )
    throw new MirrorError(
      'invalid',
      `"${printableName(Buffer.from(version))}" is not a name that a folder can have`,
    )
  if (isDry === true || inPlace === true)
    throw new MirrorError(
      'invalid',
      `one version is published for good and by copy: not in place, and not as a dry run`,
    )
  if (kind === 'versioned') return
  throw new MirrorError('refused', `${name} is not a tree of versions`, {
    facts: { tree: name },
    hint: `An admin makes it one: mirrormesh tree set ${name} --kind versioned`,
  })
}

/**
 * The import of one version as that of the whole tree.
 * @throws MirrorError `degraded` when the newest snapshot is not complete here
 */
export async function addVersion(
  components: VersionComponents,
  options: {
    readonly read: ImportResult
    readonly tree: string
    readonly version: Uint8Array
    readonly before: Head | undefined
    readonly previous: Snapshot | undefined
    readonly signal?: AbortSignal | undefined
  },
): Promise<ImportResult> {
  const { read, tree, version, before, previous, signal } = options
  if (before !== undefined) checkWhole(components, tree, before)
  const { snapshot, snapshotCid, newBlocks, newBytes } = await graft(components, {
    ...(before === undefined || previous === undefined
      ? {}
      : { base: { snapshot: previous, cid: before.snapshot } }),
    add: { name: version, snapshot: read.snapshot },
    ...(signal === undefined ? {} : { signal }),
  })
  const { blockBytes: _blockBytes, specials = 0, ...counts } = snapshot.counts
  return {
    ...read,
    ...counts,
    ...{ specials, snapshot, snapshotCid, uncaptured: snapshot.uncaptured },
    newBlocks: read.newBlocks + newBlocks,
    newBytes: read.newBytes + newBytes,
  }
}

/** @throws MirrorError `degraded` */
export function checkWhole(
  { complete }: Pick<VersionComponents, 'complete'>,
  tree: string,
  { snapshot, sequence }: Pick<Head, 'snapshot' | 'sequence'>,
): void {
  if (complete.has(tree, snapshot)) return
  throw new MirrorError(
    'degraded',
    `${tree}@${sequence} is not complete here, and the other versions are taken from it`,
    {
      facts: { tree, sequence },
      hint: `Pin ${tree} to this site and wait for it: mirrormesh wait ${tree}`,
    },
  )
}
