/**
 * Digests by the CID of what they are of, in memory, and on disk where there is one: what was hashed once is known after a
 * restart. The disk has what memory has, no more: what memory forgets is deleted. It follows in its own time, and what a crash
 * loses is read again.
 */
import { LRUCache } from 'lru-cache'
import { asMirrorError } from '../../src/base/errors.ts'
import type { Cid } from '../../src/block/cid.ts'
import type { KeyValue, KeyValueOperation } from '../../src/store/index/key-value.ts'
import type { GatewayLog } from './gateway-log.ts'

export interface KeptDigests {
  get(content: Cid): Uint8Array | undefined
  set(content: Cid, digest: Uint8Array): void
  /** A greater number whenever more are known. */
  revision(): number
  /** Reads what earlier runs left; resolves when all of it is known. Does not reject. */
  load(): Promise<void>
  /** All that was set is on its way to the disk, and there. */
  flush(): Promise<void>
}

const DIGEST_BYTES = 32
const MAX_KEPT = 65_536
const MAX_BATCH = 1024

export function createKeptDigests(
  { values, log }: { readonly values?: KeyValue | undefined; readonly log?: GatewayLog | undefined } = {},
  { maxKept = MAX_KEPT }: { readonly maxKept?: number } = {},
): KeptDigests {
  const pending = new Map<string, KeyValueOperation>()
  let writing: Promise<void> | undefined
  let revision = 0
  const known = new LRUCache<string, Uint8Array>({
    max: maxKept,
    dispose(_, key, reason) {
      if (reason === 'evict') later({ type: 'delete', key })
    },
  })

  function later(operation: KeyValueOperation): void {
    if (values === undefined) return
    pending.set(operation.key, operation)
    writing ??= write(values).finally(() => {
      writing = undefined
    })
  }

  async function write(to: KeyValue): Promise<void> {
    while (pending.size > 0) {
      const batch = [...pending.values()].slice(0, MAX_BATCH)
      for (const { key } of batch) pending.delete(key)
      try {
        await to.batch(batch)
      } catch (error) {
        log?.warn({ err: asMirrorError(error, 'keep digests of files') }, 'gateway.digests-not-kept')
      }
    }
  }

  return {
    get: (content) => known.get(content.toString()),
    set(content, digest) {
      const key = content.toString()
      revision++
      known.set(key, digest)
      later({ type: 'put', key, value: digest })
    },
    revision: () => revision,
    async load() {
      if (values === undefined) return
      try {
        for await (const [key, value] of values.entries()) {
          if (value.length !== DIGEST_BYTES) later({ type: 'delete', key })
          else if (!known.has(key)) {
            revision++
            known.set(key, Uint8Array.from(value))
          }
        }
      } catch (error) {
        log?.warn({ err: asMirrorError(error, 'read the digests of files') }, 'gateway.digests-not-read')
      }
    },
    async flush() {
      while (writing !== undefined) await writing
    },
  }
}
