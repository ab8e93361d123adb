/**
 * The processors of the machine that all sites share, as in a benchmark over an emulated network: each block costs its sender and
 * its receiver some time, first come, first served. Without them a site is as fast as its links.
 */
export interface Processors {
  /** When work that is given now is done. */
  doneMs(nowMs: number, workMs: number): number
}

export interface ProcessorOptions {
  readonly count: number
  /** Of one block, at both ends together. */
  readonly blockMs: number
}

/** At each end. */
export const ENDS = 2

export function createProcessors(count: number): Processors {
  /** Earliest first matters only for what is taken next: there are few. */
  const freeMs = new Float64Array(count)
  return {
    doneMs(nowMs, workMs) {
      let next = 0
      for (let i = 1; i < count; i++) if (freeMs[i]! < freeMs[next]!) next = i
      const endMs = Math.max(nowMs, freeMs[next]!) + workMs
      freeMs[next] = endMs
      return endMs
    },
  }
}
