/** The index in memory: behind the in-memory store, and in tests that cut the power at every step. */
import type { Index, IndexOperation, IndexRange } from './index.ts'

export function createMemoryIndex(): Index {
  const values = new Map<string, Uint8Array>()

  function apply(operation: IndexOperation): void {
    const name = latin1(operation.key)
    if (operation.type === 'put') values.set(name, new Uint8Array(operation.value))
    else values.delete(name)
  }

  return {
    async getMany(keys) {
      return keys.map((key) => values.get(latin1(key))?.slice())
    },
    async batch(operations) {
      for (const operation of operations) apply(operation)
    },
    async *entries({ gte, lt, reverse = false, limit = Number.POSITIVE_INFINITY }: IndexRange) {
      const first = latin1(gte)
      const end = latin1(lt)
      // One character a byte, so that the order of strings is the order of bytes.
      const found = [...values].filter(([name]) => name >= first && name < end)
      found.sort(([a], [b]) => (a < b ? -1 : 1))
      if (reverse) found.reverse()
      let left = limit
      for (const [name, value] of found) {
        if (left-- <= 0) return
        yield [new Uint8Array(Buffer.from(name, 'latin1')), value.slice()]
      }
    },
    async close() {
      values.clear()
    },
  }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}
