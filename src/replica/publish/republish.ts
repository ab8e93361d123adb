/** New heads of what is here already: an old snapshot once more, or the newest without some of its versions. */
import { utf8 } from '../../base/bytes.ts'
import { MirrorError } from '../../base/errors.ts'
import { decodeSnapshot } from '../../dag/snapshot.ts'
import type { KeyPair } from '../../record/key.ts'
import { abortable } from '../../tree/abort.ts'
import { graft } from '../../tree/import/graft.ts'
import type { ReplicaLog } from '../fetch-network.ts'
import type { CompleteSnapshots } from '../holdings/complete-snapshots.ts'
import { createBlocksOf } from '../holdings/tree-views.ts'
import type { Ledger } from '../records/ledger.ts'
import { checkPublisher, type NextSnapshot, nextHead } from './next-head.ts'
import { type HeadPlace, placeOf } from './publish-result.ts'
import { checkWhole, type VersionComponents } from './versioned-tree.ts'

interface Components extends VersionComponents {
  readonly ledger: Ledger
  readonly complete: Pick<CompleteSnapshots, 'adopt' | 'has'>
  readonly nodeKey: KeyPair
  readonly logger: ReplicaLog
}

export interface RollBackOptions {
  readonly tree: string
  readonly sequence: number
  readonly signal?: AbortSignal
}

export interface DropVersionsOptions {
  readonly tree: string
  /** Names of folders at the root. */
  readonly versions: readonly string[]
  readonly signal?: AbortSignal
}

export interface RollBackResult extends HeadPlace {
  readonly tree: string
  /** False when the newest head has that snapshot already: nothing was signed. */
  readonly isNew: boolean
}

export async function rollBack(
  components: Components,
  reconcile: () => Promise<void>,
  { tree, sequence, signal }: RollBackOptions,
): Promise<RollBackResult> {
  const { ledger, blocks, complete, nodeKey, logger } = components
  checkPublisher(ledger.state(), tree, nodeKey)
  await abortable(reconcile(), signal)
  const { history, newest } = checkPublisher(ledger.state(), tree, nodeKey)
  const wanted = history.find((head) => head.sequence === sequence)
  if (wanted === undefined || newest === undefined) {
    throw new MirrorError('not-found', `${tree} has no sequence ${sequence}`, {
      hint: `See: mirrormesh tree history ${tree}`,
    })
  }
  const { snapshot, counts } = wanted
  using _lease = blocks.lease({ purpose: `roll back ${tree}`, roots: [snapshot] })
  if (!complete.has(tree, snapshot)) {
    throw new MirrorError(
      'degraded',
      `${tree}@${sequence} is not complete here any more, so nobody could be sure to get it`,
      { facts: { tree, sequence }, hint: 'Publish its content anew, or roll back to a newer one.' },
    )
  }
  const isThere: boolean = newest.snapshot.equals(snapshot)
  if (isThere) return { ...placeOf(newest), tree, isNew: false }
  const place = await sign(components, tree, { snapshot, counts })
  logger.info(
    { tree, snapshot: snapshot.toString(), of: sequence, sequence: place.sequence },
    'publish.rolled-back',
  )
  return { ...place, tree, isNew: true }
}

export async function dropVersions(
  components: Components,
  reconcile: () => Promise<void>,
  { tree, versions, signal }: DropVersionsOptions,
): Promise<RollBackResult> {
  const { ledger, complete, nodeKey, logger } = components
  const blocks = createBlocksOf(components.blocks, { state: ledger.state, clock: components.clock })(tree)
  checkPublisher(ledger.state(), tree, nodeKey)
  await abortable(reconcile(), signal)
  const { newest, body } = checkPublisher(ledger.state(), tree, nodeKey)
  if (body.kind !== 'versioned' || newest === undefined) {
    throw new MirrorError('refused', `${tree} has no versions that could be taken out`, { facts: { tree } })
  }
  using lease = blocks.lease({
    purpose: `drop versions of ${tree}`,
    isWriter: true,
    roots: [newest.snapshot],
  })
  checkWhole(components, tree, newest)
  const bytes = await blocks.get(newest.snapshot)
  if (bytes === undefined)
    throw new MirrorError('degraded', `the snapshot of ${tree}@${newest.sequence} is not stored here`)
  const base = { snapshot: decodeSnapshot(newest.snapshot, bytes), cid: newest.snapshot }
  const { snapshot, snapshotCid } = await graft(
    { ...components, blocks },
    {
      base,
      remove: versions.map((name) => utf8(name)),
      ...(signal === undefined ? {} : { signal }),
    },
  )
  lease.protect(snapshotCid)
  await complete.adopt(tree, snapshotCid, signal)
  const { files, directories, symlinks, bytes: size, blocks: count, blockBytes } = snapshot.counts
  const counts = { files, directories, symlinks, bytes: size, blocks: count, blockBytes }
  const place = await sign(components, tree, { snapshot: snapshotCid, counts, madeOf: { head: newest } })
  logger.info(
    { tree, snapshot: snapshotCid.toString(), sequence: place.sequence, versions },
    'publish.versions-dropped',
  )
  return { ...place, tree, isNew: true }
}

async function sign(
  { ledger, nodeKey }: Pick<Components, 'ledger' | 'nodeKey'>,
  tree: string,
  said: NextSnapshot,
): Promise<HeadPlace> {
  const record = await ledger.issue(nodeKey, 'head', (state) => nextHead(state, tree, said, nodeKey))
  if (record.content.kind !== 'head') throw new MirrorError('internal', 'the head was not signed as one')
  return placeOf(record.content.body)
}
