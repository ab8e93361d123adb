/**
 * Publishing through this node by a publisher that has none: its blocks are stored here, its snapshot is proved complete
 * here, and only then does it sign the head, with its own key, which never comes here.
 *
 * The order is that of a publish (publish.ts): every block durable, then the snapshot complete, then the head. An upload
 * holds a lease, so that no collection takes what nothing names yet; left alone it ends, and what it brought is collected.
 * The next one finds what is still there.
 *
 * The right to publish is looked at again with each request: a key that was revoked, or whose grant has ended, stores
 * nothing more, and its upload is over. So it is after a day, and when the snapshot that it goes on from is taken down.
 */

import { randomBytes } from 'node:crypto'
import { MirrorError } from '../../base/errors.ts'
import { matchesTree } from '../../base/names.ts'
import type { Block } from '../../block/block.ts'
import { DEFAULT_CHUNKER } from '../../block/chunker.ts'
import { type Cid, cidKey } from '../../block/cid.ts'
import { decodeSnapshot, type Snapshot } from '../../dag/snapshot.ts'
import { type PeerId, publicKeyOf } from '../../record/key.ts'
import { grantsAt, type MeshState, mayRead } from '../../record/mesh-state.ts'
import { decodeSigned } from '../../record/record.ts'
import { UPLOAD_PROOF_MS, verifyUpload } from '../../record/upload-proof.ts'
import type { BlockStore, Lease } from '../../store/block-store.ts'
import { checkClosure } from '../holdings/closure-check.ts'
import { createBlocksOf } from '../holdings/tree-views.ts'
import { checkPublisher, checkStanding, type PublishableTree } from './next-head.ts'
import { isSame } from './publish-result.ts'
import { checkRules } from './publish-rules.ts'
import { reconcileWithPeers } from './reconcile-first.ts'
import { checkShrink } from './shrink-guard.ts'
import { createUploadSpace } from './upload-space.ts'
import type {
  FinishedUpload,
  OpenedUpload,
  UploadEnd,
  UploadOpening,
  Uploads,
  UploadsComponents,
  UploadsOptions,
} from './upload-types.ts'

function noUpload(id: string): MirrorError {
  return new MirrorError('not-found', `there is no upload ${id.slice(0, 64)} (any more)`, {
    hint: 'Publish again: what was sent is mostly still there.',
  })
}

interface Finished {
  readonly snapshot: Cid
  /** The gates and the shrink guard have compared it with this head's snapshot. */
  readonly after: Cid | undefined
  /** Of all its blocks, and a little more. */
  readonly bytes: number
}

interface Upload {
  readonly tree: string
  readonly publisher: PeerId
  readonly blocks: BlockStore
  readonly lease: Lease
  finished: Finished | undefined
  /** Stored by it, and not before. */
  newBytes: number
  cancelIdle: () => void
  readonly cancelAge: () => void
  /** Ends what runs for it. */
  readonly ended: AbortController
  /** Requests that are being answered: none of them loses the lease under its hands. */
  working: number
}

/** What a snapshot takes beside its blocks: itself, and for each of them a line of its index. No less. */
const SNAPSHOT_BYTES = 1024
const INDEX_BYTES = 64

export function createUploads(
  components: UploadsComponents,
  {
    maxShrinkShare = 0.3,
    maxUploads = 8,
    maxOfPublisher = 4,
    idleMs = 10 * 60_000,
    maxAgeMs = 24 * 3_600_000,
  }: UploadsOptions = {},
): Uploads {
  const { ledger, blocks, complete, readFreeBytes, values, isGone, nodeKey, scratch, clock, logger } =
    components
  const blocksOf = createBlocksOf(blocks, { state: ledger.state, clock })
  const space = createUploadSpace({ clock, readFreeBytes, values })
  const uploads = new Map<string, Upload>()
  /** By publisher: those that are being opened. */
  const opening: PeerId[] = []

  function end(id: string): void {
    const upload = uploads.get(id)
    if (upload === undefined) return
    uploads.delete(id)
    upload.cancelIdle()
    upload.cancelAge()
    upload.ended.abort(noUpload(id))
    if (upload.working === 0) upload.lease.close()
  }

  function use(id: string): Upload {
    const upload = uploads.get(id)
    if (upload === undefined) throw noUpload(id)
    try {
      treeOf(upload)
    } catch (error) {
      end(id)
      throw error
    }
    return upload
  }

  /** It is not idle meanwhile, and whoever gives it up takes nothing from under the work. */
  async function during<T>(id: string, work: (upload: Upload) => Promise<T>): Promise<T> {
    const upload = use(id)
    upload.cancelIdle()
    upload.working++
    try {
      return await work(upload)
    } finally {
      upload.working--
      if (upload.working === 0) rest(id, upload)
    }
  }

  function rest(id: string, upload: Upload): void {
    if (uploads.get(id) === upload) upload.cancelIdle = clock.after(idleMs, () => end(id))
    else upload.lease.close()
  }

  /** As what a publisher's node checks of itself; and that the mesh would take its head now. */
  function treeOf({ tree, publisher }: Pick<Upload, 'publisher' | 'tree'>): PublishableTree {
    const found = checkPublisher(ledger.state(), tree, { peer: publisher }, `the key ${publisher}`)
    const isLent = !found.epoch.isByGrant || isGranted(tree, publisher)
    if (isLent && !ledger.state().revoked.has(publisher)) return found
    throw new MirrorError(
      'refused',
      isLent
        ? `the key ${publisher} has been revoked`
        : `no grant lets ${publisher} publish ${tree} any more`,
      {
        facts: { tree, publisher },
        hint: 'What it published before stays. An admin can let it again, or another key.',
      },
    )
  }

  function isGranted(tree: string, publisher: PeerId): boolean {
    return grantsAt(ledger.state(), publisher, clock.nowMs()).some(
      ({ body }) => body.role === 'publisher' && body.trees.some((pattern) => matchesTree(pattern, tree)),
    )
  }

  /** Room for one more, from now on. */
  function checkRoom(publisher: PeerId): void {
    const all = [...[...uploads.values()].map((upload) => upload.publisher), ...opening]
    const own = all.filter((each) => each === publisher)
    if (all.length < maxUploads && own.length < maxOfPublisher) return
    throw new MirrorError(
      'busy',
      own.length < maxOfPublisher
        ? `${all.length} uploads are under way at this node`
        : `${own.length} uploads of ${publisher} are under way at this node`,
      { hint: 'Try again later.' },
    )
  }

  async function create({ tree, publisher, records }: UploadOpening): Promise<void> {
    const state = ledger.state()
    if (state.trees.has(tree)) return
    if (!isGranted(tree, publisher)) {
      throw new MirrorError(
        'refused',
        `the mesh has no tree ${tree}, and no grant lets ${publisher} create it`,
        {
          facts: { tree, publisher },
          hint: 'An admin can let it: mirrormesh grant add PEERID --role publisher --tree PATTERN.',
        },
      )
    }
    for (const bytes of records) {
      const { content, issuerPeer } = decodeSigned(bytes)
      const isOfTree =
        (content.kind === 'tree' && content.body.name === tree) ||
        (content.kind === 'epoch' && content.body.tree === tree)
      if (!isOfTree || issuerPeer !== publisher)
        throw new MirrorError(
          'refused',
          `an upload to ${tree} brings the tree and epoch records of its publisher only`,
        )
      await ledger.submit(bytes)
    }
  }

  async function openOne(wanted: UploadOpening): Promise<OpenedUpload> {
    const { tree, publisher, timeMs, signature } = wanted
    const facts = { tree, publisher }
    const isTimely = Math.abs(clock.nowMs() - timeMs) <= UPLOAD_PROOF_MS
    if (!isTimely || !verifyUpload(publicKeyOf(publisher), { mesh: ledger.mesh, tree, timeMs }, signature)) {
      throw new MirrorError('refused', `${publisher} has not signed this upload to ${tree} just now`, {
        facts,
        hint: 'Are the clocks of the two machines right?',
      })
    }
    // It may have published elsewhere a moment ago: its next record goes on from there.
    if (!(await reconcileWithPeers(components))) logger.warn(facts, 'publish.unreconciled')
    await create(wanted)
    const { newest: before } = treeOf(wanted)
    if (!mayRead(ledger.state(), tree, nodeKey.peer, clock.nowMs())) {
      throw new MirrorError('refused', `${tree} is private, and this node may not read it`, {
        facts,
        hint: "Publish through a node with a reader's grant.",
      })
    }
    const id = randomBytes(16).toString('hex')
    const lease = blocks.lease({
      purpose: `upload to ${tree}`,
      isWriter: true,
      // What was taken down is published over by such an upload: it must not hold the takedown up.
      roots: before === undefined || isGone(tree, before.snapshot) ? [] : [before.snapshot],
      onEndAsked: () => end(id),
    })
    const view = blocksOf(tree)
    const upload: Upload = {
      ...{ tree, publisher, lease, blocks: view, finished: undefined, newBytes: 0, working: 0 },
      cancelIdle: () => undefined,
      cancelAge: clock.after(maxAgeMs, () => end(id)),
      ended: new AbortController(),
    }
    uploads.set(id, upload)
    try {
      const snapshot = before === undefined ? undefined : await view.get(before.snapshot)
      rest(id, upload)
      logger.info({ ...facts, upload: id }, 'upload.opened')
      return { id, before, snapshot, chunker: components.chunkerOfNewTrees?.() ?? DEFAULT_CHUNKER }
    } catch (error) {
      end(id)
      throw error
    }
  }

  async function put(upload: Upload, given: readonly Block[]): Promise<void> {
    const has = await upload.blocks.has(given.map(({ cid }) => cid))
    const lacking = new Map(given.filter((_, at) => has[at] !== true).map((each) => [cidKey(each.cid), each]))
    const newBytes = lacking.values().reduce((sum, { bytes }) => sum + bytes.length, 0)
    await space.take(upload.publisher, newBytes)
    try {
      await upload.blocks.put(given)
      upload.newBytes += newBytes
    } catch (error) {
      await space.giveBack(upload.publisher, newBytes)
      throw error
    }
  }

  async function finishOne(
    id: string,
    upload: Upload,
    { snapshot: cid, allowEmpty, acceptShrink }: UploadEnd,
    signal: AbortSignal,
  ): Promise<FinishedUpload> {
    const { tree, blocks: view, lease } = upload
    const { newest: before, epoch, body } = treeOf(upload)
    const snapshot = await readSnapshot(view, cid)
    if (snapshot?.tree !== tree)
      throw new MirrorError('invalid', `${cid} is no snapshot of ${tree} that was uploaded here`)
    lease.protect(cid)
    const previous = before === undefined ? undefined : await readSnapshot(view, before.snapshot)
    checkShrink({ ...previous?.counts, ...before?.counts } as Snapshot['counts'], snapshot.counts, {
      maxShare: maxShrinkShare,
      isAccepted: acceptShrink,
      isEmptyAccepted: allowEmpty,
      source: 'the source',
      tree,
    })
    await view.flush()
    // As they are stored: what the snapshot says of itself is its publisher's word.
    let bytes = SNAPSHOT_BYTES
    const counted: BlockStore = {
      ...view,
      async locate(cids) {
        const places = await view.locate(cids)
        for (const place of places) bytes += (place?.lengthBytes ?? 0) + INDEX_BYTES
        return places
      },
    }
    await checkClosure(counted, snapshot, signal, scratch)
    const isUnchanged = before !== undefined && previous !== undefined && isSame(snapshot, previous)
    const unjudged = isUnchanged
      ? []
      : await checkRules(body, { source: view, root: snapshot.root, before: previous?.root }, signal)
    // Much may have been said meanwhile.
    use(id)
    const adopted = isUnchanged ? before.snapshot : cid
    checkStanding(ledger.state(), tree, adopted)
    await complete.adopt(tree, adopted, signal)
    if (isUnchanged) {
      const { epoch: of, sequence, previous: ofPrevious } = before
      return { epoch: of, sequence, previous: ofPrevious, isNew: false, unjudged }
    }
    upload.finished = { snapshot: cid, after: before?.id, bytes }
    return {
      epoch: epoch.epoch,
      sequence: (before?.sequence ?? 0) + 1,
      previous: before?.id ?? null,
      isNew: true,
      unjudged,
    }
  }

  return {
    async open(wanted) {
      checkRoom(wanted.publisher)
      opening.push(wanted.publisher)
      try {
        return await openOne(wanted)
      } finally {
        opening.splice(opening.indexOf(wanted.publisher), 1)
      }
    },
    has: (id, cids) => during(id, (upload) => upload.blocks.has(cids)),
    put: (id, given) => during(id, (upload) => put(upload, given)),
    finish: (id, wanted, signal) =>
      during(id, (upload) => finishOne(id, upload, wanted, AbortSignal.any([signal, upload.ended.signal]))),
    publish: (id, bytes) =>
      during(id, async ({ tree, publisher, finished, newBytes }) => {
        const { content, issuerPeer } = decodeSigned(bytes)
        const isHead =
          content.kind === 'head' &&
          content.body.tree === tree &&
          issuerPeer === publisher &&
          finished?.snapshot.equals(content.body.snapshot) === true
        if (!isHead) {
          throw new MirrorError(
            'refused',
            `what ends the upload is ${publisher}'s head of ${tree} with the snapshot that was proved complete`,
          )
        }
        const { snapshot, after } = finished
        const { previous } = content.body
        const { id: record } = await ledger.submit(bytes, (state) => {
          checkStanding(state, tree, snapshot)
          checkJudged(state, tree, { after, previous })
        })
        await space.giveBack(publisher, Math.min(newBytes, finished.bytes))
        logger.info({ tree, publisher, snapshot: snapshot.toString(), upload: id }, 'upload.published')
        end(id)
        return { id: record }
      }),
    close: end,
    stop() {
      for (const id of [...uploads.keys()]) end(id)
    },
  }
}

async function readSnapshot(blocks: BlockStore, cid: Cid): Promise<Snapshot | undefined> {
  const bytes = await blocks.get(cid)
  return bytes === undefined ? undefined : decodeSnapshot(cid, bytes)
}

/** Another upload of its publisher may have ended meanwhile: what was judged against the head before it was not judged. */
function checkJudged(
  state: MeshState,
  tree: string,
  { after, previous }: { readonly after: Cid | undefined; readonly previous: Cid | null },
): void {
  const newest = state.trees.get(tree)?.newest?.id
  const isJudged = [newest, previous].every((id) => id?.toString() === after?.toString())
  if (isJudged) return
  throw new MirrorError(
    'conflict',
    `${tree} was published meanwhile: the snapshot was not compared with that`,
    {
      facts: { tree },
      hint: 'Finish the upload again: it is compared with what is newest then.',
    },
  )
}
