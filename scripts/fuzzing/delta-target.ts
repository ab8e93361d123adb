/**
 * What a site takes of deltas from others: the set, its plan, the delta itself. Each may be anything; what must hold: it is
 * refused as corrupt, over a limit or unsupported, or it means exactly what its bytes say; a delta gives blocks with the CIDs
 * that the index has, or none; and none of it takes long.
 */
import assert from 'node:assert/strict'
import zlib from 'node:zlib'
import { isMirrorError } from '../../src/base/errors.ts'
import { cidOf, DAG_CBOR, RAW, verifyBlock } from '../../src/block/cid.ts'
import { decodeWindowed } from '../../src/block/encoding.ts'
import type { IndexedBlock } from '../../src/dag/block-index.ts'
import type { BlockRange } from '../../src/dag/encodings.ts'
import { decodeEncodings, decodePlan, encodeEncodings, encodePlan } from '../../src/dag/encodings.ts'
import { applyDelta } from '../../src/delta/apply-delta.ts'
import { createDeltaPlan } from '../../src/replica/fetch/delta-plan.ts'
import { mutateBytes, type Random } from './mutate.ts'
import { attempt, mutated, REFUSALS, type Trial } from './target.ts'

const TOTALS = { targetBlocks: 5000, baseBlocks: 4000 }
const node = (text: string) => cidOf(DAG_CBOR, Buffer.from(text))
const indexed = (bytes: Uint8Array): IndexedBlock => ({ cid: cidOf(RAW, bytes), lengthBytes: bytes.length })

/** One input, made and tried. Whether it was taken. */
export async function tryDelta(random: Random): Promise<Trial> {
  switch (random.int(4)) {
    case 0:
      return trySet(random)
    case 1:
      return tryPlan(random)
    case 2:
      return tryFrame(random)
    default:
      return tryApply(random)
  }
}

function trySet(random: Random) {
  const plan = Array.from({ length: 1 + random.int(5) }, (_, i) => node(`plan ${i}`))
  const seed = encodeEncodings({
    ...{ tree: 'builds/nightly', snapshot: node('snapshot'), base: node('base'), index: node('index') },
    plan,
    decided: random.int(100_000),
  }).bytes
  const input = mutated(random, seed)
  const set = attempt(() => decodeEncodings(node('any'), input))
  if (set !== undefined) assert.equal(Buffer.compare(encodeEncodings(set).bytes, input), 0)
  return { taken: set !== undefined, input }
}

function someRanges(random: Random, total: number): BlockRange[] {
  return Array.from({ length: 1 + random.int(4) }, () => ({
    first: random.int(total - 20),
    count: 1 + random.int(20),
  }))
}

function tryPlan(random: Random) {
  const seed = encodePlan(
    Array.from({ length: 1 + random.int(6) }, () => ({
      targets: someRanges(random, TOTALS.targetBlocks),
      base: someRanges(random, TOTALS.baseBlocks),
    })),
  ).bytes
  const input = mutated(random, seed)
  const entries = attempt(() => decodePlan(node('any'), input))
  if (entries === undefined) return { taken: false, input }
  assert.equal(Buffer.compare(encodePlan(entries).bytes, input), 0)
  const blocks = entries.map((_, i) => indexed(Buffer.from(`delta ${i}`)))
  const plan = createDeltaPlan(TOTALS)
  const planned = attempt(() => plan.add(0, blocks, entries))
  for (const [position, delta] of plan.covering(0, TOTALS.targetBlocks).entries()) {
    const isNamed = delta?.entry.targets.some(
      ({ first, count }) => first <= position && position < first + count,
    )
    assert.notEqual(isNamed, false, `position ${position}`)
  }
  return { taken: planned !== undefined, input }
}

/** A base of three blocks, and four targets like them. */
function someDelta(random: Random) {
  const base = [3000, 5000, 2000].map((length) => Uint8Array.from({ length }, () => random.int(256)))
  const window = Buffer.concat(base)
  const plain = Uint8Array.from(window)
  for (let i = 0; i < 20; i++) plain[random.int(plain.length)] = random.int(256)
  const targets = [plain.slice(0, 100), plain.slice(100, 4000), plain.slice(4000, 4001), plain.slice(4001)]
  const options: zlib.ZstdOptions = {
    dictionary: window,
    params: {
      [zlib.constants.ZSTD_c_contentSizeFlag]: random.int(2),
      [zlib.constants.ZSTD_c_checksumFlag]: random.int(2),
    },
  }
  const hasLength = random.int(2) === 0
  const frame = zlib.zstdCompressSync(
    plain,
    hasLength ? { ...options, pledgedSrcSize: plain.length } : options,
  )
  return { base, window, plain, targets, frame: Uint8Array.from(frame) }
}

function tryFrame(random: Random) {
  const { window, plain, frame } = someDelta(random)
  const input = random.int(8) === 0 ? bomb(random) : mutateBytes(random, frame)
  const lengthBytes = random.pick([plain.length, plain.length - 1, 1, 4 * 1024 * 1024, 4 * 1024 * 1024 + 1])
  const given = attempt(() => decodeWindowed({ bytes: input, window, lengthBytes }))
  if (given !== undefined) assert.equal(given.length, lengthBytes)
  return { taken: given !== undefined, input }
}

/** Megabytes in a few bytes. */
function bomb(random: Random): Uint8Array {
  return Uint8Array.from(zlib.zstdCompressSync(new Uint8Array((1 + random.int(32)) * 1024 * 1024)))
}

async function tryApply(random: Random) {
  const { base, targets, frame } = someDelta(random)
  const parts = {
    frame: random.int(2) === 0 ? frame : mutateBytes(random, frame),
    targets: shuffled(random, targets.map(indexed)),
    base: shuffled(random, base.map(indexed)),
  }
  const bytesOf = new Map(base.map((bytes) => [indexed(bytes).cid.toString(), bytes]))
  try {
    const blocks = await applyDelta(parts, async (wanted) =>
      wanted.map(({ cid }) => bytesOf.get(cid.toString())),
    )
    assert.equal(blocks?.length, parts.targets.length)
    for (const [at, { cid, bytes }] of (blocks ?? []).entries()) {
      assert.ok(cid.equals(parts.targets[at]!.cid))
      verifyBlock(cid, bytes)
    }
    return { taken: true, input: parts.frame }
  } catch (error) {
    if (!isMirrorError(error) || !REFUSALS.some((code) => code === error.code)) throw error
    return { taken: false, input: parts.frame }
  }
}

/** Mostly as it was; else one is gone, comes twice, or has another length. */
function shuffled(random: Random, blocks: readonly IndexedBlock[]): IndexedBlock[] {
  const at = random.int(blocks.length)
  const one = blocks[at]!
  switch (random.int(8)) {
    case 0:
      return blocks.toSpliced(at, 1)
    case 1:
      return [...blocks, one]
    case 2:
      return blocks.toReversed()
    case 3:
      return blocks.with(at, { ...one, lengthBytes: random.pick([0, 1, 4_194_304, one.lengthBytes + 1]) })
    default:
      return [...blocks]
  }
}
