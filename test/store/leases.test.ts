/** The notes that writers leave, and what they keep a batch of deletions from. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { cidToKeyBytes } from '../../src/block/cid.ts'
import type { Index } from '../../src/store/index/index.ts'
import { createMemoryIndex } from '../../src/store/index/memory-index.ts'
import { createLeases } from '../../src/store/leases.ts'
import { createPackIndex } from '../../src/store/packs/pack-index.ts'
import { sampleBlocks } from './sample-blocks.ts'

const KEYS = sampleBlocks(50, 60).map(({ cid }) => cidToKeyBytes(cid))

/** As uniform as the keys of blocks. */
function digestKey(number: number): Uint8Array {
  return Uint8Array.of(0x55, ...createHash('sha256').update(String(number)).digest())
}

test('keys are noted while a writer is at work, and forgotten with the last that needs them', () => {
  const leases = createLeases()
  leases.touch(KEYS.slice(0, 10))
  assert.ok(
    KEYS.every((key) => !leases.isTouched(key)),
    'nobody asked for it',
  )
  const writer = leases.lease({ purpose: 'import', isWriter: true })
  leases.touch(KEYS.slice(0, 10))
  const hold = leases.hold()
  writer.close()
  assert.ok(
    KEYS.slice(0, 10).every((key) => leases.isTouched(key)),
    'the run began while the writer was at work',
  )
  hold[Symbol.dispose]()
  assert.ok(KEYS.every((key) => !leases.isTouched(key)))
  assert.deepEqual(leases.list(), [])
})

test('many notes go into further filters, and none is lost', () => {
  const leases = createLeases()
  using _lease = leases.lease({ purpose: 'import', isWriter: true })
  const keys = Array.from({ length: 40_000 }, (_, i) => digestKey(i))
  leases.touch(keys)
  assert.ok(keys.every((key) => leases.isTouched(key)))
  assert.ok(KEYS.filter((key) => leases.isTouched(key)).length < 10)
})

test('a key that is noted again and again takes no more room, and is noted anew for a later writer', () => {
  const leases = createLeases()
  const first = leases.lease({ purpose: 'first', isWriter: true })
  for (let round = 0; round < 2000; round++) leases.touch(KEYS)
  const other = Array.from({ length: 17_500 }, (_, i) => digestKey(i))
  // Fills the first filter: the second writer begins in another.
  leases.touch(other)
  const second = leases.lease({ purpose: 'second', isWriter: true })
  leases.touch(KEYS)
  first.close()
  assert.ok(KEYS.every((key) => leases.isTouched(key)))
  assert.ok(
    other.slice(0, 10_000).filter((key) => leases.isTouched(key)).length < 1000,
    'the first filter is gone',
  )
  second.close()
})

test('a look-up from before a batch takes its key out, one that comes later waits for the batch', async () => {
  const leases = createLeases()
  using _hold = leases.hold()
  leases.touch([KEYS[0]!])
  const claim = leases.claim(KEYS.slice(0, 3))
  assert.deepEqual(claim.mayGo, [false, true, true])
  assert.equal(leases.deleting([KEYS[0]!]), undefined)
  let isOver = false
  const waiting = leases.deleting([KEYS[9]!, KEYS[2]!])!.then(() => {
    isOver = true
  })
  await Promise.resolve()
  assert.equal(isOver, false)
  claim.end()
  await waiting
  assert.equal(leases.deleting([KEYS[2]!]), undefined)
})

test('of a batch of deletions that failed nobody is told "here" until its outcome is known', async () => {
  const memory = createMemoryIndex()
  let failing = false
  const index: Index = {
    ...memory,
    async batch(operations, options) {
      if (failing) throw new Error('the disk failed')
      await memory.batch(operations, options)
    },
  }
  const packIndex = await createPackIndex(index)
  const place = { packId: 1, offset: 84, storedBytes: 5, lengthBytes: 5, encoding: 'plain' as const }
  const blocks = KEYS.slice(0, 2).map((key, i) => ({ key, place: { ...place, offset: 84 + i * 57 } }))
  await packIndex.publish(
    blocks.map((block) => ({ key: block.key, ...block.place })),
    new Map([[1, 146]]),
    { sync: true },
  )
  const leases = createLeases()
  using _hold = leases.hold()
  failing = true
  await assert.rejects(packIndex.remove(blocks, leases.claim), /the disk failed/)
  await assert.rejects(leases.deleting([KEYS[0]!])!, /the disk failed/)
  failing = false
  assert.deepEqual(await packIndex.remove(blocks, leases.claim), [true, true])
  assert.equal(leases.deleting([KEYS[0]!]), undefined)
  assert.deepEqual(await packIndex.find(KEYS.slice(0, 2)), [undefined, undefined])
  assert.equal(packIndex.blocks, 0)
})
