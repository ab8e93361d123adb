import assert from 'node:assert/strict'
import { test } from 'node:test'
import zlib from 'node:zlib'
import type { MirrorError } from '../../src/base/errors.ts'
import type { Cid } from '../../src/block/cid.ts'
import { cidOf, RAW } from '../../src/block/cid.ts'
import { decodeBlock, type EncodedBlock, tryZstd } from '../../src/block/encoding.ts'
import { closure } from '../../src/dag/reader.ts'
import { createWireEncoder, type WireEncoder } from '../../src/replica/serve/wire-encoder.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { openStore } from '../../src/store/store.ts'
import { tempDir } from '../store/temp-dir.ts'
import { clock, createMesh, filesPlan, publish, TREE } from './mesh.ts'

test('blocks cross regions compressed, rest as they came, and go on to the neighbour as they rest', async (t) => {
  const mesh = createMesh({ compresses: true })
  const hq = mesh.add('hq', 'east')
  const stores = await Promise.all(
    ['a', 'b'].map((name) => openStore({ dir: `${tempDir(t)}/${name}`, clock }, { compression: 'received' })),
  )
  const [near, next] = ['lab-a', 'lab-b'].map((name, i) => mesh.add(name, 'west', stores[i]!))
  const { cid, snapshot } = await publish(hq, filesPlan(60, 30_000))
  await mesh.fetch(near!, cid).done
  const fromHq = near!.traffic.totals()
  assert.ok(fromHq.plainBytesReceived >= snapshot.counts.blockBytes)
  assert.ok(fromHq.bytesReceived < 0.3 * fromHq.plainBytesReceived, `${fromHq.bytesReceived} bytes`)
  const { bytesSent, plainBytesSent } = hq.traffic.totals().peers.get('lab-a')!
  assert.deepEqual([bytesSent, plainBytesSent], [fromHq.bytesReceived, fromHq.plainBytesReceived])
  assert.ok(stores[0]!.stats().packBytes < 0.3 * snapshot.counts.blockBytes)

  mesh.setConnected(hq, false)
  await mesh.fetch(next!, cid).done
  const { bytesReceived, plainBytesReceived } = next!.traffic.totals()
  assert.ok(bytesReceived < 0.3 * plainBytesReceived)
  for await (const block of closure(stores[1]!.blocks, snapshot.root)) {
    assert.equal((await stores[1]!.blocks.get(block.cid))?.length, block.lengthBytes)
  }
  assert.ok(await next!.holdings.isComplete(TREE, cid))
  for (const store of stores) await store.close()
})

test('within a region what rests plain travels plain', async () => {
  const mesh = createMesh({ compresses: true })
  const hq = mesh.add('hq', 'east')
  const other = mesh.add('lab', 'east')
  await mesh.fetch(other, (await publish(hq, filesPlan(20, 30_000))).cid).done
  const { bytesSent, plainBytesSent } = hq.traffic.totals()
  assert.equal(bytesSent, plainBytesSent)
})

const bomb = new Uint8Array(zlib.zstdCompressSync(new Uint8Array(200 * 1024 * 1024)))
const lies: Record<string, (frame: Uint8Array) => Uint8Array> = {
  'another block': () => tryZstd(new Uint8Array(3000), 3)!,
  'a bomb of 200 MiB': () => bomb,
  'a frame with bytes behind it': (frame) => Uint8Array.from([...frame, 0]),
  'a frame that is cut short': (frame) => frame.subarray(0, -1),
  noise: (frame) => frame.map((byte, i) => byte ^ (i * 7 + 1)),
}
for (const [what, corrupt] of Object.entries(lies)) {
  test(`a peer that sends ${what} as a block is blamed, and the rest comes from elsewhere`, async (t) => {
    const mesh = createMesh({ compresses: true })
    const hq = mesh.add('hq', 'east')
    const liarStore = await openStore({ dir: tempDir(t), clock }, { compression: 'received' })
    const liar = mesh.add('liar', 'west', liarStore)
    const lab = mesh.add('lab', 'west')
    lab.wants = false
    const { cid, snapshot } = await publish(hq, filesPlan(200, 3000))
    await mesh.fetch(liar, cid).done
    liar.corrupt = corrupt
    const blamed: string[] = []
    const before = process.memoryUsage().arrayBuffers
    const result = await mesh.fetch(lab, cid, { onBlame: (peer) => blamed.push(peer) }).done
    assert.deepEqual(blamed, ['liar'])
    assert.equal(result.fetchedBlocks, snapshot.counts.blocks)
    assert.equal(lab.traffic.totals().peers.get('hq')!.blocksReceived, snapshot.counts.blocks)
    assert.ok(process.memoryUsage().arrayBuffers - before < 100 * 1024 * 1024)
    for await (const block of closure(lab.store.blocks, snapshot.root)) {
      assert.equal((await lab.store.blocks.get(block.cid))?.length, block.lengthBytes)
    }
    await liarStore.close()
  })
}

function countingBlocks(texts: readonly Uint8Array[]) {
  const { blocks } = createMemoryStore()
  const cids = texts.map((bytes) => cidOf(RAW, bytes))
  let reads = 0
  return {
    cids,
    put: () => blocks.put(cids.map((cid, i) => ({ cid, bytes: texts[i]! }))),
    reads: () => reads,
    getEncoded(cids: readonly Cid[], signal?: AbortSignal): Promise<(EncodedBlock | undefined)[]> {
      reads += cids.length
      return blocks.getEncoded(cids, signal)
    },
  }
}

const text = (seed: number): Uint8Array =>
  new Uint8Array(Buffer.alloc(50_000, `text ${seed}, again and again. `))

const encodeOne = async (encoder: WireEncoder, cid: Cid, isFar: boolean, signal?: AbortSignal) =>
  (await encoder.encode([cid], isFar, signal))[0]

test('a block that goes to several far peers is compressed once, and read by two at most', async () => {
  const blocks = countingBlocks([text(1), text(2)])
  await blocks.put()
  const encoder = createWireEncoder({ blocks })
  const [cid, other] = blocks.cids
  const all = await Promise.all([1, 2, 3, 4, 5].map(() => encodeOne(encoder, cid!, true)))
  assert.ok(blocks.reads() <= 2)
  for (const encoded of all) assert.equal(encoded, all[0])
  assert.deepEqual(decodeBlock(all[0]!), text(1))
  assert.equal((await encodeOne(encoder, cid!, false))?.encoding, 'plain')
  assert.equal((await encodeOne(encoder, other!, true))?.encoding, 'zstd')
  assert.equal(await encodeOne(encoder, cidOf(RAW, text(3)), true), undefined)
  const mixed = await encoder.encode([cidOf(RAW, text(3)), other!, cid!], true)
  assert.deepEqual(
    mixed.map((block) => block && decodeBlock(block)),
    [undefined, text(2), text(1)],
  )
})

test('what does not pay is sent plain, and not tried again', async () => {
  const noise = new Uint8Array(
    zlib.gzipSync(Buffer.from(Array.from({ length: 20_000 }, (_, i) => (i * i) % 251))),
  )
  const blocks = countingBlocks([noise])
  await blocks.put()
  const encoder = createWireEncoder({ blocks })
  const expected = { encoding: 'plain', bytes: noise, lengthBytes: noise.length }
  for (let i = 0; i < 3; i++) assert.deepEqual(await encodeOne(encoder, blocks.cids[0]!, true), expected)
})

test('frames are kept up to a bound, the ones not used for longest go first', async () => {
  const blocks = countingBlocks([text(1), text(2), text(3)])
  await blocks.put()
  const frameBytes = tryZstd(text(1), 3)!.length + 256
  const encoder = createWireEncoder({ blocks }, { cacheBytes: Math.floor(2.5 * frameBytes) })
  const [one, two, three] = blocks.cids
  for (const cid of [one!, two!, one!, three!]) await encodeOne(encoder, cid, true)
  assert.equal(blocks.reads(), 3)
  await encodeOne(encoder, one!, true)
  assert.equal(blocks.reads(), 3)
  await encodeOne(encoder, two!, true)
  assert.equal(blocks.reads(), 4)
})

test('whoever no longer wants a block leaves the queue, and what failed is tried again', async () => {
  const blocks = countingBlocks([text(1), text(2), text(3)])
  await blocks.put()
  let fail: (() => void) | undefined
  const encoder = createWireEncoder({
    blocks: {
      getEncoded: (cids, signal) =>
        fail === undefined
          ? new Promise((_, reject) => {
              const before = fail
              fail = () => {
                before?.()
                reject(new Error('EIO'))
              }
            })
          : blocks.getEncoded(cids, signal),
    },
  })
  const failing = encodeOne(encoder, blocks.cids[0]!, true)
  const asked = assert.rejects(failing, /EIO/)
  const gone = new AbortController()
  gone.abort(new Error('gone'))
  await assert.rejects(
    encodeOne(encoder, blocks.cids[1]!, true, gone.signal),
    (error: MirrorError) => error.message === 'gone',
  )
  fail!()
  await asked
  assert.equal((await encodeOne(encoder, blocks.cids[0]!, true))?.encoding, 'zstd')
})
