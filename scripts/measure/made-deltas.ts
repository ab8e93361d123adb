/** Deltas between the process that makes them and the one that applies them: `frames`, one after the other, and `plan.json`. */
import { closeSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { DeltaEntry, MadeDelta } from '../../src/delta/delta.ts'

export interface PlannedDelta extends DeltaEntry {
  readonly frameBytes: number
  readonly plainBytes: number
  readonly zstdBytes: number
}

export function createDeltaWriter(dir: string): { add(delta: MadeDelta): void; finish(): void } {
  const frames = openSync(join(dir, 'frames'), 'w')
  const plan: PlannedDelta[] = []
  return {
    add({ targets, base, bytes, plainBytes, zstdBytes }) {
      writeSync(frames, bytes)
      plan.push({ targets, base, frameBytes: bytes.length, plainBytes, zstdBytes })
    },
    finish() {
      closeSync(frames)
      writeFileSync(join(dir, 'plan.json'), JSON.stringify(plan))
    },
  }
}

export function readDeltaPlan(dir: string): PlannedDelta[] {
  return JSON.parse(readFileSync(join(dir, 'plan.json'), 'utf8')) as PlannedDelta[]
}

export function* readFrames(dir: string, plan: readonly PlannedDelta[]): Generator<Uint8Array> {
  const frames = openSync(join(dir, 'frames'), 'r')
  try {
    for (const { frameBytes } of plan) {
      const bytes = new Uint8Array(frameBytes)
      if (readSync(frames, bytes) !== frameBytes) throw new Error(`${dir} holds less than its plan`)
      yield bytes
    }
  } finally {
    closeSync(frames)
  }
}
