/**
 * Publishing through this node by a publisher that has none: its blocks are stored here, its snapshot is proved complete
 * here, and only then does it sign the head, with its own key, which never comes here.
 *
 * The order is that of a publish (publish.ts): every block durable, then the snapshot complete, then the head. An upload
 * holds a lease, so that no collection takes what nothing names yet; left alone it ends, and what it brought is collected.
 * The next one finds what is still there.
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
import { checkPublisher } from './next-head.ts'
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

interface Upload {
  readonly tree: string
  readonly publisher: PeerId
  readonly blocks: BlockStore
  readonly lease: Lease
  finished: Cid | undefined
  cancelIdle: () => void
}

export function createUploads(
  components: UploadsComponents,
  { maxShrinkShare = 0.3, maxUploads = 8, idleMs = 10 * 60_000 }: UploadsOptions = {},
): Uploads {
  const { ledger, blocks, complete, nodeKey, scratch, clock, logger } = components
  const blocksOf = createBlocksOf(blocks, { state: ledger.state, clock })
  const uploads = new Map<string, Upload>()

  function end(id: string): void {
    const upload = uploads.get(id)
    if (upload === undefined) return
    uploads.delete(id)
    upload.cancelIdle()
    upload.lease.close()
  }

  function use(id: string): Upload {
    const upload = uploads.get(id)
    if (upload === undefined) {
      throw new MirrorError('not-found', `there is no upload ${id.slice(0, 64)} (any more)`, {
        hint: 'Publish again: what was sent is mostly still there.',
      })
    }
    upload.cancelIdle()
    upload.cancelIdle = clock.after(idleMs, () => end(id))
    return upload
  }

  /** As what a publisher's node checks of itself. */
  function treeOf({ tree, publisher }: Pick<Upload, 'publisher' | 'tree'>) {
    return checkPublisher(ledger.state(), tree, { peer: publisher }, `the key ${publisher}`)
  }

  async function create({ tree, publisher, records }: UploadOpening): Promise<void> {
    const state = ledger.state()
    if (state.trees.has(tree)) return
    const isGranted = grantsAt(state, publisher, clock.nowMs()).some(
      ({ body }) => body.role === 'publisher' && body.trees.some((pattern) => matchesTree(pattern, tree)),
    )
    if (!isGranted) {
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

  return {
    async open(opening) {
      const { tree, publisher, timeMs, signature } = opening
      const facts = { tree, publisher }
      if (uploads.size >= maxUploads)
        throw new MirrorError('busy', `${uploads.size} uploads are under way at this node`, {
          hint: 'Try again later.',
        })
      const isTimely = Math.abs(clock.nowMs() - timeMs) <= UPLOAD_PROOF_MS
      if (
        !isTimely ||
        !verifyUpload(publicKeyOf(publisher), { mesh: ledger.mesh, tree, timeMs }, signature)
      ) {
        throw new MirrorError('refused', `${publisher} has not signed this upload to ${tree} just now`, {
          facts,
          hint: 'Are the clocks of the two machines right?',
        })
      }
      // It may have published elsewhere a moment ago: its next record goes on from there.
      if (!(await reconcileWithPeers(components))) logger.warn(facts, 'publish.unreconciled')
      await create(opening)
      const { newest: before } = treeOf(opening)
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
      uploads.set(id, {
        tree,
        publisher,
        blocks: view,
        lease,
        finished: undefined,
        cancelIdle: () => undefined,
      })
      use(id)
      logger.info({ ...facts, upload: id }, 'upload.opened')
      const snapshot = before === undefined ? undefined : await view.get(before.snapshot)
      return { id, before, snapshot }
    },
    has: (id, cids) => use(id).blocks.has(cids),
    put: (id, given) => use(id).blocks.put(given),
    async finish(id, { snapshot: cid, allowEmpty, acceptShrink }, signal) {
      const upload = use(id)
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
      if (before !== undefined && previous !== undefined && isSame(snapshot, previous)) {
        await complete.adopt(tree, before.snapshot, signal)
        return {
          epoch: before.epoch,
          sequence: before.sequence,
          previous: before.previous,
          isNew: false,
          unjudged: [],
        }
      }
      const unjudged = await checkRules(
        body,
        { source: view, root: snapshot.root, before: previous?.root },
        signal,
      )
      await complete.adopt(tree, cid, signal)
      upload.finished = cid
      use(id)
      return {
        epoch: epoch.epoch,
        sequence: (before?.sequence ?? 0) + 1,
        previous: before?.id ?? null,
        isNew: true,
        unjudged,
      }
    },
    async publish(id, bytes) {
      const { tree, publisher, finished } = use(id)
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
      const { id: record } = await ledger.submit(bytes)
      logger.info({ tree, publisher, snapshot: finished.toString(), upload: id }, 'upload.published')
      end(id)
      return { id: record }
    },
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
