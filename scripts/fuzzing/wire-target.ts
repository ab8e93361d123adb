/** Messages between nodes, in frames that come in pieces: whatever a peer sends is refused, or means what its bytes say. */
import assert from 'node:assert/strict'
import { cidOf, DAG_CBOR } from '../../src/block/cid.ts'
import {
  BLOCKS_3,
  decodeBlockData,
  decodeBlocksRequest,
  decodeMissing,
  encodeBlockData,
  encodeBlocksRequest,
} from '../../src/net/wire/blocks.ts'
import { createFrameDecoder, encodeFrame } from '../../src/net/wire/frame.ts'
import { decodeClaim, decodeRefusal, encodeRefusal } from '../../src/net/wire/join.ts'
import { decodeCommit, decodePoll, encodeCommit } from '../../src/net/wire/join-request.ts'
import { decodeObjectRequest, encodeObjectRequest } from '../../src/net/wire/object.ts'
import { decodeRecords, decodeWant } from '../../src/net/wire/records.ts'
import {
  decodeUpdate,
  decodeWatch,
  encodeUpdate,
  encodeWatch,
  WATCH_TO_CLIENT,
  WATCH_TO_SERVER,
} from '../../src/net/wire/watch.ts'
import { mutateBytes, type Random } from './mutate.ts'
import { attempt, type Trial } from './target.ts'

const PAGE = cidOf(DAG_CBOR, Buffer.from('page'))
const TREE = 'builds/nightly'

export function tryWire(random: Random): Trial {
  return random.pick([tryRequest, tryData, tryFrames, trySmall])(random)
}

function changed(random: Random, seed: Uint8Array): Uint8Array {
  let bytes = seed
  for (let left = 1 + random.int(3); left > 0; left--) bytes = mutateBytes(random, bytes)
  return bytes
}

function tryRequest(random: Random): Trial {
  const offsets = Array.from({ length: 1 + random.int(20) }, (_, i) => i * 3)
  const input = changed(random, Buffer.concat(encodeBlocksRequest({ tree: TREE, page: PAGE, offsets })))
  const request = attempt(() => decodeBlocksRequest(input))
  if (request !== undefined) assert.deepEqual(Buffer.concat(encodeBlocksRequest(request)), Buffer.from(input))
  return { taken: request !== undefined, input }
}

function tryData(random: Random): Trial {
  const blocks = Array.from({ length: 1 + random.int(4) }, (_, i) => ({
    offset: i,
    bytes: Uint8Array.from({ length: random.int(300) + 1 }, () => random.int(256)),
    ...(random.int(2) === 0 ? {} : { zstdOfBytes: 1 + random.int(100_000) }),
  }))
  const [data] = encodeBlockData(blocks, BLOCKS_3)
  const input = changed(random, Buffer.concat(data!.fields))
  const found = attempt(() => decodeBlockData(input, BLOCKS_3))
  const bytes = found?.reduce((sum, block) => sum + block.bytes.length, 0) ?? 0
  assert.ok(bytes <= input.length, 'more bytes than came')
  return { taken: found !== undefined, input }
}

function tryFrames(random: Random): Trial {
  const seed = Buffer.concat([
    ...encodeUpdate({ kind: 'pages', full: [1, 2, 3, random.int(70_000)] }),
    ...encodeUpdate({ kind: 'blocks', page: 4, offsets: [0, 9] }),
    ...encodeUpdate({ kind: 'complete' }),
  ])
  const input = changed(random, seed)
  const decoder = createFrameDecoder(WATCH_TO_CLIENT)
  let taken = 0
  for (let at = 0; at < input.length; ) {
    const end = at + 1 + random.int(40)
    const frames = attempt(() => [...decoder.push(input.subarray(at, end))])
    if (frames === undefined) return { taken: false, input }
    for (const frame of frames) {
      const update = attempt(() => decodeUpdate(frame))
      if (update === undefined) return { taken: false, input }
      if ('full' in update) assert.ok(update.full.length <= 65_536)
      if ('offsets' in update) assert.ok(update.offsets.length <= 65_536)
      taken++
    }
    at = end
  }
  return { taken: taken === 3, input }
}

function trySmall(random: Random): Trial {
  const body = (frame: Uint8Array): Uint8Array => {
    const [first] = [...createFrameDecoder(WATCH_TO_SERVER).push(frame)]
    return first!.body
  }
  const commit = encodeCommit({
    mesh: PAGE,
    commitment: new Uint8Array(32),
    wish: { site: 'lab', region: 'eu' },
  }).slice(5)
  const cases: readonly [Uint8Array, (bytes: Uint8Array) => unknown][] = [
    [body(encodeWatch({ tree: TREE, snapshot: PAGE })), decodeWatch],
    [Buffer.concat(encodeObjectRequest({ tree: TREE, cid: PAGE })), decodeObjectRequest],
    [encodeFrame(1, [Buffer.from('some'), Buffer.from('records')]), decodeRecords],
    [Uint8Array.from({ length: 64 }, () => random.int(256)), decodeWant],
    [Uint8Array.from({ length: 96 }, () => random.int(256)), decodeClaim],
    [commit, decodeCommit],
    [Uint8Array.from({ length: 33 }, () => random.int(256)), decodePoll],
    [encodeRefusal('the invite has expired'), decodeRefusal],
    [Uint8Array.from({ length: 20 }, () => random.int(256)), decodeMissing],
  ]
  const [seed, decode] = random.pick(cases)
  const input = changed(random, seed)
  return { taken: attempt(() => decode(input) ?? true) !== undefined, input }
}
