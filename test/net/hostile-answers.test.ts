/** Peers that are asked, and answer with what nobody asked for, with wrong bytes, or with half of them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import zlib from 'node:zlib'
import type { Stream } from '@libp2p/interface'
import { isMirrorError, MirrorError } from '../../src/base/errors.ts'
import { cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import { BLOCKS_PROTOCOLS } from '../../src/net/block-protocol.ts'
import { u8, u16, u24, u32 } from '../../src/net/wire/fields.ts'
import { createFrameDecoder } from '../../src/net/wire/frame.ts'
import { decodeObjectRequest, OBJECT_1, OBJECT_2 } from '../../src/net/wire/object.ts'
import { DATA, decodeRequestBody, END, encodeRequestFrame, REQUEST } from '../../src/net/wire/request.ts'
import { type Raw, withAttacker } from './attacker.ts'
import { noise, PAGE, type TestPeer, TREE, until } from './mesh.ts'

const [BLOCKS_PROTOCOL] = BLOCKS_PROTOCOLS

/** The attacker answers block requests with `answer`. */
async function askAttacker(answer: (stream: Stream, id: number) => void): Promise<unknown> {
  let thrown: unknown
  await withAttacker(async (victim, attacker, connect) => {
    await attacker.handle(BLOCKS_PROTOCOL, (stream) => {
      const decoder = createFrameDecoder({ 1: 10_000, 2: 4 })
      stream.addEventListener('message', ({ data }) => {
        for (const { type, body } of decoder.push(data.subarray())) {
          if (type === REQUEST) answer(stream, decodeRequestBody(body).id)
        }
      })
    })
    await connect()
    await until(() => victim.host.peers().length === 1, 'the victim sees the connection')
    const channel = victim.host.openBlocks(attacker.peerId.toString())
    thrown = await channel
      .request({ tree: TREE, page: PAGE, offsets: [1, 2] }, () => undefined)
      .catch((error: unknown) => error)
  })
  return thrown
}

test('blocks that were not asked for are refused', async () => {
  const block = (offset: number): Uint8Array[] => [u16(offset), Uint8Array.of(0), u24(10), noise(10)]
  for (const answer of [
    (stream: Stream, id: number) => stream.send(encodeRequestFrame(DATA, id, block(3))),
    (stream: Stream, id: number) => stream.send(encodeRequestFrame(DATA, id + 1, block(1))),
    (stream: Stream, id: number) => {
      stream.send(encodeRequestFrame(DATA, id, block(1)))
      stream.send(encodeRequestFrame(DATA, id, block(1)))
    },
    (stream: Stream, id: number) => stream.send(encodeRequestFrame(REQUEST, id)),
  ]) {
    const error = await askAttacker(answer)
    assert.ok(isMirrorError(error, 'corrupt'))
    assert.match(error.message, /not asked|does not belong/)
  }
})

/** The attacker serves `protocol`: whatever comes in, `answer` is called with the stream. */
async function withServer(
  protocol: string,
  answer: (stream: Stream, message: Uint8Array) => void,
  body: (victim: TestPeer, attacker: Raw) => Promise<void>,
): Promise<void> {
  await withAttacker(async (victim, attacker, connect) => {
    await attacker.handle(protocol, (stream) => {
      stream.addEventListener('message', ({ data }) => answer(stream, data.subarray()))
    })
    await connect()
    await until(() => victim.host.peers().length === 1, 'the victim sees the connection')
    await body(victim, attacker)
  })
}

test('an object that comes again and again instead of ending is refused at the second time', async () => {
  let sent = 0
  const answer = (stream: Stream, message: Uint8Array): void => {
    for (const { type, body } of createFrameDecoder({ 1: 10_000, 2: 4 }).push(message)) {
      if (type !== REQUEST) continue
      for (; sent < 3; sent++) stream.send(encodeRequestFrame(DATA, decodeRequestBody(body).id, [noise(10)]))
    }
  }
  await withServer(OBJECT_1, answer, async (victim, attacker) => {
    await assert.rejects(victim.host.fetchObject(attacker.peerId.toString(), { tree: TREE, cid: PAGE }), {
      code: 'corrupt',
      message: /second time/,
    })
  })
})

test('an object that is cut off is no wrong bytes: a node that stops is not to blame', async () => {
  const answer = (stream: Stream, message: Uint8Array): void => {
    for (const { type, body } of createFrameDecoder({ 1: 10_000, 2: 4 }).push(message)) {
      if (type !== REQUEST) continue
      stream.send(encodeRequestFrame(DATA, decodeRequestBody(body).id, [noise(100)]).subarray(0, 50))
      void stream.close()
    }
  }
  await withServer(OBJECT_1, answer, async (victim, attacker) => {
    await assert.rejects(victim.host.fetchObject(attacker.peerId.toString(), { tree: TREE, cid: PAGE }), {
      code: 'unreachable',
    })
  })
})

/** Answers each request with `fields`, which follow from those of the request. */
function answering(fields: (request: Uint8Array) => readonly Uint8Array[]) {
  const decoder = createFrameDecoder({ 1: 10_000, 2: 4 })
  return (stream: Stream, message: Uint8Array): void => {
    for (const { type, body } of decoder.push(message)) {
      if (type !== REQUEST) continue
      const { id, fields: asked } = decodeRequestBody(body)
      stream.send(encodeRequestFrame(DATA, id, fields(asked)))
      stream.send(encodeRequestFrame(END, id))
    }
  }
}

const base = { cid: cidOf(DAG_CBOR, noise(5000)), bytes: noise(5000) }
const wanted = new Uint8Array(
  Buffer.concat([base.bytes.subarray(0, 3000), noise(200), base.bytes.subarray(3000)]),
)
const frameOf = (bytes: Uint8Array): Uint8Array =>
  zlib.zstdCompressSync(bytes, { dictionary: base.bytes, pledgedSrcSize: bytes.length })

for (const [what, fields] of [
  ['over a base that nobody named', [u8(2), u32(wanted.length), frameOf(wanted)]],
  ['that is said to be longer than any', [u8(1), u32(0xffff_ffff), frameOf(wanted)]],
  ['of another length than is said', [u8(1), u32(wanted.length - 1), frameOf(wanted)]],
  ['that expands without bound', [u8(1), u32(4096), frameOf(new Uint8Array(64 * 1024 * 1024))]],
  ['of other bytes', [u8(1), u32(wanted.length), frameOf(wanted.toReversed())]],
  ['that is no frame', [u8(1), u32(wanted.length), noise(300)]],
  ['cut off in its head', [u8(1), Uint8Array.of(0)]],
] as const) {
  test(`an object as a difference ${what} is wrong bytes`, async () => {
    await withServer(
      OBJECT_2,
      answering(() => fields),
      async (victim, attacker) => {
        const request = { tree: TREE, cid: cidOf(DAG_CBOR, wanted), bases: [base] }
        await assert.rejects(victim.host.fetchObject(attacker.peerId.toString(), request), {
          code: 'corrupt',
        })
      },
    )
  })
}

test('a difference comes as the object it makes; a node of the version before is asked as it expects, and sends all of it', async () => {
  for (const [protocol, fields] of [
    [OBJECT_2, [u8(1), u32(wanted.length), frameOf(wanted)]],
    [OBJECT_1, [wanted]],
  ] as const) {
    const asked: Uint8Array[] = []
    const answer = answering((request) => {
      asked.push(request)
      return fields
    })
    await withServer(protocol, answer, async (victim, attacker) => {
      let travelled = 0
      const onTravelled = (bytes: number): void => {
        travelled = bytes
      }
      const request = { tree: TREE, cid: cidOf(DAG_CBOR, wanted), bases: [base] }
      const bytes = await victim.host.fetchObject(attacker.peerId.toString(), { ...request, onTravelled })
      assert.deepEqual(bytes, wanted)
      assert.equal(travelled, fields.at(-1)!.length)
    })
    assert.equal(decodeObjectRequest(asked[0]!, protocol).bases?.length ?? 0, protocol === OBJECT_2 ? 1 : 0)
  }
})

test('a giant block is refused before it is received', async () => {
  const error = await askAttacker((stream) => stream.send(Uint8Array.of(0x7f, 0xff, 0xff, 0xff, DATA)))
  assert.ok(isMirrorError(error, 'limit'))
})

test('a peer that ends a stream in the middle of a block is unreachable or corrupt, never believed', async () => {
  const error = await askAttacker((stream, id) => {
    stream.send(encodeRequestFrame(DATA, id, [u16(1), noise(100)]).subarray(0, 50))
    void stream.close()
  })
  assert.ok(error instanceof MirrorError)
  assert.ok(['corrupt', 'unreachable'].includes(error.code), error.message)
})
