/** Readers of what a site does not hold: real stores and services, and a network that can be told to fail. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { concatBytes, utf8 } from '../../src/base/bytes.ts'
import type { Cid } from '../../src/block/cid.ts'
import { lookUp, type NodeSource } from '../../src/dag/reader.ts'
import { decodeSnapshot } from '../../src/dag/snapshot.ts'
import type { PullThrough } from '../../src/replica/pull/pull-through.ts'
import { createFileReader } from '../../src/tree/read-file.ts'
import { tempDir } from '../store/temp-dir.ts'
import { createMesh, filesPlan, publish, TREE } from './mesh.ts'

/** As the gateway does it. */
async function readOut(
  source: NodeSource,
  snapshot: Cid,
  name: string,
  signal?: AbortSignal,
): Promise<string> {
  const { root } = decodeSnapshot(snapshot, (await source.get(snapshot, signal))!)
  const entry = await lookUp(source, root, [utf8(name)], signal)
  assert.equal(entry?.type, 'file')
  const pieces: Uint8Array[] = []
  for await (const piece of createFileReader({ blocks: source }).read(entry, undefined, signal))
    pieces.push(piece)
  return Buffer.from(concatBytes(pieces)).toString()
}

const read = (pull: PullThrough, snapshot: Cid, name: string, signal?: AbortSignal): Promise<string> =>
  readOut(pull.open(TREE, snapshot), snapshot, name, signal)

const contentOf = (i: number, bytes: number): string => Buffer.alloc(bytes + (i % 13), `0/${i} `).toString()

test('a file is read out of the nearest member that has it, once for all who ask', async (t: TestContext) => {
  const mesh = createMesh()
  const [hq, near, lab] = [mesh.add('hq', 'us'), mesh.add('near', 'eu'), mesh.add('lab', 'eu')]
  const { cid } = await publish(hq, filesPlan(3000, 900))
  await publish(near, filesPlan(3000, 900))
  const pull = mesh.pull(lab, tempDir(t))
  const texts = await Promise.all(Array.from({ length: 50 }, () => read(pull, cid, 'file-01234')))
  for (const text of texts) assert.equal(text, contentOf(1234, 900))
  const { fetchedBlocks, failures } = pull.usage()
  // The snapshot, the index down to the page, the root's nodes down to the leaf, the file.
  assert.ok(fetchedBlocks < 16, `${fetchedBlocks} blocks`)
  assert.equal(failures, 0)
  assert.equal(hq.traffic.totals().bytesSent, 0)
  assert.equal(await lab.holdings.isComplete(TREE, cid), false)
  assert.deepEqual(await lab.store.blocks.has([cid]), [false])
})

test('wrong bytes are seen by nobody: their sender is blamed, and another asked', async (t: TestContext) => {
  const mesh = createMesh()
  const [hq, liar, lab] = [mesh.add('hq', 'us'), mesh.add('liar', 'eu'), mesh.add('lab', 'eu')]
  const { cid } = await publish(hq, filesPlan(20, 3000))
  await publish(liar, filesPlan(20, 3000))
  liar.corrupt = (bytes) => bytes.map((byte, at) => (at === 7 ? byte ^ 1 : byte))
  const pull = mesh.pull(lab, tempDir(t))
  for (let i = 0; i < 20; i++)
    assert.equal(await read(pull, cid, `file-${String(i).padStart(5, '0')}`), contentOf(i, 3000))
  assert.deepEqual(pull.blamed, ['liar'])
})

test('what nobody has is unreachable at once; what nobody sends is late', async (t: TestContext) => {
  const mesh = createMesh()
  const [hq, lab] = [mesh.add('hq', 'us'), mesh.add('lab', 'eu')]
  const { cid } = await publish(hq, filesPlan(20, 3000))
  const pull = mesh.pull(lab, tempDir(t), { timeoutMs: 1000 })
  const { promise: never, resolve: release } = Promise.withResolvers<void>()
  hq.onServe = () => never
  await assert.rejects(read(pull, cid, 'file-00001'), { code: 'timed-out' })
  mesh.setConnected(hq, false)
  await assert.rejects(read(pull, cid, 'file-00001'), { code: 'unreachable' })
  release()
  hq.onServe = undefined
  mesh.setConnected(hq, true)
  assert.equal(await read(pull, cid, 'file-00001'), contentOf(1, 3000))
})

test('a client that goes away ends the fetch that was for it alone', async (t: TestContext) => {
  const mesh = createMesh()
  const [hq, lab] = [mesh.add('hq', 'us'), mesh.add('lab', 'eu')]
  const { cid } = await publish(hq, filesPlan(20, 3000))
  const pull = mesh.pull(lab, tempDir(t))
  const gone = new AbortController()
  hq.onServe = () => {
    gone.abort(new Error('the client went away'))
  }
  await assert.rejects(read(pull, cid, 'file-00001', gone.signal), /went away/)
  await new Promise((resolve) => setImmediate(resolve))
  // Neither kept nor counted as a failure of the mesh.
  assert.equal(pull.usage().failures, 0)
  hq.onServe = undefined
  assert.equal(await read(pull, cid, 'file-00001'), contentOf(1, 3000))
})

test('the reader of a snapshot that is being fetched comes first, and nothing is fetched twice', async (t: TestContext) => {
  const mesh = createMesh()
  const [hq, lab] = [mesh.add('hq', 'us'), mesh.add('lab', 'eu')]
  const { cid, snapshot } = await publish(hq, filesPlan(1000, 3000))
  const fetching = mesh.fetch(lab, cid, {
    scheduling: { minPipelineBytes: 20_000, maxPipelineBytes: 20_000, maxInFlightBytes: 20_000, graceMs: 0 },
  })
  const pull = mesh.pull(lab, tempDir(t), { fetching })
  let served = 0
  const begun = Promise.withResolvers<void>()
  hq.onServe = () => {
    if (++served === 50) begun.resolve()
  }
  await begun.promise
  assert.equal(await read(pull, cid, 'file-00990'), contentOf(990, 3000))
  const { heldBlocks } = fetching.progress()
  assert.ok(heldBlocks < snapshot.counts.blocks / 2, `${heldBlocks} blocks were here before the reader's`)
  const result = await fetching.done
  assert.ok(await lab.holdings.isComplete(TREE, cid))
  const { fetchedBlocks } = pull.usage()
  // What the reader took went into the store: the fetch did not ask for it again.
  const twice = result.fetchedBlocks + fetchedBlocks - snapshot.counts.blocks
  assert.ok(twice <= 8, `${twice} blocks came twice`)
})

test('of what is taken down while it is read nothing is kept', async (t: TestContext) => {
  const mesh = createMesh()
  const [hq, lab] = [mesh.add('hq', 'us'), mesh.add('lab', 'eu')]
  const { cid } = await publish(hq, filesPlan(20, 3000))
  let gone = false
  const pull = mesh.pull(lab, tempDir(t), { isGone: () => gone })
  assert.equal(await read(pull, cid, 'file-00001'), contentOf(1, 3000))
  const { blocks } = pull.cache.usage()
  assert.ok(blocks > 0)
  gone = true
  pull.cache.makeRoom(Number.MAX_SAFE_INTEGER)
  assert.equal(pull.cache.usage().blocks, 0)
  assert.equal(await read(pull, cid, 'file-00002'), contentOf(2, 3000))
  assert.equal(pull.cache.usage().blocks, 0)
})
