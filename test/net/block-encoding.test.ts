/** Blocks that travel as zstd, and peers of the version before, which know only plain ones. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { noise as noiseEncryption } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { concatBytes } from '../../src/base/bytes.ts'
import { isMirrorError } from '../../src/base/errors.ts'
import { tryZstd } from '../../src/block/encoding.ts'
import type { BlockAnswer, BlockServer, ServedBlock } from '../../src/net/ports.ts'
import type { BlockData } from '../../src/net/wire/blocks.ts'
import {
  BLOCKS_1,
  BLOCKS_2,
  BLOCKS_3,
  BLOCKS_TO_CLIENT,
  decodeBlockData,
  encodeBlockData,
  encodeBlocksRequest,
} from '../../src/net/wire/blocks.ts'
import { u16, u24, u32 } from '../../src/net/wire/fields.ts'
import { createFrameDecoder } from '../../src/net/wire/frame.ts'
import { DATA, decodeRequestBody, END, encodeRequestFrame, REQUEST } from '../../src/net/wire/request.ts'
import { introduce, MemoryBlocks, PAGE, seedOf, type TestPeer, TREE, until, withHosts } from './mesh.ts'

const TEXT = new Uint8Array(Buffer.from('what is said twice compresses, '.repeat(3000)))
const FRAME = tryZstd(TEXT, 3)!

/** Gives frames to those who take them. */
class EncodedBlocks extends MemoryBlocks {
  readonly accepted: (boolean | undefined)[] = []

  override async *blocks(...[, { offsets, acceptsZstd }]: Parameters<BlockServer['blocks']>) {
    this.accepted.push(acceptsZstd)
    yield offsets.map(
      (offset): ServedBlock =>
        acceptsZstd ? { offset, bytes: FRAME, zstdOfBytes: TEXT.length } : { offset, bytes: TEXT },
    )
  }
}

/** Each block is an answer of its own. */
class OneByOne extends EncodedBlocks {
  override async *blocks(...[, { offsets }]: Parameters<BlockServer['blocks']>) {
    for (const offset of offsets) yield [{ offset, bytes: FRAME, zstdOfBytes: TEXT.length }]
  }
}

/** A libp2p node that speaks what it is told to, and a host of ours that takes it for a member. */
async function withOldPeer(
  body: (
    ours: TestPeer,
    old: Libp2p,
    connect: () => Promise<Connection>,
    blocks: EncodedBlocks,
  ) => Promise<void>,
  blocks = new EncodedBlocks(),
): Promise<void> {
  await withHosts(async (start) => {
    const ours = await start('ours', { blockServer: blocks })
    const old = await createLibp2p({
      privateKey: await generateKeyPairFromSeed('Ed25519', seedOf('old')),
      addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
      transports: [tcp()],
      connectionEncrypters: [noiseEncryption()],
      streamMuxers: [yamux()],
      services: { identify: identify() },
    })
    try {
      ours.members.add(old.peerId.toString())
      const target = multiaddr(`${ours.address}/p2p/${ours.host.peerId}`)
      await body(ours, old as Libp2p, () => old.dial(target), blocks)
    } finally {
      await old.stop()
    }
  })
}

async function ask(ours: TestPeer, peer: string, offsets: number[]): Promise<BlockAnswer[]> {
  const answers: BlockAnswer[] = []
  const channel = ours.host.openBlocks(peer)
  try {
    await channel.request({ tree: TREE, page: PAGE, offsets }, (some) => answers.push(...some))
  } finally {
    channel.close()
  }
  return answers
}

/** Answers each request on `protocol` with `data` and END. */
async function answerWith(old: Libp2p, protocol: string, data: readonly Uint8Array[]): Promise<void> {
  await old.handle(protocol, (stream: Stream) => {
    const decoder = createFrameDecoder({ [REQUEST]: 10_000 })
    stream.addEventListener('message', ({ data: chunk }) => {
      for (const { body } of decoder.push(chunk.subarray())) {
        const { id } = decodeRequestBody(body)
        stream.send(encodeRequestFrame(DATA, id, data))
        stream.send(encodeRequestFrame(END, id))
      }
    })
  })
}

test('two nodes of this version pass frames on as they are', async () => {
  await withHosts(async (start) => {
    const blocks = new EncodedBlocks()
    const a = await start('alice')
    const b = await start('bob', { blockServer: blocks })
    introduce(a, b)
    await a.host.dial(b.host.peerId, [b.address])
    const have = { status: 'have', bytes: FRAME, zstdOfBytes: TEXT.length } as const
    assert.deepEqual(await ask(a, b.host.peerId, [4, 7]), [
      { offset: 4, ...have },
      { offset: 7, ...have },
    ])
    assert.deepEqual(blocks.accepted, [true])
    assert.ok(a.host.traffic()[0]!.bytesReceived < TEXT.length / 10)
  })
})

test('a node of a version before gets blocks in the messages that it knows', async () => {
  await withOldPeer(async (_ours, _old, connect, blocks) => {
    const connection = await connect()
    for (const protocol of [BLOCKS_1, BLOCKS_2]) {
      const stream = await connection.newStream(protocol)
      const decoder = createFrameDecoder(BLOCKS_TO_CLIENT)
      const answers: Uint8Array[] = []
      stream.addEventListener('message', ({ data }) => {
        for (const { type, body } of decoder.push(data.subarray()))
          if (type === DATA) answers.push(decodeRequestBody(body).fields)
      })
      const fields = encodeBlocksRequest({ tree: TREE, page: PAGE, offsets: [3, 4] })
      stream.send(encodeRequestFrame(REQUEST, 1, fields))
      await until(() => answers.length === 2, 'a message for each block')
      const expected = [3, 4].map((offset) =>
        protocol === BLOCKS_1
          ? concatBytes([u16(offset), TEXT])
          : concatBytes([u16(offset), Uint8Array.of(1), u32(TEXT.length), FRAME]),
      )
      assert.deepEqual(answers, expected, protocol)
    }
    assert.deepEqual(blocks.accepted, [false, true])
  })
})

test('a node of a version before is asked in its own version', async () => {
  for (const [protocol, fields] of [
    [BLOCKS_1, [u16(3), TEXT]],
    [BLOCKS_2, [u16(3), Uint8Array.of(0), u32(TEXT.length), TEXT]],
  ] as const) {
    await withOldPeer(async (ours, old, connect) => {
      await answerWith(old, protocol, fields)
      await connect()
      await until(() => ours.host.peers().length === 1, 'the connection is seen')
      assert.deepEqual(await ask(ours, old.peerId.toString(), [3]), [
        { offset: 3, status: 'have', bytes: TEXT },
      ])
    })
  }
})

test('a block in an unknown encoding, or of impossible lengths, ends the stream', async () => {
  const single = (encoding: number, lengthBytes: number, bytes: Uint8Array): Uint8Array[] => [
    u16(3),
    Uint8Array.of(encoding),
    u32(lengthBytes),
    bytes,
  ]
  const one = (
    encoding: number,
    lengthBytes: number,
    bytes: Uint8Array,
    travelBytes = bytes.length,
  ): Uint8Array[] => [
    u16(3),
    Uint8Array.of(encoding),
    u24(travelBytes),
    ...(encoding === 0 ? [] : [u24(lengthBytes)]),
    bytes,
  ]
  const wrong: [string, string, Uint8Array[]][] = [
    [BLOCKS_2, 'encoding 2', single(2, FRAME.length, FRAME)],
    [BLOCKS_2, 'encoding 255', single(255, FRAME.length, FRAME)],
    [BLOCKS_2, 'plain, of another length', single(0, TEXT.length - 1, TEXT)],
    [BLOCKS_2, 'a frame as long as the block', single(1, FRAME.length, FRAME)],
    [BLOCKS_2, 'a frame longer than the block', single(1, FRAME.length - 1, FRAME)],
    [BLOCKS_2, 'a frame of nothing', single(1, 100, new Uint8Array(0))],
    [BLOCKS_2, 'a frame of more than a block may be', single(1, 4 * 1024 * 1024 + 1, FRAME)],
    [BLOCKS_2, 'a frame of 4 GiB', single(1, 0xffff_ffff, FRAME)],
    [BLOCKS_2, 'a header cut short', [u16(3), Uint8Array.of(1, 0, 0)]],
    [BLOCKS_3, 'encoding 2', one(2, TEXT.length, FRAME)],
    [BLOCKS_3, 'a frame as long as the block', one(1, FRAME.length, FRAME)],
    [BLOCKS_3, 'a frame of nothing', one(1, 100, new Uint8Array(0))],
    [BLOCKS_3, 'a frame of more than a block may be', one(1, 4 * 1024 * 1024 + 1, FRAME)],
    [BLOCKS_3, 'more than there is', one(0, 0, TEXT, TEXT.length + 1)],
    [BLOCKS_3, 'a header cut short', [...one(0, 0, TEXT), u16(4)]],
    [BLOCKS_3, 'no block at all', []],
    [BLOCKS_3, 'the same block twice', [...one(0, 0, TEXT), ...one(0, 0, TEXT)]],
    [BLOCKS_3, 'one block too many', [...one(0, 0, TEXT), u16(4), Uint8Array.of(0), u24(0)]],
  ]
  await withOldPeer(async (ours, old, connect) => {
    await connect()
    await until(() => ours.host.peers().length === 1, 'the connection is seen')
    for (const [protocol, what, fields] of wrong) {
      await answerWith(old, protocol, fields)
      await assert.rejects(
        ask(ours, old.peerId.toString(), [3]),
        (error) => isMirrorError(error, 'corrupt'),
        `${protocol}: ${what}`,
      )
      await old.unhandle(protocol)
    }
  })
})

test('data of all versions survives the wire, and version 1 never carries a frame', () => {
  const plain = { offset: 9, bytes: TEXT }
  const frame = { offset: 9, bytes: FRAME, zstdOfBytes: TEXT.length }
  const fieldsOf = (block: BlockData, protocol: string): Uint8Array =>
    concatBytes(encodeBlockData([block], protocol)[0]!.fields)
  for (const [block, protocol] of [
    [plain, BLOCKS_1],
    [plain, BLOCKS_2],
    [frame, BLOCKS_2],
    [plain, BLOCKS_3],
    [frame, BLOCKS_3],
  ] as const) {
    assert.deepEqual(decodeBlockData(fieldsOf(block, protocol), protocol), [block])
  }
  assert.deepEqual(fieldsOf(frame, BLOCKS_2).subarray(0, 7), Uint8Array.of(0, 9, 1, 0, 1, 107, 72))
  assert.deepEqual(
    fieldsOf(frame, BLOCKS_3).subarray(0, 9),
    Uint8Array.of(0, 9, 1, 0, 0, FRAME.length, 1, 107, 72),
  )
  assert.throws(
    () => encodeBlockData([frame], BLOCKS_1),
    (error) => isMirrorError(error, 'internal'),
  )
})

test('small blocks share a message up to its bound, and a large one has its own', () => {
  const small = Array.from({ length: 200 }, (_, offset) => ({ offset, bytes: new Uint8Array(1000) }))
  const large = { offset: 1000, bytes: new Uint8Array(4 * 1024 * 1024) }
  const last = { offset: 1001, bytes: new Uint8Array(0) }
  const all = encodeBlockData([...small, large, last], BLOCKS_3)
  assert.deepEqual(
    all.map(({ count }) => count),
    [64, 64, 64, 8, 1, 1],
  )
  const found = all.flatMap(({ fields }) => decodeBlockData(concatBytes(fields), BLOCKS_3))
  assert.deepEqual(found, [...small, large, last])
  for (const { fields } of all) {
    const [offset, bytes] = [fields[0], concatBytes(fields)]
    assert.ok(bytes.length <= 64 * 1024 || offset![0] === 1000 >> 8, `${bytes.length} bytes in a message`)
    assert.ok(bytes.length + 4 <= BLOCKS_TO_CLIENT[DATA]!)
  }
})

test('answers that are ready together leave in few messages, however many they are', async () => {
  await withOldPeer(async (ours, _old, connect) => {
    const stream = await (await connect()).newStream(BLOCKS_3)
    const decoder = createFrameDecoder(BLOCKS_TO_CLIENT)
    const offsets = Array.from({ length: 1000 }, (_, i) => i)
    let messages = 0
    const found: number[] = []
    const ended = Promise.withResolvers<void>()
    stream.addEventListener('message', ({ data }) => {
      messages++
      for (const { type, body } of decoder.push(data.subarray())) {
        const { fields } = decodeRequestBody(body)
        if (type === DATA) found.push(...decodeBlockData(fields, BLOCKS_3).map(({ offset }) => offset))
        else if (type === END) ended.resolve()
      }
    })
    const fields = encodeBlocksRequest({ tree: TREE, page: PAGE, offsets })
    stream.send(encodeRequestFrame(REQUEST, 1, fields))
    await ended.promise
    assert.deepEqual(found, offsets)
    assert.ok(messages < 50, `${messages} messages of 1,000 answers of one block each`)
    assert.equal(ours.host.traffic()[0]?.blocksSent, 1000)
  }, new OneByOne())
})
