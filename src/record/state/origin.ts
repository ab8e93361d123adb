import type { Origin } from '../mesh-state.ts'
import type { VerifiedRecord } from '../record.ts'

export function originOf(record: VerifiedRecord): Origin {
  return { record: record.id, issuer: record.issuerPeer, timeMs: record.timeMs }
}
