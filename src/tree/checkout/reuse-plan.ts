/**
 * Which files of the tree that is being replaced may be taken into the new one: those whose entry is exactly the one
 * they were written for. A thread then looks whether they still are as they were left; what it refuses comes back here
 * and is written, or read and compared first. So is what was to have been written ahead. Memory: what is in the batches
 * that are under way.
 */
import { equalBytes } from '../../base/bytes.ts'
import type { FileEntry } from '../../dag/entry.ts'
import type { ManifestReader } from '../manifest/checkout-manifest.ts'
import { compareWalk, FILE } from '../manifest/checkout-manifest.ts'
import { isKnown } from '../manifest/file-state.ts'
import type { TaskMetadata, WriteReport } from './checkout-threads.ts'

export interface Candidate {
  readonly path: Buffer
  readonly entry: FileEntry
  readonly metadata: TaskMetadata
  readonly slot: number
  /** Undefined for one that is taken for written ahead. */
  readonly state: Buffer | undefined
}

export interface Refused extends Candidate {
  /** It may be unchanged: its content can tell. */
  readonly isUnsure: boolean
}

export interface ReusePlan {
  /** False: all files are written. */
  readonly mayFind: boolean
  /** State of the file that was written at `path` for the very entry with this digest. Paths come in walk order. */
  find(path: Buffer, digest: Uint8Array): Buffer | undefined
  /** It becomes part of the batch that is handed out next. */
  add(candidate: Candidate): void
  handOut(batch: number): void
  settle(report: WriteReport): void
  takeRefused(): Refused | undefined
  readonly hasRefused: boolean
}

export function createReusePlan(manifest: ManifestReader | undefined): ReusePlan {
  let current: Candidate[] = []
  const underWay = new Map<number, readonly Candidate[]>()
  const refused: Refused[] = []
  return {
    mayFind: manifest !== undefined,
    find(path, digest) {
      for (let record = manifest?.peek(); record !== undefined; record = manifest?.peek()) {
        const order = compareWalk(record.path, path)
        if (order > 0) return undefined
        manifest?.take()
        if (order < 0) continue
        const isSame = record.kind === FILE && equalBytes(record.digest!, digest) && isKnown(record.state!)
        return isSame ? record.state : undefined
      }
      return undefined
    },
    add(candidate) {
      current.push(candidate)
    },
    handOut(batch) {
      if (current.length === 0) return
      underWay.set(batch, current)
      current = []
    },
    settle(report) {
      const candidates = underWay.get(report.batch)
      underWay.delete(report.batch)
      for (const { slot, isUnsure } of report.refused) {
        const candidate = candidates?.find((each) => each.slot === slot)
        if (candidate !== undefined) refused.push({ ...candidate, isUnsure })
      }
    },
    takeRefused: () => refused.pop(),
    get hasRefused() {
      return refused.length > 0
    },
  }
}
