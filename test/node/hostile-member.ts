/**
 * A member of the mesh that is under an attacker's control: a libp2p node with a member's key, and bytes written by hand
 * as docs/protocols.md has them. Nothing of our own network code is in it.
 */
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { type Cid, cidToKeyBytes } from '../../src/block/cid.ts'
import type { SignedSite } from './signed-mesh.ts'

export const WATCH = '/mirrormesh/1/watch'
export const OBJECT = '/mirrormesh/1/object'
export const BLOCKS = '/mirrormesh/2/blocks'
export const ASK = '/mirrormesh/1/ask'
/** Answers of ASK. */
export const ASKED = { answer: 0x02, refused: 0x05 } as const

export const TYPE = {
  request: 0x01,
  complete: 0x81,
  data: 0x81,
  missing: 0x82,
  busy: 0x83,
  end: 0x84,
} as const

export function frame(type: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([u32(1 + body.length), Buffer.of(type), body])
}

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** As the digest of a possession has lengths. */
export function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

export function treeName(name: string): Buffer {
  return Buffer.concat([u16(name.length), Buffer.from(name, 'ascii')])
}

/** Calls back for each whole frame that comes in. */
export function onFrames(stream: Stream, listener: (type: number, body: Buffer) => void): void {
  let rest = Buffer.alloc(0)
  stream.addEventListener('message', ({ data }) => {
    rest = Buffer.concat([rest, data.subarray()])
    while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
      const end = 4 + rest.readUInt32BE(0)
      listener(rest[4]!, rest.subarray(5, end))
      rest = rest.subarray(end)
    }
  })
}

/** A request for blocks by position, as it came in. */
export interface AskedBlocks {
  readonly id: number
  readonly offsets: readonly number[]
}

export function readBlocksRequest(body: Buffer): AskedBlocks {
  const at = 4 + 2 + body.readUInt16BE(4) + 33
  const count = body.readUInt16BE(at)
  return {
    id: body.readUInt32BE(0),
    offsets: Array.from({ length: count }, (_, i) => body.readUInt16BE(at + 2 + 2 * i)),
  }
}

/** Listens where the others expect that site. */
export async function startHostile(t: TestContext, { key, port }: Pick<SignedSite, 'key' | 'port'>) {
  const gossip = gossipsub({
    fallbackToFloodsub: false,
    floodPublish: true,
    allowPublishToZeroTopicPeers: true,
  })
  const node = (await createLibp2p({
    privateKey: await generateKeyPairFromSeed('Ed25519', key.seed),
    addresses: { listen: [`/ip4/127.0.0.1/tcp/${port}`] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    // Who stops reading keeps what comes, in place of ending the stream.
    streamMuxers: [yamux({ streamOptions: { maxReadBufferLength: 32 * 1024 * 1024 } })],
    services: { identify: identify(), ping: ping(), gossip },
  })) as unknown as Libp2p<{ gossip: ReturnType<typeof gossip> }>
  t.after(() => node.stop())
  return {
    node,
    /** Says so to all that are connected. */
    announce: (mesh: Cid, announcement: Uint8Array) =>
      node.services.gossip.publish(`/mirrormesh/1/${mesh.toString()}/status`, announcement),
    /** Answers the question on each stream as it is told, with `undefined` never. */
    answerQuestions: (answer: (question: Buffer, asker: string) => Promise<Uint8Array | undefined>) =>
      node.handle(ASK, (stream, connection) =>
        onFrames(stream, (type, body) => {
          if (type !== TYPE.request) return
          void answer(Buffer.from(body), connection.remotePeer.toString()).then((bytes) => {
            if (bytes !== undefined) stream.send(frame(ASKED.answer, bytes))
          })
        }),
      ),
    /** Says of every snapshot that it holds all of it, and of every object that it has it not. */
    async promiseEverything(): Promise<void> {
      await node.handle(WATCH, (stream) => onFrames(stream, () => stream.send(frame(TYPE.complete))))
      await node.handle(OBJECT, (stream) =>
        onFrames(stream, (type, body) => {
          if (type !== TYPE.request) return
          const id = body.subarray(0, 4)
          stream.send(Buffer.concat([frame(TYPE.missing, id), frame(TYPE.end, id)]))
        }),
      )
    },
    /** Serves what it is given of a snapshot, and says that it holds all of it. */
    async serve({
      objects,
      blockAt,
    }: {
      readonly objects: readonly { readonly cid: Cid; readonly bytes: Uint8Array }[]
      readonly blockAt: (tree: string, offset: number) => Uint8Array | undefined
    }): Promise<void> {
      await node.handle(WATCH, (stream) => onFrames(stream, () => stream.send(frame(TYPE.complete))))
      await node.handle(OBJECT, (stream) =>
        onFrames(stream, (type, body) => {
          if (type !== TYPE.request) return
          const id = body.subarray(0, 4)
          const wanted = body.subarray(-33)
          const found = objects.find(({ cid }) => wanted.equals(cidToKeyBytes(cid)))
          const answer = found === undefined ? frame(TYPE.missing, id) : frame(TYPE.data, id, found.bytes)
          stream.send(Buffer.concat([answer, frame(TYPE.end, id)]))
        }),
      )
      await node.handle(BLOCKS, (stream) =>
        onFrames(stream, (type, body) => {
          if (type !== TYPE.request) return
          const { id, offsets } = readBlocksRequest(body)
          const tree = body.subarray(6, 6 + body.readUInt16BE(4)).toString('ascii')
          for (const offset of offsets) {
            const bytes = blockAt(tree, offset)
            stream.send(
              bytes === undefined
                ? frame(TYPE.missing, u32(id), u16(1), u16(offset))
                : frame(TYPE.data, u32(id), u16(offset), Buffer.of(0), u32(bytes.length), bytes),
            )
          }
          stream.send(frame(TYPE.end, u32(id)))
        }),
      )
    },
    dial: ({ key: other, port: at }: Pick<SignedSite, 'key' | 'port'>) =>
      node.dial(multiaddr(`/ip4/127.0.0.1/tcp/${at}/p2p/${other.peer}`)),
  }
}

/** One question to whoever is at the other end. */
export async function askQuestion(
  connection: Connection,
  question: Uint8Array,
): Promise<{ readonly type: number; readonly body: Buffer }> {
  const stream = await connection.newStream(ASK)
  const answered = Promise.withResolvers<{ type: number; body: Buffer }>()
  onFrames(stream, (type, body) => answered.resolve({ type, body: Buffer.from(body) }))
  stream.send(frame(TYPE.request, question))
  const answer = await answered.promise
  await stream.close()
  return answer
}

export interface Answered {
  readonly data: readonly Buffer[]
  readonly missing: readonly Buffer[]
}

/** Sends one request and gathers the answers until its END. @throws when the stream is reset instead */
export async function ask(stream: Stream, id: number, ...fields: readonly Uint8Array[]): Promise<Answered> {
  const answered = { data: [] as Buffer[], missing: [] as Buffer[] }
  const over = Promise.withResolvers<void>()
  onFrames(stream, (type, body) => {
    if (body.readUInt32BE(0) !== id) return
    if (type === TYPE.data) answered.data.push(Buffer.from(body.subarray(4)))
    if (type === TYPE.missing) answered.missing.push(Buffer.from(body.subarray(4)))
    if (type === TYPE.end) over.resolve()
  })
  const closed = once(stream as unknown as EventTarget, 'close').then(() => {
    throw new Error(`the stream was ${stream.status}`)
  })
  stream.send(frame(TYPE.request, u32(id), ...fields))
  await Promise.race([over.promise, closed])
  closed.catch(() => undefined)
  return answered
}
