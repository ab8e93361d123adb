/**
 * mirrormesh's own side of the contests: each run is a process of its own, started as scripts/mirrormesh starts the
 * program. Seconds are those of the work inside the process; the rest is of the whole process.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Cost, run } from './run.ts'

export type Compression = 'none' | 'zstd'

export interface OurCost extends Cost {
  /** Of an import. */
  readonly snapshot: string
  readonly storedBytes: number
}

const AS_LAUNCHED = ['--max-semi-space-size=8', '--disable-warning=ExperimentalWarning']

/** Imports `source` into the store below `home`, which keeps what earlier imports have put there. */
export function importOnce(
  source: string,
  home: string,
  compression: Compression = 'none',
): Promise<OurCost> {
  return once('import-once.ts', source, home, compression)
}

/** The first time imports `source` and keeps what it found; later tells whether the source is as it was. */
export function findUnchangedOnce(source: string, home: string): Promise<OurCost> {
  return once('unchanged-once.ts', source, home)
}

/** Checks a snapshot of the store below `home` out to `dest`; updates what is there. */
export function checkOutOnce(home: string, snapshot: string, dest: string): Promise<OurCost> {
  return once('checkout-once.ts', home, snapshot, dest)
}

/** The ways in which this version can keep blocks: those of which it makes something smaller. */
export async function compressions(folder: string): Promise<Compression[]> {
  const source = join(folder, 'probe')
  mkdirSync(source)
  writeFileSync(join(source, 'text'), 'the quick brown fox '.repeat(50_000))
  const { storedBytes } = await importOnce(source, join(folder, 'probe-home'), 'zstd')
  return storedBytes < 500_000 ? ['none', 'zstd'] : ['none']
}

async function once(script: string, ...args: readonly string[]): Promise<OurCost> {
  const cost = await run(process.execPath, [...AS_LAUNCHED, join(import.meta.dirname, script), ...args])
  return { ...cost, ...(cost.output as { seconds: number; snapshot: string; storedBytes: number }) }
}
