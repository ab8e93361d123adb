/**
 * Makes the deltas of what this node publishes, once for the whole mesh, and says so in signed records: that they are
 * coming, how far they have come (after 1, 2, 4, 8... seconds, so that a publish costs about ten records however long it
 * takes), and that they are done. One snapshot at a time, beside everything else.
 *
 * Every set is durable before its record is signed, and a record names nothing that is not here. Killed in between, the
 * last record stands, and the next start goes on from it. A newer snapshot of the tree ends the making for the one before,
 * and what goes wrong ends it as well: then the last record says that no more will come.
 */
import type { Clock } from '../../base/clock.ts'
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import { Semaphore } from '../../base/semaphore.ts'
import type { Cid } from '../../block/cid.ts'
import type { NodeSource } from '../../dag/source.ts'
import type { KeyPair } from '../../record/key.ts'
import type { EncodingsBody } from '../../record/kinds/encodings.ts'
import type { MeshState, TreeState } from '../../record/mesh-state.ts'
import type { BlockStore } from '../../store/block-store.ts'
import { measureNew } from '../fetch/measure-new.ts'
import type { ReplicaLog } from '../fetch-network.ts'
import type { CompleteSnapshots } from '../holdings/complete-snapshots.ts'
import type { Holdings } from '../holdings/holdings.ts'
import { createBlocksOf } from '../holdings/tree-views.ts'
import type { Ledger } from '../records/ledger.ts'
import type { DeltaReport } from './delta-report.ts'
import type { DeltaRequest, DeltaWork, MakeDeltas } from './delta-work.ts'
import { olderBases } from './older-bases.ts'
import type { OwedDeltas } from './owed-deltas.ts'
import { openSetWriter, type SetState, type SetWriter } from './set-writer.ts'

export interface DeltaPublisherComponents {
  readonly ledger: Pick<Ledger, 'state' | 'issue'>
  readonly blocks: BlockStore
  readonly holdings: Holdings
  readonly complete: Pick<CompleteSnapshots, 'has'>
  readonly owed: OwedDeltas
  readonly nodeKey: KeyPair
  readonly clock: Clock
  readonly logger: ReplicaLog
  readonly makeDeltas: MakeDeltas
  /** Sequences of the snapshots at which sites stand: nowhere by default. */
  readonly standing?: (tree: string) => ReadonlySet<number>
}

export interface DeltaPublisherOptions {
  /** Of a tree's blocks: deltas for one of its snapshots take no more. */
  readonly maxShare?: number
  /** With less that is new, the deltas would come later than the blocks. */
  readonly minNewBytes?: number
  /** Snapshots before a new one that it has deltas against: the first for all sites, more for those that missed some. */
  readonly maxBases?: number
  readonly workers?: number | undefined
}

export interface DeltaPublisher {
  /** Undefined when the base is not complete here, or too little is new. */
  start(request: DeltaRequest): Promise<DeltaWork | undefined>
  /** Goes on with what the last run of the daemon left undone; resolves when that is done. */
  resume(): Promise<void>
  /** Resolves when nothing is being made. */
  idle(): Promise<void>
  stop(): Promise<void>
}

const MAX_SHARE = 0.1
const MIN_NEW_BYTES = 1024 * 1024
const FIRST_STEP_MS = 1000

interface Job {
  readonly request: DeltaRequest
  readonly newBytes: number
  readonly blockBytes: number
  readonly startMs: number
  readonly abort: AbortController
  readonly from?: { readonly set: Cid; readonly bytes: number; readonly targetBytes: number }
  sequence: number | undefined
  state: SetState | undefined
  isMade: boolean
  endedBy: string | undefined
}

export function createDeltaPublisher(
  components: DeltaPublisherComponents,
  { maxShare = MAX_SHARE, minNewBytes = MIN_NEW_BYTES, maxBases = 1, workers }: DeltaPublisherOptions = {},
): DeltaPublisher {
  const { ledger, blocks, holdings, complete, owed, nodeKey, clock, logger, makeDeltas, standing } =
    components
  const blocksOf = createBlocksOf(blocks, { state: ledger.state, clock })
  const turn = new Semaphore(1)
  const stopped = new AbortController()
  /** By tree: the newest, which ends the one before. */
  const jobs = new Map<string, Job>()
  const running = new Set<Promise<unknown>>()

  async function begin(
    request: DeltaRequest,
    from?: Job['from'],
    sequence?: number,
  ): Promise<Job | undefined> {
    const { tree, snapshot, base } = request
    if (snapshot.equals(base) || stopped.signal.aborted) return undefined
    using _lease = blocks.lease({ purpose: `deltas of ${tree}`, roots: [snapshot, base] })
    if (!complete.has(tree, base)) return undefined
    const { newBytes, blockBytes } = await measureNew(blocksOf(tree), request, stopped.signal)
    if (newBytes < minNewBytes) return undefined
    const job: Job = {
      request,
      newBytes,
      blockBytes,
      startMs: clock.monotonicMs(),
      abort: new AbortController(),
      ...(from === undefined ? {} : { from }),
      sequence,
      state: undefined,
      isMade: false,
      endedBy: undefined,
    }
    jobs.get(tree)?.abort.abort(new MirrorError('aborted', 'a newer snapshot was published'))
    jobs.set(tree, job)
    return job
  }

  function run(job: Job): Promise<DeltaReport> {
    const work = turn
      .run(() => make(job))
      .finally(() => {
        running.delete(work)
        if (jobs.get(job.request.tree) === job) jobs.delete(job.request.tree)
      })
    running.add(work)
    work.catch(() => undefined)
    return work
  }

  /** Against older snapshots, one after the other, as long as nothing newer is published. */
  async function makeOlder({ request, sequence }: Pick<Job, 'request' | 'sequence'>): Promise<void> {
    const { tree, snapshot, baseSequence } = request
    const known = new Set([snapshot.toString(), request.base.toString()])
    let left = maxBases - 1
    for (const at of olderBases(baseSequence, standing?.(tree) ?? new Set())) {
      if (left <= 0) return
      const { history, newest } = ledger.state().trees.get(tree) ?? {}
      const older = history?.[at - 1]
      if (older === undefined || known.has(older.snapshot.toString())) continue
      if (stopped.signal.aborted || jobs.has(tree) || newest?.snapshot.equals(snapshot) !== true) return
      known.add(older.snapshot.toString())
      const { encodings } = ledger.state().trees.get(tree)!
      const told = encodings.get(snapshot.toString())?.find(({ body }) => body.base.equals(older.snapshot))
      if (told?.body.isComplete === true) {
        left--
        continue
      }
      const { sequence: olderSequence, snapshot: base } = older
      const more: DeltaRequest = { tree, snapshot, base, baseSequence: olderSequence, mode: 'after' }
      const job = await begin(more, undefined, sequence)
      if (job === undefined) continue
      left--
      await run(job)
    }
  }

  function goOnWithOlder(job: Pick<Job, 'request' | 'sequence'>, work: Promise<unknown>): void {
    if (maxBases <= 1) return
    const { tree } = job.request
    const older = work
      .then(() => makeOlder(job))
      .catch((error: unknown) => {
        logger.warn(
          { tree, err: asMirrorError(error, 'make deltas against older snapshots') },
          'deltas.failed',
        )
      })
    running.add(older)
    void older.finally(() => running.delete(older))
  }

  async function make(job: Job): Promise<DeltaReport> {
    const { tree, snapshot, base, baseSequence } = job.request
    const counts = { zstdBytes: 0 }
    let writer: SetWriter | undefined
    try {
      const signal = AbortSignal.any([stopped.signal, job.abort.signal])
      writer = await openSetWriter(
        { blocks: blocksOf(tree), holdings },
        { tree, snapshot, base, signal, ...(job.from === undefined ? {} : { from: job.from }) },
      )
      job.state = writer.state()
      await fill(job, writer, counts, signal)
    } catch (error) {
      const cause = asMirrorError(error, `make the deltas of ${tree}`)
      job.endedBy = cause.message
      if (!stopped.signal.aborted && !job.abort.signal.aborted)
        logger.warn({ tree, snapshot: snapshot.toString(), err: cause }, 'deltas.failed')
    }
    try {
      job.isMade = true
      // When the daemon stops, the next one goes on from the last step.
      if (!stopped.signal.aborted) await finish(job, writer)
      if (!stopped.signal.aborted) await owed.remove(tree, snapshot)
    } finally {
      writer?.close()
    }
    const { deltas = 0, bytes = 0, targetBytes = 0 } = job.state ?? {}
    const report = {
      baseSequence,
      newBytes: job.newBytes,
      deltas,
      deltaBytes: bytes,
      targetBytes,
      zstdBytes: counts.zstdBytes,
      seconds: (clock.monotonicMs() - job.startMs) / 1000,
      ...(job.endedBy === undefined ? {} : { endedBy: job.endedBy }),
    }
    logger.info({ tree, snapshot: snapshot.toString(), ...report }, 'deltas.made')
    return report
  }

  async function fill(
    job: Job,
    writer: SetWriter,
    counts: { zstdBytes: number },
    signal: AbortSignal,
  ): Promise<void> {
    const { request, newBytes, blockBytes } = job
    const { tree, snapshot, base, onProgress } = request
    const resumedFrom = writer.state().decided
    let bytes = writer.state().bytes
    let doneBytes = 0
    let nextMs = FIRST_STEP_MS
    const own = blocksOf(tree)
    const source: NodeSource = {
      get: (cid) => own.get(cid, signal),
      getMany: (cids) => own.getMany(cids, signal),
    }
    const options = { target: snapshot, base, signal, ...(workers === undefined ? {} : { workers }) }
    for await (const delta of makeDeltas({ source }, options)) {
      signal.throwIfAborted()
      // Of the run before: they come in the same order again.
      if (delta.targets.every(({ first, count }) => first + count <= resumedFrom)) continue
      bytes += delta.bytes.length
      if (bytes > maxShare * blockBytes || writer.isFull()) {
        job.endedBy = writer.isFull()
          ? 'there are as many as a set may have'
          : `they would take more than ${Math.round(maxShare * 100)} % of the tree`
        return
      }
      await writer.add(delta)
      doneBytes += delta.plainBytes
      counts.zstdBytes += delta.zstdBytes
      onProgress?.({ bytes: doneBytes, totalBytes: newBytes })
      const elapsedMs = clock.monotonicMs() - job.startMs
      if (request.mode !== 'along' || elapsedMs < nextMs) continue
      while (nextMs <= elapsedMs) nextMs *= 2
      job.state = await writer.step()
      await sign(job, false)
    }
  }

  async function finish(job: Job, writer: SetWriter | undefined): Promise<void> {
    try {
      if (writer !== undefined) job.state = await writer.step()
      await sign(job, true)
    } catch (error) {
      const { tree, snapshot } = job.request
      const cause = asMirrorError(error, `tell of the deltas of ${tree}`)
      job.endedBy ??= cause.message
      logger.warn({ tree, snapshot: snapshot.toString(), err: cause }, 'deltas.failed')
    }
  }

  /** Says how far the deltas are; nothing before the head is signed. */
  async function sign(job: Job, isComplete: boolean): Promise<void> {
    const { sequence } = job
    if (sequence === undefined) return
    await ledger.issue(nodeKey, 'encodings', () => bodyOf(job, sequence, isComplete))
  }

  function bodyOf({ state, request }: Job, sequence: number, isComplete: boolean): EncodingsBody {
    const { tree, snapshot, base } = request
    return {
      tree,
      snapshot,
      base,
      sequence,
      set: state?.set ?? null,
      version: versionOf(ledger.state(), request) + 1,
      isComplete,
      bytes: state?.bytes ?? 0,
      targetBytes: state?.targetBytes ?? 0,
    }
  }

  return {
    async start(request) {
      const job = await begin(request)
      if (job === undefined) return undefined
      if (request.mode === 'after') await owed.add(request.tree, request)
      const made = Promise.withResolvers<DeltaReport>()
      const go = (): void => made.resolve(run(job))
      if (request.mode === 'before') go()
      return {
        done: made.promise,
        announcement: (sequence) =>
          request.mode === 'after' ? undefined : bodyOf(job, sequence, job.isMade),
        published(sequence) {
          job.sequence = sequence
          if (request.mode !== 'before') go()
          goOnWithOlder(job, made.promise)
        },
      }
    },
    async resume() {
      const works = [...ledger.state().trees.values()].map(async (tree) => {
        try {
          await resumeTree(tree)
        } catch (error) {
          const cause = asMirrorError(error, 'go on with deltas')
          logger.warn({ tree: tree.name, err: cause }, 'deltas.failed')
        }
      })
      for (const work of works) {
        running.add(work)
        void work.finally(() => running.delete(work))
      }
      await Promise.all(works)
    },
    async idle() {
      while (running.size > 0) await Promise.allSettled(running)
    },
    async stop() {
      stopped.abort(new MirrorError('aborted', 'the node is stopping'))
      await Promise.allSettled(running)
    },
  }

  async function resumeTree({ name, newest, encodings, history }: TreeState): Promise<void> {
    if (newest === undefined || newest.publisher !== nodeKey.peer) return
    const { snapshot, sequence } = newest
    const known = encodings.get(snapshot.toString()) ?? []
    const undone = known.find(({ body }) => !body.isComplete)
    const owedBase = known.length === 0 ? await owed.baseOf(name, snapshot) : undefined
    const baseSequence = undone?.baseSequence ?? owedBase ?? known[0]?.baseSequence
    const base = history[(baseSequence ?? 0) - 1]?.snapshot
    if (baseSequence === undefined || base === undefined) return
    const mode = undone === undefined ? 'after' : 'along'
    const request: DeltaRequest = { tree: name, snapshot, base, baseSequence, mode }
    if (undone === undefined && owedBase === undefined)
      goOnWithOlder({ request, sequence }, Promise.resolve())
    else await goOn(request, fromOf(undone?.body), undone?.body.sequence ?? sequence)
  }

  /** Where nothing can be made any more, the sites are told not to wait. */
  async function goOn(request: DeltaRequest, from: Job['from'], sequence: number): Promise<void> {
    const { tree, snapshot } = request
    logger.info({ tree, snapshot: snapshot.toString() }, 'deltas.resumed')
    const job = await begin(request, from, sequence)
    if (job !== undefined) {
      const work = run(job)
      goOnWithOlder(job, work)
      await work
    } else if (!stopped.signal.aborted) {
      await giveUp(request, from, sequence)
      await owed.remove(tree, snapshot)
    }
  }

  async function giveUp(request: DeltaRequest, from: Job['from'], sequence: number): Promise<void> {
    const { tree, snapshot, base } = request
    await ledger.issue(nodeKey, 'encodings', (mesh) => ({
      ...{ tree, snapshot, base, sequence, isComplete: true },
      set: from?.set ?? null,
      version: versionOf(mesh, request) + 1,
      bytes: from?.bytes ?? 0,
      targetBytes: from?.targetBytes ?? 0,
    }))
  }
}

/** Where the last run left off, as its last record says. */
function fromOf(body: EncodingsBody | undefined): Job['from'] {
  if (body === undefined || body.set === null) return undefined
  return { set: body.set, bytes: body.bytes, targetBytes: body.targetBytes }
}

function versionOf(mesh: MeshState, { tree, snapshot, base }: DeltaRequest): number {
  const known = mesh.trees.get(tree)?.encodings.get(snapshot.toString())
  return known?.find(({ body }) => body.base.equals(base))?.body.version ?? 0
}
