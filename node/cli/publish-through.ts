/**
 * Publishing from a machine that runs no node, with a publisher's key: the folder is imported here, in place, into a store
 * that lives as long as this; the blocks that a node lacks go there; when it has proved the snapshot complete, the head is
 * signed here and brought in by it.
 *
 * Killed at any point, the mesh stands at the old head or at the new one. The next run finds at the node what was sent.
 */

import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../../src/base/clock.ts'
import { isMirrorError, MirrorError } from '../../src/base/errors.ts'
import type { Block } from '../../src/block/block.ts'
import { DEFAULT_CHUNKER } from '../../src/block/chunker.ts'
import { type Cid, cidToKeyBytes, parseCid } from '../../src/block/cid.ts'
import { decodeIndexNode } from '../../src/dag/block-index.ts'
import { decodeSnapshot, type Snapshot } from '../../src/dag/snapshot.ts'
import { draftRecord, signRecord } from '../../src/record/draft.ts'
import type { KeyPair } from '../../src/record/key.ts'
import { signUpload } from '../../src/record/upload-proof.ts'
import type { BlockStore } from '../../src/store/block-store.ts'
import { openStore } from '../../src/store/store.ts'
import { type ImportResult, importTree } from '../../src/tree/import/import.ts'
import type { ChainDocument } from '../api/answers.ts'
import type { FinishedUploadDocument, OpenedUploadDocument } from '../api/routes/upload-routes.ts'
import type { ApiClient } from './api-client.ts'
import type { ProgressState } from './progress.ts'

export interface ThroughOptions {
  readonly path: string
  readonly tree: string
  readonly key: KeyPair
  readonly notes: Readonly<Record<string, string>>
  readonly allowEmpty: boolean
  readonly acceptShrink: boolean
  /** Those of the newest snapshot when absent. */
  readonly ignore: readonly string[] | undefined
  readonly signal: AbortSignal
  readonly onProgress?: (state: ProgressState) => void
}

export interface ThroughResult {
  readonly tree: string
  readonly sequence: number
  readonly epoch: number
  readonly snapshot: string
  readonly isNew: boolean
  readonly files: number
  readonly bytes: number
  readonly blocks: number
  /** What the node lacked. */
  readonly sentBlocks: number
  readonly sentBytes: number
  readonly seconds: number
  readonly ignore: readonly string[]
  readonly uncaptured: Snapshot['uncaptured']
  readonly unjudged: readonly string[]
}

/** CIDs of one question, and bytes of one request with blocks. */
const ASK = 2048
const SEND_BYTES = 4 * 1024 * 1024

export async function publishThrough(
  { api, clock }: { readonly api: ApiClient; readonly clock: Clock },
  options: ThroughOptions,
): Promise<ThroughResult> {
  const startedMs = clock.monotonicMs()
  const dir = await mkdtemp(join(tmpdir(), 'mirrormesh-publish-'))
  try {
    const tempDir = join(dir, 'tmp')
    await mkdir(tempDir)
    const store = await openStore({ dir: join(dir, 'store'), clock })
    try {
      const opened = await open(api, clock, options)
      try {
        const imported = await read({ store, tempDir, clock }, opened, options)
        const sent = await send({ api, blocks: store.blocks }, opened.id, imported, options)
        const end = await finish({ api, clock }, opened.id, imported, options)
        return {
          tree: options.tree,
          ...end,
          files: imported.files,
          bytes: imported.bytes,
          blocks: imported.blocks,
          ...sent,
          seconds: (clock.monotonicMs() - startedMs) / 1000,
          ignore: imported.snapshot.ignore ?? [],
          uncaptured: imported.uncaptured,
        }
      } finally {
        await api.delete(`/api/v1/uploads/${opened.id}`).catch(() => undefined)
      }
    } finally {
      await store.close()
    }
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

async function open(
  api: ApiClient,
  clock: Clock,
  { tree, key, signal }: ThroughOptions,
): Promise<OpenedUploadDocument> {
  const chain = await chainOf(api, key, signal)
  const mesh = parseCid(chain.mesh)
  const timeMs = clock.nowMs()
  const records = (await isThere(api, tree, signal)) ? [] : draftTree(chain, tree, key, timeMs)
  return api.post(
    '/api/v1/uploads',
    {
      ...{ tree, publisher: key.peer, timeMs },
      signature: base64(signUpload(key, { mesh, tree, timeMs })),
      records: records.map(base64),
    },
    signal,
  )
}

async function isThere(api: ApiClient, tree: string, signal: AbortSignal): Promise<boolean> {
  try {
    await api.get(`/api/v1/trees/${encodeURIComponent(tree)}`, signal)
    return true
  } catch (error) {
    if (isMirrorError(error, 'not-found')) return false
    throw error
  }
}

/** A tree and its first epoch, for a publisher with a grant for its name. */
function draftTree(chain: ChainDocument, tree: string, key: KeyPair, timeMs: number): Uint8Array[] {
  const common = { mesh: parseCid(chain.mesh), issuer: key.publicKey, timeMs }
  const first = draftRecord({
    ...{ ...common, kind: 'tree' as const, tip: tipOf(chain) },
    body: { name: tree, readers: 'members', publishers: [key.publicKey], version: 1, removed: false },
  })
  const second = draftRecord({
    ...{ ...common, kind: 'epoch' as const, tip: { counter: chain.counter + 1, id: first.id } },
    body: { tree, epoch: 1, previous: null, publisher: key.publicKey, base: null },
  })
  return [first, second].map((draft) => signRecord(draft, key))
}

/** In place: nothing of the source is copied, and what changes under our hands is missed, not sent wrong. */
async function read(
  {
    store,
    tempDir,
    clock,
  }: { readonly store: { readonly blocks: BlockStore }; readonly tempDir: string; readonly clock: Clock },
  {
    sequence,
    snapshot,
    inlineBytes = 0,
  }: Omit<OpenedUploadDocument, 'inlineBytes'> & { inlineBytes?: number },
  { path, tree, notes, ignore, signal, onProgress }: ThroughOptions,
): Promise<ImportResult> {
  const before = snapshot === null ? undefined : parseCid(snapshot.cid)
  const previous =
    before === undefined
      ? undefined
      : decodeSnapshot(before, new Uint8Array(Buffer.from(snapshot!.bytes, 'base64')))
  if (sequence !== null && previous === undefined && ignore === undefined) {
    throw new MirrorError(
      'refused',
      `the node does not have ${tree}@${sequence}, so the patterns that it left out by are not known: nothing was published`,
      {
        hint: 'Say what to leave out with --exclude or --exclude-from, or --no-exclude to leave out nothing.',
      },
    )
  }
  const rules = ignore ?? previous?.ignore
  return importTree(
    { blocks: store.blocks, tempDir, clock },
    {
      ...{ path, tree, notes, signal, inPlace: 'in-place' as const },
      ...(before === undefined ? {} : { parent: before }),
      // A node of a version before says nothing of it, and could not read it.
      chunker: previous?.chunker ?? { ...DEFAULT_CHUNKER, inlineBytes },
      ...(rules === undefined ? {} : { ignore: rules }),
      ...(onProgress === undefined ? {} : { onProgress }),
    },
  )
}

/** Whatever of the snapshot the node does not have: contents first, then what names them, the snapshot last. */
async function send(
  { api, blocks }: { readonly api: ApiClient; readonly blocks: BlockStore },
  id: string,
  { snapshot, snapshotCid }: ImportResult,
  { signal, onProgress }: ThroughOptions,
): Promise<{ sentBlocks: number; sentBytes: number }> {
  let [sentBlocks, sentBytes] = [0, 0]
  let waiting: Block[] = []
  let waitingBytes = 0

  async function flush(): Promise<void> {
    if (waiting.length === 0) return
    await api.put(`/api/v1/uploads/${id}/blocks`, encodeBlocks(waiting), signal)
    sentBlocks += waiting.length
    sentBytes += waitingBytes
    onProgress?.({ phase: 'send', bytes: sentBytes })
    waiting = []
    waitingBytes = 0
  }
  async function offer(cids: readonly Cid[]): Promise<void> {
    for (let at = 0; at < cids.length; at += ASK) {
      const asked = cids.slice(at, at + ASK)
      const { missing } = await api.post<{ missing: number[] }>(
        `/api/v1/uploads/${id}/missing`,
        { cids: base64(Buffer.concat(asked.map(cidToKeyBytes))) },
        signal,
      )
      for (const place of missing) {
        const cid = asked[place]!
        const bytes = await blocks.get(cid, signal)
        if (bytes === undefined) throw changed(cid)
        if (waitingBytes + bytes.length > SEND_BYTES) await flush()
        waiting.push({ cid, bytes })
        waitingBytes += bytes.length
      }
    }
  }
  async function offerIndex(node: Cid): Promise<void> {
    const bytes = await blocks.get(node, signal)
    if (bytes === undefined) throw changed(node)
    const found = decodeIndexNode(node, bytes)
    if (found.kind === 'page') await offer(found.page.blocks.map(({ cid }) => cid))
    else for (const child of found.children) await offerIndex(child.cid)
    await offer([node])
  }

  await offerIndex(snapshot.index)
  await offer([snapshotCid])
  await flush()
  return { sentBlocks, sentBytes }
}

/** How often a head is drafted anew because the key signed something else meanwhile. */
const MAX_TRIES = 4

async function finish(
  { api, clock }: { readonly api: ApiClient; readonly clock: Clock },
  id: string,
  imported: ImportResult,
  { tree, key, allowEmpty, acceptShrink, signal }: ThroughOptions,
): Promise<Pick<ThroughResult, 'epoch' | 'isNew' | 'sequence' | 'snapshot' | 'unjudged'>> {
  const { snapshotCid, files, directories, symlinks, bytes, blocks } = imported
  const snapshot = snapshotCid.toString()
  for (let attempt = 1; ; attempt++) {
    const end = await api.post<FinishedUploadDocument>(
      `/api/v1/uploads/${id}/finish`,
      { snapshot, allowEmpty, acceptShrink },
      signal,
    )
    const { epoch, sequence, isNew, unjudged } = end
    if (!isNew) return { epoch, sequence, isNew, unjudged, snapshot }
    const chain = await chainOf(api, key, signal)
    const draft = draftRecord({
      kind: 'head',
      body: {
        ...{ tree, epoch, sequence, snapshot: snapshotCid },
        previous: end.previous === null ? null : parseCid(end.previous),
        counts: {
          ...{ files, directories, symlinks, bytes, blocks },
          blockBytes: imported.snapshot.counts.blockBytes,
        },
      },
      mesh: parseCid(chain.mesh),
      issuer: key.publicKey,
      tip: tipOf(chain),
      timeMs: clock.nowMs(),
    })
    try {
      await api.post(`/api/v1/uploads/${id}/head`, { record: base64(signRecord(draft, key)) }, signal)
      return { epoch, sequence, isNew, unjudged, snapshot }
    } catch (error) {
      if (!isMirrorError(error, 'conflict') || attempt === MAX_TRIES) throw error
    }
  }
}

function chainOf(api: ApiClient, key: KeyPair, signal: AbortSignal): Promise<ChainDocument> {
  return api.get<ChainDocument>(`/api/v1/chain/${key.peer}`, signal)
}

function tipOf({ counter, prev }: ChainDocument) {
  return prev === null ? undefined : { counter, id: parseCid(prev) }
}

/** Each: 33 bytes of CID, 4 of length, big-endian, and the bytes. */
function encodeBlocks(blocks: readonly Block[]): Uint8Array {
  return Buffer.concat(
    blocks.flatMap(({ cid, bytes }) => {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(bytes.length)
      return [cidToKeyBytes(cid), length, bytes]
    }),
  )
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}

function changed(cid: Cid): MirrorError {
  return new MirrorError(
    'unstable',
    `the source changed while it was read: block ${cid} is not there any more`,
    {
      hint: 'Nothing was published. Run it again when the folder is at rest.',
    },
  )
}
