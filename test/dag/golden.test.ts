import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { hex } from '../../src/base/bytes.ts'
import { decodeCbor } from '../../src/block/codec.ts'
import { encodeEntry } from '../../src/dag/entry.ts'
import { INLINE_ENTRY, LATER_ENTRIES, SAMPLE_ENTRIES, sampleBlocks } from './samples.ts'

const golden = JSON.parse(readFileSync(new URL('./golden/nodes.json', import.meta.url), 'utf8')) as {
  entries: string[]
  blocks: Record<string, { cid: string; bytes?: string }>
}

test('entries are encoded as in the golden file, for ever', () => {
  assert.deepEqual(
    [...SAMPLE_ENTRIES, ...LATER_ENTRIES, INLINE_ENTRY].map((entry) => hex(encodeEntry(entry))),
    golden.entries,
  )
})

test('nodes are encoded, and lists cut, as in the golden file, for ever', () => {
  const samples = sampleBlocks()
  assert.deepEqual(
    samples.map(({ name }) => name),
    Object.keys(golden.blocks),
  )
  for (const { name, block } of samples) {
    const expected = golden.blocks[name]!
    if (expected.bytes !== undefined) assert.equal(hex(block.bytes), expected.bytes, name)
    assert.equal(block.cid.toString(), expected.cid, name)
  }
})

test('every node is canonical dag-cbor to the library too', () => {
  for (const { name, block } of sampleBlocks()) {
    // decodeCbor encodes again and compares.
    assert.equal(typeof decodeCbor(block.bytes, name), 'object')
  }
})
