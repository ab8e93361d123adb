/**
 * Publishing through this node by a publisher that has none: its blocks are stored here, its snapshot is proved complete
 * here, and only then does it sign the head, with its own key, which never comes here.
 *
 * The order is that of a publish (publish.ts): every block durable, then the snapshot complete, then the head. An upload
 * holds a lease, so that no collection takes what nothing names yet; left alone it ends, and what it brought is collected.
 * The next one finds what is still there.
 *
 * The right to publish is looked at again with each request: a key that was revoked, or whose grant has ended, stores
 * nothing more, and its upload is over.
 */
import { randomBytes } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import { MirrorError } from '../base/errors.ts'
import { matchesTree } from '../base/names.ts'
import type { Block } from '../block/block.ts'
import type { Cid } from '../block/cid.ts'
import type { Scratch } from '../dag/scratch.ts'
import { decodeSnapshot, type Snapshot } from '../dag/snapshot.ts'
import type { Host } from '../net/ports.ts'
import { type KeyPair, type PeerId, publicKeyOf } from '../record/key.ts'
import { grantsAt, type Head, mayRead } from '../record/mesh-state.ts'
import { decodeSigned } from '../record/record.ts'
import { UPLOAD_PROOF_MS, verifyUpload } from '../record/upload-proof.ts'
import type { BlockStore, Lease } from '../store/block-store.ts'
import { checkClosure } from './closure-check.ts'
import type { CompleteSnapshots } from './complete-snapshots.ts'
import type { ReplicaLog } from './fetch-network.ts'
import type { Ledger } from './ledger.ts'
import { checkPublisher, checkStanding, type PublishableTree } from './next-head.ts'
import { isSame } from './publish-result.ts'
import { checkRules } from './publish-rules.ts'
import { reconcileWithPeers } from './reconcile-first.ts'
import { checkShrink } from './shrink-guard.ts'
import { createBlocksOf } from './tree-views.ts'

export interface UploadsComponents {
  readonly ledger: Ledger
  readonly blocks: BlockStore
  readonly complete: Pick<CompleteSnapshots, 'adopt'>
  readonly host: Pick<Host, 'peers' | 'reconcile'>
  readonly nodeKey: KeyPair
  readonly scratch: Scratch
  readonly clock: Clock
  readonly logger: ReplicaLog
}

export interface UploadsOptions {
  /** See shrink-guard.ts. */
  readonly maxShrinkShare?: number
  readonly maxUploads?: number
  /** Of one key, so that it cannot keep the others out. */
  readonly maxOfPublisher?: number
  /** An upload of which nothing was heard for so long is over. */
  readonly idleMs?: number
}

export interface UploadOpening {
  readonly tree: string
  readonly publisher: PeerId
  readonly timeMs: number
  readonly signature: Uint8Array
  /** The publisher's own records that create the tree, by a grant, when there is none. */
  readonly records: readonly Uint8Array[]
}

export interface OpenedUpload {
  readonly id: string
  /** The newest head; undefined before the first. */
  readonly before: Head | undefined
  /** Its snapshot's block, where it is stored here. */
  readonly snapshot: Uint8Array | undefined
}

export interface UploadEnd {
  readonly snapshot: Cid
  readonly allowEmpty: boolean
  readonly acceptShrink: boolean
}

export interface FinishedUpload {
  /** Where the head is to go; of an unchanged snapshot, where it is. */
  readonly epoch: number
  readonly sequence: number
  readonly previous: Cid | null
  readonly isNew: boolean
  readonly unjudged: readonly string[]
}

export interface Uploads {
  /** @throws MirrorError `refused` for a key that may not publish there, `not-found` for a tree that there is not, `busy` */
  open(opening: UploadOpening): Promise<OpenedUpload>
  /** Which of them are stored. */
  has(id: string, cids: readonly Cid[]): Promise<boolean[]>
  put(id: string, blocks: readonly Block[]): Promise<void>
  /** Proves the snapshot complete here. @throws MirrorError `refused` by a gate or the shrink guard, `unstable` when blocks are missing */
  finish(id: string, end: UploadEnd, signal: AbortSignal): Promise<FinishedUpload>
  /** The signed head of a finished upload, which it ends. @throws MirrorError as Ledger.submit */
  publish(id: string, record: Uint8Array): Promise<{ readonly id: Cid }>
  close(id: string): void
  stop(): void
}

function noUpload(id: string): MirrorError {
  return new MirrorError('not-found', `there is no upload ${id.slice(0, 64)} (any more)`, {
    hint: 'Publish again: what was sent is mostly still there.',
  })
}

interface Upload {
  readonly tree: string
  readonly publisher: PeerId
  readonly blocks: BlockStore
  readonly lease: Lease
  finished: Cid | undefined
  cancelIdle: () => void
  /** Requests that are being answered: none of them loses the lease under its hands. */
  working: number
}

export function createUploads(
  components: UploadsComponents,
  { maxShrinkShare = 0.3, maxUploads = 8, maxOfPublisher = 4, idleMs = 10 * 60_000 }: UploadsOptions = {},
): Uploads {
  const { ledger, blocks, complete, nodeKey, scratch, clock, logger } = components
  const blocksOf = createBlocksOf(blocks, { state: ledger.state, clock })
  const uploads = new Map<string, Upload>()
  /** By publisher: those that are being opened. */
  const opening: PeerId[] = []

  function end(id: string): void {
    const upload = uploads.get(id)
    if (upload === undefined) return
    uploads.delete(id)
    upload.cancelIdle()
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
    const lease = blocks.lease({
      purpose: `upload to ${tree}`,
      isWriter: true,
      roots: before === undefined ? [] : [before.snapshot],
    })
    const id = randomBytes(16).toString('hex')
    const view = blocksOf(tree)
    const upload: Upload = {
      ...{ tree, publisher, lease, blocks: view, finished: undefined, working: 0 },
      cancelIdle: () => undefined,
    }
    uploads.set(id, upload)
    try {
      const snapshot = before === undefined ? undefined : await view.get(before.snapshot)
      rest(id, upload)
      logger.info({ ...facts, upload: id }, 'upload.opened')
      return { id, before, snapshot }
    } catch (error) {
      end(id)
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
    await checkClosure(view, snapshot, signal, scratch)
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
    upload.finished = cid
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
    put: (id, given) => during(id, (upload) => upload.blocks.put(given)),
    finish: (id, wanted, signal) => during(id, (upload) => finishOne(id, upload, wanted, signal)),
    publish: (id, bytes) =>
      during(id, async ({ tree, publisher, finished }) => {
        const { content, issuerPeer } = decodeSigned(bytes)
        const isHead =
          content.kind === 'head' &&
          content.body.tree === tree &&
          issuerPeer === publisher &&
          finished?.equals(content.body.snapshot) === true
        if (!isHead) {
          throw new MirrorError(
            'refused',
            `what ends the upload is ${publisher}'s head of ${tree} with the snapshot that was proved complete`,
          )
        }
        checkStanding(ledger.state(), tree, finished)
        const { id: record } = await ledger.submit(bytes)
        logger.info({ tree, publisher, snapshot: finished.toString(), upload: id }, 'upload.published')
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
