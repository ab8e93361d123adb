/** All that can be fuzzed, by name. */
import { tryDag } from './dag-target.ts'
import { tryDelta } from './delta-target.ts'
import { tryHttp } from './http-target.ts'
import { tryProof } from './proof-target.ts'
import { tryRecord } from './record-target.ts'
import { tryStatus } from './status-target.ts'
import type { Target } from './target.ts'
import { tryWire } from './wire-target.ts'

export const TARGETS: Readonly<Record<string, Target>> = {
  dag: tryDag,
  delta: tryDelta,
  http: tryHttp,
  proof: tryProof,
  record: tryRecord,
  status: tryStatus,
  wire: tryWire,
}
