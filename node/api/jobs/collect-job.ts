/** The job behind `gc`: decides which snapshots stay, and drops the blocks that none of them needs. */
import type { CollectionProgress } from '../../../src/store/collect/collection.ts'
import type { JobBody } from '../schema/job-schema.ts'
import type { Services } from '../services.ts'
import type { CollectAnswer } from './job-answers.ts'
import type { JobProgress } from './job-document.ts'
import type { JobControl } from './jobs.ts'

export function runCollectJob({ collector, clock }: Services, { dryRun: isDryRun }: JobBody<'collect'>) {
  return async ({ signal, report }: JobControl): Promise<CollectAnswer> => {
    const startedMs = clock.monotonicMs()
    const {
      kept,
      dropped,
      partial: _partial,
      leftFor,
      shares,
      ...counts
    } = await collector.run({
      isDryRun,
      signal,
      onProgress: (progress) => report(describe(progress)),
    })
    return {
      isDryRun,
      kept: kept.map(({ tree, sequence, snapshot, isComplete, reasons }) => ({
        tree,
        sequence: sequence ?? null,
        snapshot: snapshot.toString(),
        isComplete,
        reasons,
      })),
      dropped: dropped.map(({ tree, sequence, snapshot, reason }, i) => ({
        tree,
        sequence: sequence ?? null,
        snapshot: snapshot.toString(),
        reason,
        bytes: shares?.[i]?.bytes ?? null,
      })),
      ...counts,
      leftFor: leftFor ?? null,
      seconds: (clock.monotonicMs() - startedMs) / 1000,
    }
  }
}

function describe({ phase, done, total }: CollectionProgress): JobProgress {
  if (phase === 'reclaim') return { phase: 'compact packs', bytes: done, totalBytes: total }
  const what = phase === 'mark' ? 'snapshots' : 'blocks'
  return { phase, bytes: 0, note: `${done} of ${total} ${what}` }
}
