import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cidKey } from '../../src/block/cid.ts'
import { decodeIndexNode } from '../../src/dag/block-index.ts'
import { listPages } from '../../src/dag/reader.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import { weighIndex } from '../../src/replica/serve/weigh-index.ts'
import { createMemorySource } from '../dag/memory-source.ts'
import { noise, snapshotOf } from '../delta/snapshots.ts'

/** 6,000 files of one block, some of them changed: an index of several pages below a branch. */
function filesWith(changed: (i: number) => boolean) {
  return new Map(
    Array.from({ length: 6000 }, (_, i) => [
      `file-${String(i).padStart(5, '0')}`,
      [noise(i + (changed(i) ? 10_000 : 1), 40)],
    ]),
  )
}

test('an index is weighed as it travels: new nodes alone, over the older ones', async () => {
  const source = createMemorySource()
  const one = snapshotOf(
    filesWith(() => false),
    source.emit,
  )
  const two = snapshotOf(
    filesWith((i) => i >= 3000 && i < 3300 && i % 10 === 0),
    source.emit,
  )
  const [older, newer] = await Promise.all(
    [one, two].map(async (cid) => {
      const bytes = (await source.get(cid))!
      const { index } = decodeSnapshot(cid, bytes)
      const nodes = new Map([[cidKey(index), (await source.get(index))!.length]])
      for await (const { cid: page } of listPages(source, index))
        nodes.set(cidKey(page), (await source.get(page))!.length)
      const root = decodeIndexNode(index, (await source.get(index))!)
      assert.ok(root.kind === 'branch' && root.level === 1, 'one branch above the pages')
      return { bytes, nodes }
    }),
  )
  const newNodes = [...newer!.nodes].filter(([key]) => !older!.nodes.has(key))
  assert.ok(newNodes.length >= 2 && newNodes.length < newer!.nodes.size)
  const whole = newNodes.reduce((sum, [, length]) => sum + length, newer!.bytes.length)

  const weight = await weighIndex(source, { from: one, to: two })
  assert.equal(weight.wholeBytes, whole)
  // 30 files, and the nodes of the directory above them.
  assert.ok(weight.travellingBytes > 30 * 32 + newer!.bytes.length, `${weight.travellingBytes}`)
  assert.ok(weight.travellingBytes < whole / 5, `${weight.travellingBytes} of ${whole}`)

  const same = { wholeBytes: newer!.bytes.length, travellingBytes: newer!.bytes.length }
  assert.deepEqual(await weighIndex(source, { from: two, to: two }), same)
})

test('what is missing of an index is said', async () => {
  const source = createMemorySource()
  const one = snapshotOf(new Map([['a', [noise(1, 100)]]]), source.emit)
  const two = snapshotOf(new Map([['a', [noise(2, 100)]]]), source.emit)
  const { index } = decodeSnapshot(one, (await source.get(one))!)
  const partly = { get: async (cid: typeof one) => (cid.equals(index) ? undefined : source.get(cid)) }
  await assert.rejects(weighIndex(partly, { from: one, to: two }), { code: 'not-found' })
})
