import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8 } from '../../src/base/bytes.ts'
import { MirrorError } from '../../src/base/errors.ts'
import type { Block } from '../../src/block/block.ts'
import { cidOf, RAW } from '../../src/block/cid.ts'
import { createBlockIndexBuilder } from '../../src/dag/block-index.ts'
import { buildDirectory } from '../../src/dag/directory.ts'
import { closure } from '../../src/dag/reader.ts'
import { encodeSnapshot } from '../../src/dag/snapshot.ts'
import type { FetchResult } from '../../src/replica/fetch/fetch-session.ts'
import type { BlockStore } from '../../src/store/block-store.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { META } from '../dag/trees.ts'
import type { TestNode } from './mesh.ts'
import { createMesh, filesPlan, publish, TREE } from './mesh.ts'

function shareFrom(node: TestNode, from: TestNode, { totalBytes }: FetchResult): number {
  return (node.traffic.totals().peers.get(from.name)?.bytesReceived ?? 0) / totalBytes!
}

for (const [files, bytes] of [
  [12, 20_000],
  [80, 3000],
  [4000, 600],
] as const) {
  test(`two sites that fetch ${files} files at the same time share them`, async () => {
    const mesh = createMesh()
    const hq = mesh.add('hq', 'east')
    hq.wants = false
    const labs = [mesh.add('lab-a', 'west'), mesh.add('lab-b', 'west')] as const
    const { cid, snapshot } = await publish(hq, filesPlan(files, bytes))
    const results = await Promise.all(labs.map((lab) => mesh.fetch(lab, cid).done))
    const [a, b] = labs
    assert.equal(hq.traffic.totals().blocksSentMoreThanOnce, 0)
    assert.equal(hq.traffic.totals().distinctBlocksSent, snapshot.counts.blocks)
    assert.ok(shareFrom(a, b, results[0]!) >= 0.3, `a from b: ${shareFrom(a, b, results[0]!)}`)
    assert.ok(shareFrom(b, a, results[1]!) >= 0.3, `b from a: ${shareFrom(b, a, results[1]!)}`)
    for (const lab of labs) {
      assert.ok(await lab.holdings.isComplete(TREE, cid))
      assert.ok(lab.traffic.totals().bytesSentBeforeComplete > 0)
      for await (const block of closure(lab.store.blocks, snapshot.root))
        assert.deepEqual(await lab.store.blocks.has([block.cid]), [true])
    }
    assert.equal(results[0]!.fetchedBlocks, snapshot.counts.blocks)
    assert.equal(results[0]!.duplicateBlocks, 0)
  })
}

test('a fetch that was cut off goes on without asking again for what is stored', async () => {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  const lab = mesh.add('lab-a', 'west')
  const { cid, snapshot } = await publish(hq, filesPlan(3000, 2000))
  let served = 0
  const first = mesh.fetch(lab, cid)
  hq.onServe = () => {
    if (++served === 1000) first.stop()
  }
  await assert.rejects(first.done, (error: MirrorError) => error.code === 'aborted')
  assert.equal(await lab.holdings.isComplete(TREE, cid), false)

  // A node that starts again on the same disk.
  mesh.remove(lab)
  const again = mesh.add('lab-a', 'west', lab.store)
  const second = await mesh.fetch(again, cid).done
  const stored = snapshot.counts.blocks - second.fetchedBlocks
  assert.ok(stored > 500, `only ${stored} blocks were kept`)
  assert.equal(again.traffic.totals().blocksReceived, second.fetchedBlocks)
  assert.equal(second.heldBlocks, snapshot.counts.blocks)
})

test('only the changed blocks of the next snapshot travel', async () => {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  const lab = mesh.add('lab-a', 'west')
  const before = filesPlan(500, 4000)
  const changed = filesPlan(5, 4000, 1)
  assert.ok(before.type === 'directory' && changed.type === 'directory')
  await mesh.fetch(lab, (await publish(hq, before)).cid).done
  const after = { ...before, children: new Map([...before.children, ...changed.children]) }
  const result = await mesh.fetch(lab, (await publish(hq, after)).cid).done
  assert.ok(result.fetchedBlocks >= 6 && result.fetchedBlocks <= 12, `${result.fetchedBlocks}`)
})

test('wrong bytes are never stored: their sender is blamed and the rest comes from elsewhere', async () => {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  const liar = mesh.add('liar', 'west')
  const lab = mesh.add('lab-a', 'west')
  const { cid, snapshot } = await publish(hq, filesPlan(200, 3000))
  lab.wants = false
  await mesh.fetch(liar, cid).done
  liar.corrupt = (bytes) => bytes.map((byte, i) => (i === 0 ? byte ^ 1 : byte))
  const blamed: string[] = []
  const result = await mesh.fetch(lab, cid, { onBlame: (peer) => blamed.push(peer) }).done
  assert.deepEqual(blamed, ['liar'])
  assert.equal(result.fetchedBlocks, snapshot.counts.blocks)
  assert.equal(lab.traffic.totals().peers.get('hq')!.blocksReceived, snapshot.counts.blocks)
})

test('with a full disk no block is asked for, and once there is room the fetch completes', async () => {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  const store = createMemoryStore()
  let isFull = true
  const blocks: BlockStore = {
    ...store.blocks,
    async claimSpace() {
      if (isFull) throw new MirrorError('no-space', 'the disk is full')
    },
  }
  const lab = mesh.add('lab-a', 'west', { ...store, blocks })
  const { cid, snapshot } = await publish(hq, filesPlan(50, 1000))
  await assert.rejects(mesh.fetch(lab, cid).done, { code: 'no-space' })
  assert.equal(hq.traffic.totals().blocksSent, 0)
  isFull = false
  assert.equal((await mesh.fetch(lab, cid).done).fetchedBlocks, snapshot.counts.blocks)
})

test('a snapshot whose index leaves out a block is refused, and not called complete', async () => {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  const lab = mesh.add('lab-a', 'west')
  const whole = await publish(hq, filesPlan(50, 1000))
  const part = await publish(hq, filesPlan(40, 1000))
  const wrong = encodeSnapshot({ ...whole.snapshot, index: part.snapshot.index })
  await hq.store.blocks.put([wrong])
  await hq.holdings.adopt(TREE, wrong.cid)
  await assert.rejects(mesh.fetch(lab, wrong.cid).done, (error: MirrorError) => {
    assert.equal(error.code, 'corrupt')
    assert.match(error.message, /index does not list/)
    return true
  })
  assert.equal(await lab.holdings.isComplete(TREE, wrong.cid), false)
})

test('what a peer says it holds waits there until the snapshot is read: a few bytes may name many blocks', async () => {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  const lab = mesh.add('lab-a', 'west')
  const { cid } = await publish(hq, filesPlan(20, 1000))
  const gate = Promise.withResolvers<void>()
  const { object } = hq.server
  hq.server.object = async (...args) => {
    await gate.promise
    return object(...args)
  }
  let told = 0
  hq.server.watch = async function* () {
    const offsets = Array.from({ length: 65_536 }, (_, i) => i)
    for (; told < 5000; told++) yield { kind: 'blocks', page: told, offsets }
    yield { kind: 'complete' }
  }
  const fetching = mesh.fetch(lab, cid)
  for (let turn = 0; turn < 2000; turn++) await new Promise((resolve) => setImmediate(resolve))
  assert.ok(told <= 1, `${told} messages of 65,536 numbers each were taken in`)
  gate.resolve()
  await fetching.done
})

test('a snapshot that lies about the length of a block is refused, by whichever list it lies', async () => {
  const chunk = { cid: cidOf(RAW, new Uint8Array(1000)), bytes: new Uint8Array(1000) }
  for (const [listedBytes, fileBytes] of [
    [1, 1000],
    [1000, 1],
  ] as const) {
    const mesh = createMesh()
    const hq = mesh.add('hq', 'east')
    const lab = mesh.add('lab-a', 'west')
    const { snapshot } = await publish(hq, filesPlan(1, 100))
    const blocks: Block[] = [chunk]
    const index = createBlockIndexBuilder((block) => blocks.push(block))
    index.add(chunk.cid, listedBytes)
    const file = { type: 'file', name: utf8('a'), ...META, sizeBytes: fileBytes, content: chunk.cid } as const
    const directory = buildDirectory([file], (block) => {
      blocks.push(block)
      index.add(block.cid, block.bytes.length)
    })
    const root = { type: 'directory', name: new Uint8Array(), ...META, directory } as const
    const wrong = encodeSnapshot({ ...snapshot, root, index: index.finish().root })
    await hq.store.blocks.put([...blocks, wrong])
    await hq.holdings.adopt(TREE, wrong.cid)
    await assert.rejects(mesh.fetch(lab, wrong.cid).done, {
      code: 'corrupt',
      message: /has 1 bytes; it has 1000/,
    })
    assert.equal(await lab.holdings.isComplete(TREE, wrong.cid), false)
  }
})

test('a snapshot of another tree is refused', async () => {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  const lab = mesh.add('lab-a', 'west')
  const { cid } = await publish(hq, filesPlan(3, 100), { tree: 'logs/lab' })
  await hq.holdings.adopt(TREE, cid)
  await assert.rejects(mesh.fetch(lab, cid).done, { code: 'corrupt' })
})

test('a full disk ends the fetch with its own error', async () => {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  const lab = mesh.add('lab-a', 'west')
  const { cid } = await publish(hq, filesPlan(100, 1000))
  const { put } = lab.store.blocks
  let calls = 0
  lab.store.blocks.put = (blocks, options) => {
    if (++calls > 3) return Promise.reject(new MirrorError('no-space', 'the disk is full'))
    return put(blocks, options)
  }
  await assert.rejects(mesh.fetch(lab, cid).done, { code: 'no-space' })
  assert.equal(await lab.holdings.isComplete(TREE, cid), false)
  lab.store.blocks.put = put
  await mesh.fetch(lab, cid).done
})

test('a neighbour that goes away in mid-fetch is done without', async () => {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  const labs = [mesh.add('lab-a', 'west'), mesh.add('lab-b', 'west')] as const
  const { cid, snapshot } = await publish(hq, filesPlan(2000, 1000))
  const fetches = labs.map((lab) => mesh.fetch(lab, cid))
  let served = 0
  hq.onServe = () => {
    if (++served !== 600) return
    fetches[1]!.stop()
    mesh.remove(labs[1])
  }
  const result = await fetches[0]!.done
  assert.equal(result.heldBlocks, snapshot.counts.blocks)
  await assert.rejects(fetches[1]!.done, { code: 'aborted' })
})

test('a fetch waits for a source, and one that is complete already asks nobody', async () => {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  const lab = mesh.add('lab-a', 'west')
  const { cid, snapshot } = await publish(hq, filesPlan(30, 1000))
  mesh.setConnected(hq, false)
  const fetching = mesh.fetch(lab, cid)
  setImmediate(() => mesh.setConnected(hq, true))
  assert.equal((await fetching.done).fetchedBlocks, snapshot.counts.blocks)
  mesh.remove(hq)
  const again = await mesh.fetch(lab, cid).done
  assert.equal(again.fetchedBlocks, 0)
  assert.equal(again.heldBlocks, snapshot.counts.blocks)
})

test('the mesh completes from a copy when the origin is gone', async () => {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  const lab = mesh.add('lab-a', 'west')
  const { cid } = await publish(hq, filesPlan(300, 1000))
  await mesh.fetch(lab, cid).done
  mesh.remove(hq)
  const other = mesh.add('lab-c', 'north')
  const result = await mesh.fetch(other, cid).done
  assert.equal(result.heldBlocks, result.totalBlocks)
})

test('a damaged copy that is found by the last check is fetched again at the next try', async () => {
  const mesh = createMesh()
  const hq = mesh.add('hq', 'east')
  const lab = mesh.add('lab-a', 'west')
  const { cid } = await publish(hq, filesPlan(20, 1000))
  const { flush, get } = lab.store.blocks
  lab.store.blocks.flush = async () => {
    await flush()
    lab.store.blocks.get = async (wanted, signal) => (wanted.code === RAW ? undefined : get(wanted, signal))
  }
  await assert.rejects(mesh.fetch(lab, cid).done, { code: 'unstable' })
  lab.store.blocks.flush = flush
  lab.store.blocks.get = get
  await mesh.fetch(lab, cid).done
})
