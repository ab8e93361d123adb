/**
 * How many records one key may have here. Records are never dropped and go to every node, so without a bound one member
 * could fill the memory and the disk of the whole mesh by signing without end. Admins have no bound; publishers and
 * admitters one that honest ones never reach; anybody else hardly needs to sign at all.
 *
 * Local, so that nodes may hold different parts of what an offender signed; nothing that has an effect is lost by that.
 */
import type { PeerId } from '../../record/key.ts'
import type { VerifiedRecord } from '../../record/record.ts'

export interface RecordUsage {
  records: number
  bytes: number
}

export type Rank = 'admin' | 'signer' | 'other'

export interface RecordQuota {
  /** The record is in the log. */
  note(record: VerifiedRecord): void
  /** Why the record may not come in; undefined when it may. @param coming what comes in with it, by issuer */
  objection(record: VerifiedRecord, coming: ReadonlyMap<PeerId, RecordUsage>): string | undefined
}

export type QuotaLimits = Readonly<Record<Exclude<Rank, 'admin'>, Readonly<RecordUsage>>>

const MIB = 1024 * 1024

/** A head has about 500 bytes: a quarter of a million of them. */
export const QUOTA_LIMITS: QuotaLimits = {
  signer: { records: 262_144, bytes: 128 * MIB },
  other: { records: 1024, bytes: MIB },
}

export function createRecordQuota(
  rankOf: (peer: PeerId) => Rank,
  limits: QuotaLimits = QUOTA_LIMITS,
): RecordQuota {
  const used = new Map<PeerId, RecordUsage>()
  return {
    note: (record) => addUsage(used, record),
    objection({ issuerPeer, bytes }, coming) {
      const rank = rankOf(issuerPeer)
      if (rank === 'admin') return undefined
      const has = used.get(issuerPeer)
      const comes = coming.get(issuerPeer)
      const records = (has?.records ?? 0) + (comes?.records ?? 0)
      const total = (has?.bytes ?? 0) + (comes?.bytes ?? 0)
      const limit = limits[rank]
      if (records < limit.records && total + bytes.length <= limit.bytes) return undefined
      return `the key ${issuerPeer} has ${records} records of ${total} bytes here, which is its quota`
    },
  }
}

export function addUsage(usage: Map<PeerId, RecordUsage>, { issuerPeer, bytes }: VerifiedRecord): void {
  const known = usage.get(issuerPeer)
  if (known === undefined) usage.set(issuerPeer, { records: 1, bytes: bytes.length })
  else {
    known.records++
    known.bytes += bytes.length
  }
}
