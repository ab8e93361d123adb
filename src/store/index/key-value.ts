/**
 * The port for small values by name: what was completed, which pages belong to which tree, address books. Everything
 * kept here can be derived again: it goes when the index is lost and rebuilt.
 */

export interface WriteOptions {
  /** Survives a power loss once the call resolves. Without it, only a crash of the process. */
  readonly sync?: boolean
}

export type KeyValueOperation =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array }
  | { readonly type: 'delete'; readonly key: string }

export interface KeyRange {
  /** First key of the range. */
  readonly gte?: string
  /** First key after the range. */
  readonly lt?: string
  readonly reverse?: boolean
  readonly limit?: number
}

/** Keys sort by their UTF-8 bytes. Values belong to the caller in both directions. */
export interface KeyValue {
  get(key: string): Promise<Uint8Array | undefined>
  put(key: string, value: Uint8Array, options?: WriteOptions): Promise<void>
  /** Deleting what is not there is no error. */
  delete(key: string, options?: WriteOptions): Promise<void>
  /** All or nothing. */
  batch(operations: readonly KeyValueOperation[], options?: WriteOptions): Promise<void>
  /** In order of the keys, as they were when the iteration began. */
  entries(range?: KeyRange): AsyncIterable<[key: string, value: Uint8Array]>
}
