/** Snapshots as a function of a number, each sharing most blocks with the one before: what two processes agree on. */
import type { Store } from '../../src/store/store.ts'
import { sampleBlocks } from './sample-blocks.ts'
import { type TestSnapshot, testSnapshot } from './sample-snapshot.ts'

export const COLLECT_OPTIONS = {
  maxPackBytes: 60_000,
  autoFlushBytes: 20_000,
  autoFlushMs: 5,
  reserveBytes: 0,
}

export function snapshotNumber(number: number): TestSnapshot {
  // Every other one goes back to blocks that may have just been collected.
  return testSnapshot(sampleBlocks(30, 2500, (number % 2 === 0 ? number : number % 7) * 10), String(number))
}

export async function registered(store: Pick<Store, 'values'>): Promise<number[]> {
  const numbers: number[] = []
  for await (const [key] of store.values('complete').entries()) numbers.push(Number(key))
  return numbers
}
