/** Small values by name, kept in the index under a namespace. */
import { decodeUtf8 } from '../../base/bytes.ts'
import { asMirrorError, MirrorError } from '../../base/errors.ts'
import type { Index, IndexOperation } from './index.ts'
import { valueIndexEnd, valueIndexKey } from './index.ts'
import type { KeyRange, KeyValue, KeyValueOperation, WriteOptions } from './key-value.ts'

const MAX_KEY_CHARACTERS = 1024

/** @throws MirrorError `invalid` for a namespace that is not `[a-z0-9-]{1,32}` */
export function createIndexValues(index: Index, namespace: string): KeyValue {
  if (!/^[a-z0-9-]{1,32}$/.test(namespace)) {
    throw new MirrorError('invalid', `not a namespace of values: ${JSON.stringify(namespace.slice(0, 64))}`)
  }
  const prefixBytes = valueIndexKey(namespace, '').length

  function keyOf(key: string): Uint8Array {
    if (key.length === 0 || key.length > MAX_KEY_CHARACTERS || !key.isWellFormed()) {
      throw new MirrorError('invalid', `a key in ${namespace} must be 1 to ${MAX_KEY_CHARACTERS} characters`)
    }
    return valueIndexKey(namespace, key)
  }

  async function write(operations: readonly KeyValueOperation[], { sync = false }: WriteOptions = {}) {
    const batch: IndexOperation[] = operations.map((operation) =>
      operation.type === 'put'
        ? { type: 'put', key: keyOf(operation.key), value: operation.value }
        : { type: 'del', key: keyOf(operation.key) },
    )
    try {
      await index.batch(batch, { sync })
    } catch (error) {
      throw asMirrorError(error, `write values of ${namespace}`)
    }
  }

  return {
    async get(key) {
      const [value] = await index.getMany([keyOf(key)])
      return value
    },
    put: (key, value, options) => write([{ type: 'put', key, value }], options),
    delete: (key, options) => write([{ type: 'delete', key }], options),
    batch: write,
    async *entries({ gte, lt, reverse = false, limit }: KeyRange = {}) {
      const range = {
        gte: valueIndexKey(namespace, gte ?? ''),
        lt: lt === undefined ? valueIndexEnd(namespace) : valueIndexKey(namespace, lt),
        reverse,
        ...(limit === undefined ? {} : { limit }),
      }
      for await (const [key, value] of index.entries(range)) {
        const name = decodeUtf8(key.subarray(prefixBytes))
        if (name !== undefined) yield [name, value] as [string, Uint8Array]
      }
    },
  }
}
