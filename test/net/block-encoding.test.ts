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
import {
  BLOCKS_1,
  BLOCKS_2,
  blocksToClient,
  decodeBlockData,
  encodeBlockData,
  encodeBlocksRequest,
} from '../../src/net/wire/blocks.ts'
import { u16, u32 } from '../../src/net/wire/fields.ts'
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
    for (const offset of offsets) {
      const served: ServedBlock = acceptsZstd
        ? { offset, bytes: FRAME, zstdOfBytes: TEXT.length }
        : { offset, bytes: TEXT }
      yield served
    }
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
): Promise<void> {
  await withHosts(async (start) => {
    const blocks = new EncodedBlocks()
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
    await channel.request({ tree: TREE, page: PAGE, offsets }, (answer) => answers.push(answer))
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

test('a node of the version before gets plain blocks in the frames that it knows', async () => {
  await withOldPeer(async (_ours, _old, connect, blocks) => {
    const stream = await (await connect()).newStream(BLOCKS_1)
    const decoder = createFrameDecoder(blocksToClient(BLOCKS_1))
    const answered = Promise.withResolvers<Uint8Array>()
    stream.addEventListener('message', ({ data }) => {
      for (const { type, body } of decoder.push(data.subarray())) {
        if (type === DATA) answered.resolve(decodeRequestBody(body).fields)
      }
    })
    stream.send(encodeRequestFrame(REQUEST, 1, encodeBlocksRequest({ tree: TREE, page: PAGE, offsets: [3] })))
    assert.deepEqual(await answered.promise, concatBytes([u16(3), TEXT]))
    assert.deepEqual(blocks.accepted, [false])
  })
})

test('a node of the version before is asked in its own version', async () => {
  await withOldPeer(async (ours, old, connect) => {
    await answerWith(old, BLOCKS_1, [u16(3), TEXT])
    await connect()
    await until(() => ours.host.peers().length === 1, 'the connection is seen')
    assert.deepEqual(await ask(ours, old.peerId.toString(), [3]), [
      { offset: 3, status: 'have', bytes: TEXT },
    ])
  })
})

test('a block in an unknown encoding, or of impossible lengths, ends the stream', async () => {
  const data = (encoding: number, lengthBytes: number, bytes: Uint8Array): Uint8Array[] => [
    u16(3),
    Uint8Array.of(encoding),
    u32(lengthBytes),
    bytes,
  ]
  const wrong: Record<string, Uint8Array[]> = {
    'encoding 2': data(2, FRAME.length, FRAME),
    'encoding 255': data(255, FRAME.length, FRAME),
    'plain, of another length': data(0, TEXT.length - 1, TEXT),
    'a frame as long as the block': data(1, FRAME.length, FRAME),
    'a frame longer than the block': data(1, FRAME.length - 1, FRAME),
    'a frame of nothing': data(1, 100, new Uint8Array(0)),
    'a frame of more than a block may be': data(1, 4 * 1024 * 1024 + 1, FRAME),
    'a frame of 4 GiB': data(1, 0xffff_ffff, FRAME),
    'a header cut short': [u16(3), Uint8Array.of(1, 0, 0)],
  }
  await withOldPeer(async (ours, old, connect) => {
    await connect()
    await until(() => ours.host.peers().length === 1, 'the connection is seen')
    for (const [what, fields] of Object.entries(wrong)) {
      await answerWith(old, BLOCKS_2, fields)
      await assert.rejects(
        ask(ours, old.peerId.toString(), [3]),
        (error) => isMirrorError(error, 'corrupt'),
        what,
      )
      await old.unhandle(BLOCKS_2)
    }
  })
})

test('data of both versions survives the wire, and version 1 never carries a frame', () => {
  const plain = { offset: 9, bytes: TEXT }
  const frame = { offset: 9, bytes: FRAME, zstdOfBytes: TEXT.length }
  for (const [block, protocol] of [
    [plain, BLOCKS_1],
    [plain, BLOCKS_2],
    [frame, BLOCKS_2],
  ] as const) {
    assert.deepEqual(decodeBlockData(concatBytes(encodeBlockData(block, protocol)), protocol), block)
  }
  assert.deepEqual(
    concatBytes(encodeBlockData(frame, BLOCKS_2)).subarray(0, 7),
    Uint8Array.of(0, 9, 1, 0, 1, 107, 72),
  )
  assert.throws(
    () => encodeBlockData(frame, BLOCKS_1),
    (error) => isMirrorError(error, 'internal'),
  )
})
