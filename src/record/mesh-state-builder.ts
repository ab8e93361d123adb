/** (types first; the implementation follows) */
import type { Cid } from '../block/cid.ts'
import type { ChainTip } from './draft.ts'
import type { PublicKey } from './key.ts'
import type { Assessment, Effect, MeshState } from './mesh-state.ts'
import type { VerifiedRecord } from './record.ts'

export interface AddResult extends Assessment {
  readonly effects: readonly Effect[]
}

/**
 * Builds the state record by record. `add` gives the same state as `foldRecords` over the same set, in any order.
 */
export interface MeshStateBuilder {
  /** A live view: the maps change as records are added. */
  readonly state: MeshState
  /** What `add` would answer, changing nothing: for refusing a submission before it is stored. */
  assess(record: VerifiedRecord): Assessment
  add(record: VerifiedRecord): AddResult
  /** As `add` for many, settled once: for loading a log. */
  addAll(records: Iterable<VerifiedRecord>): readonly Effect[]
  /** Kept or waiting. */
  has(id: Cid): boolean
  /** 32-byte digests of all kept records, rising: what reconciliation compares. */
  ids(): readonly Uint8Array[]
  get(id: Cid): VerifiedRecord | undefined
  /** Where an issuer's next record goes on from. Of a forked chain, the tip with the highest counter, then the lowest id. */
  tip(issuer: PublicKey): ChainTip | undefined
  /** Records that wait for another, and their bytes; both are bounded. */
  waiting(): { readonly records: number; readonly bytes: number }
}

export declare function createMeshStateBuilder(mesh: Cid): MeshStateBuilder
export declare function foldRecords(records: Iterable<VerifiedRecord>, mesh: Cid): MeshState
