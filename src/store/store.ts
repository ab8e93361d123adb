/** The store of one node: blocks, records and small values, with one lifetime. */
import type { BlockStore } from './block-store.ts'
import type { KeyValue } from './key-value.ts'
import type { RecordLog } from './record-log.ts'

export interface Store {
  readonly blocks: BlockStore
  readonly records: RecordLog
  /** Values under a name of their own: two namespaces never see each other's keys. Names are `[a-z0-9-]{1,32}`. */
  values(namespace: string): KeyValue
  stats(): StoreStats
  /** Flushes, then gives everything back. Other calls must have ended. */
  close(): Promise<void>
}

export interface StoreStats {
  readonly blocks: number
  readonly packs: number
  readonly packBytes: number
  readonly recordBytes: number
}
