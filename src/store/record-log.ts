/** The port of the append-only log in which signed records rest, apart from any index that could be rebuilt. */

/** Bytes of the largest record accepted; the record layer's own limit is lower. */
export const MAX_LOGGED_RECORD_BYTES = 1024 * 1024

export interface RecordLog {
  /**
   * Appends all of them, in order; they survive a power loss once it resolves. Concurrent callers share one sync. When
   * it rejects, none of the call's records will be read back.
   * @throws MirrorError `no-space`, `io`, or `limit` for an empty record or one over MAX_LOGGED_RECORD_BYTES
   */
  append(records: readonly Uint8Array[]): Promise<void>
  /** Every durable record in the order appended. A record whose bytes are damaged is reported and left out. */
  readAll(): AsyncIterable<Uint8Array>
}
