/** One pair of consecutive builds: with our deltas, and beside them what other programs need for the same. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { type Cid, parseCid } from '../../src/block/cid.ts'
import type { Efforts } from '../../src/delta/encode-delta.ts'
import type { RunSizes } from '../../src/delta/runs.ts'
import { openStore } from '../../src/store/store.ts'
import { removedOnSignal } from '../on-signal.ts'
import { type DeltaBytes, deltaBytes } from './delta-bytes.ts'
import { readDeltaPlan } from './made-deltas.ts'
import { importOnce } from './ours.ts'
import { type PatchFigures, patchFrom } from './patch-from.ts'
import { type RsyncBytes, rsyncBytes } from './rsync-bytes.ts'
import { hasProgram, run } from './run.ts'

export interface MakingFigures extends DeltaBytes {
  readonly seconds: number
  /** Until the first delta was there. */
  readonly firstSeconds: number
  readonly cpuSeconds: number
  /** New bytes for each second of one core. */
  readonly MBpsPerCore: number
  readonly peakMB: number
}

export interface ApplyingFigures {
  readonly seconds: number
  readonly cpuSeconds: number
  /** Bytes of blocks that came out, for each second of one core, reading and verifying included. */
  readonly MBpsPerCore: number
  readonly peakMB: number
}

export interface DeltaPairFigures {
  readonly kind: string
  readonly name: string
  readonly bytes: number
  readonly making: MakingFigures
  readonly applying: ApplyingFigures
  readonly rsync: RsyncBytes
  readonly rsyncCompressed: RsyncBytes
  /** Absent when zstd is not installed. */
  readonly patch?: PatchFigures
}

export interface DeltaTrial {
  readonly sizes?: RunSizes
  readonly efforts?: Efforts
}

export interface TrialFigures {
  readonly trial: DeltaTrial
  readonly making: MakingFigures
  readonly applying: ApplyingFigures
}

interface Pair {
  readonly kind: string
  readonly name: string
  /** Of the pair: `old` and `new` are in it. */
  readonly path: string
}

interface Imported {
  readonly store: string
  readonly base: Cid
  readonly target: Cid
  readonly work: string
}

const AS_LAUNCHED = ['--max-semi-space-size=8', '--disable-warning=ExperimentalWarning']

export async function measureDeltaPair({ kind, name, path }: Pair): Promise<DeltaPairFigures> {
  const [held, wanted] = [join(path, 'old'), join(path, 'new')]
  const ours = await withImported(path, (imported) => measure(imported, {}))
  const work = mkdtempSync(join(tmpdir(), 'mirrormesh-delta-'))
  using _removed = removedOnSignal(work)
  try {
    const folders = { held, wanted, work }
    const { stdout } = await run('du', ['-sb', wanted])
    return {
      ...{ kind, name, bytes: Number(stdout.split('\t')[0]), ...ours },
      rsync: await rsyncBytes(folders, []),
      rsyncCompressed: await rsyncBytes(folders, ['-z']),
      ...(hasProgram('zstd') ? { patch: await patchFrom(folders) } : {}),
    }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** Several ways to make the deltas of one pair. */
export function measureTrials({ path }: Pair, trials: readonly DeltaTrial[]): Promise<TrialFigures[]> {
  return withImported(path, async (imported) => {
    const figures: TrialFigures[] = []
    for (const trial of trials) figures.push({ trial, ...(await measure(imported, trial)) })
    return figures
  })
}

async function withImported<Result>(
  path: string,
  task: (imported: Imported) => Promise<Result>,
): Promise<Result> {
  const work = mkdtempSync(join(tmpdir(), 'mirrormesh-delta-'))
  using _removed = removedOnSignal(work)
  try {
    const old = await importOnce(join(path, 'old'), work)
    const next = await importOnce(join(path, 'new'), work)
    const [base, target] = [parseCid(old.snapshot), parseCid(next.snapshot)]
    return await task({ store: join(work, 'store'), base, target, work })
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

async function measure(
  { store, base, target, work }: Imported,
  trial: DeltaTrial,
): Promise<{ making: MakingFigures; applying: ApplyingFigures }> {
  const dir = join(work, 'deltas')
  mkdirSync(dir, { recursive: true })
  const script = (name: string, ...args: readonly string[]) =>
    run(process.execPath, [
      ...AS_LAUNCHED,
      join(import.meta.dirname, name),
      ...[store, base.toString(), target.toString(), dir, ...args],
    ])
  const made = await script('make-deltas-once.ts', JSON.stringify(trial))
  const makingCost = made.output as { seconds: number; firstSeconds?: number; cpuSeconds: number }
  const applied = await script('apply-deltas-once.ts')
  const applyingCost = applied.output as { seconds: number; cpuSeconds: number; plainBytes: number }
  const opened = await openStore({ dir: store, clock: systemClock })
  try {
    const bytes = await deltaBytes(opened.blocks, { base, target }, { dir, plan: readDeltaPlan(dir) })
    return {
      making: {
        ...bytes,
        seconds: makingCost.seconds,
        firstSeconds: makingCost.firstSeconds ?? makingCost.seconds,
        cpuSeconds: makingCost.cpuSeconds,
        MBpsPerCore: bytes.newBytes / 1e6 / makingCost.cpuSeconds,
        peakMB: made.peakMB,
      },
      applying: {
        seconds: applyingCost.seconds,
        cpuSeconds: applyingCost.cpuSeconds,
        MBpsPerCore: applyingCost.plainBytes / 1e6 / applyingCost.cpuSeconds,
        peakMB: applied.peakMB,
      },
    }
  } finally {
    await opened.close()
  }
}
