/** The head of a snapshot that was held back, after an admin's yes: it follows the head that it was compared with, or none. */
import type { Clock } from '../../base/clock.ts'
import { MirrorError } from '../../base/errors.ts'
import { decodeSnapshot } from '../../dag/snapshot.ts'
import type { KeyPair } from '../../record/key.ts'
import type { BlockStore } from '../../store/block-store.ts'
import { abortable } from '../../tree/abort.ts'
import type { DeltaMode } from '../deltas/delta-mode.ts'
import type { DeltaPublisher } from '../deltas/delta-publisher.ts'
import type { ReplicaLog } from '../fetch-network.ts'
import type { CompleteSnapshots } from '../holdings/complete-snapshots.ts'
import { createBlocksOf } from '../holdings/tree-views.ts'
import type { Ledger } from '../records/ledger.ts'
import type { HeldBack } from './held-back.ts'
import { checkPublisher, nextHead } from './next-head.ts'
import { type HeadPlace, placeOf } from './publish-result.ts'
import { checkRules } from './publish-rules.ts'
import { startDeltas } from './start-deltas.ts'

interface Components {
  readonly ledger: Ledger
  readonly blocks: BlockStore
  readonly complete: Pick<CompleteSnapshots, 'adopt'>
  readonly nodeKey: KeyPair
  readonly clock: Clock
  readonly logger: ReplicaLog
  readonly deltas?: DeltaPublisher
}

export async function publishHeld(
  components: Components,
  reconcile: () => Promise<void>,
  { tree, snapshot: cid, previous }: HeldBack,
  { deltas, signal }: { readonly deltas: DeltaMode; readonly signal: AbortSignal },
): Promise<HeadPlace> {
  const { ledger, complete, nodeKey, clock, logger } = components
  const blocks = createBlocksOf(components.blocks, { state: ledger.state, clock })(tree)
  checkPublisher(ledger.state(), tree, nodeKey)
  await abortable(reconcile(), signal)
  const { newest: before, body } = checkPublisher(ledger.state(), tree, nodeKey)
  if (before?.id.equals(previous) !== true)
    throw new MirrorError(
      'conflict',
      `${tree} was published meanwhile: what was held back was not compared with that`,
    )
  using _lease = blocks.lease({ purpose: `publish ${tree}`, isWriter: true, roots: [cid, before.snapshot] })
  const [bytes, bytesBefore] = await blocks.getMany([cid, before.snapshot], signal)
  if (bytes === undefined)
    throw new MirrorError('unstable', `what was held back of ${tree} is not stored here any more`, {
      hint: 'Publish its source again.',
    })
  const snapshot = decodeSnapshot(cid, bytes)
  const root = bytesBefore && decodeSnapshot(before.snapshot, bytesBefore).root
  // The tree's gate may be another by now.
  await checkRules(body, { source: blocks, root: snapshot.root, before: root }, signal)
  const work = await startDeltas(components, { tree, snapshot: cid, before, mode: deltas })
  if (deltas === 'before' && work !== undefined) await abortable(work.done, signal)
  await complete.adopt(tree, cid, signal)
  const { files, directories, symlinks, bytes: size, blocks: count, blockBytes } = snapshot.counts
  const counts = { files, directories, symlinks, bytes: size, blocks: count, blockBytes }
  const record = await ledger.issue(
    nodeKey,
    'head',
    (state) => nextHead(state, tree, { snapshot: cid, counts, madeOf: { head: before } }, nodeKey),
    ({ content }) => (content.kind === 'head' ? work?.announcement(content.body.sequence) : undefined),
  )
  if (record.content.kind !== 'head') throw new MirrorError('internal', 'the head was not signed as one')
  const place = placeOf(record.content.body)
  work?.published(place.sequence)
  logger.info({ tree, snapshot: cid.toString(), sequence: place.sequence }, 'publish.head-signed')
  return place
}
