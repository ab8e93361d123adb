import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isMirrorError } from '../../src/base/errors.ts'
import { cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import { decodeCbor, encodeCbor, nodeBlock } from '../../src/block/codec.ts'

test('a node is one byte string, whatever the order its keys were written in', () => {
  const block = nodeBlock({ name: 'a', list: [1, -1, new Uint8Array([7])] })
  assert.deepEqual(block.bytes, encodeCbor({ list: [1, -1, new Uint8Array([7])], name: 'a' }))
  assert.ok(block.cid.equals(cidOf(DAG_CBOR, block.bytes)))
  assert.deepEqual(decodeCbor(block.bytes, 'node'), { list: [1, -1, new Uint8Array([7])], name: 'a' })
})

test('what is not canonical dag-cbor is corrupt, what is too long is over its limit', () => {
  const cases = [
    [],
    [0x18, 0x01],
    [0x9f, 0x01, 0xff],
    [0xa1, 0x01, 0x02],
    [0x01, 0x01],
    [0xf7],
    [0xc0, 0x60],
    [0xf9, 0x3c, 0x00],
    [0xa2, 0x61, 0x62, 0x01, 0x61, 0x61, 0x01],
  ]
  for (const bytes of cases) {
    assert.throws(
      () => decodeCbor(Uint8Array.from(bytes), 'node'),
      (error) => isMirrorError(error, 'corrupt'),
      String(bytes),
    )
  }
  assert.throws(
    () => decodeCbor(encodeCbor('twelve bytes'), 'node', 12),
    (error) => isMirrorError(error, 'limit'),
  )
})

test('nesting is bounded, the same at every node: how deep the stack goes is chance', () => {
  const nested = (depth: number): Uint8Array => new Uint8Array(depth + 1).fill(0x81).with(depth, 0)
  assert.ok(Array.isArray(decodeCbor(nested(64), 'node')))
  for (const depth of [65, 2000]) assert.throws(() => decodeCbor(nested(depth), 'node'), { code: 'limit' })
  assert.throws(
    () => decodeCbor(nested(60_000), 'node'),
    (error) => isMirrorError(error),
  )
})
