import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Block } from '../../src/block/block.ts'
import { cidKey, cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import { decodeWindowed } from '../../src/block/encoding.ts'
import { createObjectsOver } from '../../src/replica/serve/objects-over.ts'
import { noise } from '../tree/trees.ts'

const blockOf = (bytes: Uint8Array): Block => ({ cid: cidOf(DAG_CBOR, bytes), bytes: new Uint8Array(bytes) })
const [one, two] = [blockOf(noise(8000, 1)), blockOf(noise(8000, 2))]
const target = blockOf(
  Buffer.concat([one.bytes.subarray(0, 5000), noise(100, 3), two.bytes.subarray(1000, 6000)]),
)

/** Somebody who may have these. */
const reader = (...blocks: readonly Block[]) => {
  const held = new Map(blocks.map(({ cid, bytes }) => [cidKey(cid), bytes]))
  return async (cid: Block['cid']) => held.get(cidKey(cid))
}

test('an object goes over the bases that both sides have, and comes out whole', async () => {
  const objects = createObjectsOver()
  const read = reader(target, one, two)
  for (const bases of [[one, two], [two, one], [one]]) {
    const cids = bases.map(({ cid }) => cid)
    const found = (await objects.encode(target.cid, cids, read))!
    assert.deepEqual(
      found.over.bases,
      bases.map((_, i) => i),
    )
    const window = new Uint8Array(Buffer.concat(bases.map(({ bytes }) => bytes)))
    const { lengthBytes } = found.over
    assert.deepEqual(decodeWindowed({ bytes: found.bytes, window, lengthBytes }), target.bytes)
    assert.ok(found.bytes.length < (bases.length === 1 ? 5400 : 400), `${found.bytes.length}`)
  }
})

test('what the asker may not have is no base, whoever asked before', async () => {
  const objects = createObjectsOver()
  const bases = [one.cid, two.cid]
  assert.deepEqual((await objects.encode(target.cid, bases, reader(target, one, two)))?.over.bases, [0, 1])
  assert.deepEqual((await objects.encode(target.cid, bases, reader(target, two)))?.over.bases, [1])
  assert.equal(await objects.encode(target.cid, bases, reader(target)), undefined)
  assert.equal(await objects.encode(target.cid, bases, reader(one, two)), undefined)
})

test('what saves little, and what is too large, goes whole', async () => {
  const objects = createObjectsOver()
  const other = blockOf(noise(8000, 4))
  assert.equal(await objects.encode(target.cid, [other.cid], reader(target, other)), undefined)
  const large = blockOf(Buffer.concat([one.bytes, new Uint8Array(600_000)]))
  assert.equal(await objects.encode(large.cid, [one.cid], reader(large, one)), undefined)
})
