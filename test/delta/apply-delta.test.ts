import assert from 'node:assert/strict'
import { test } from 'node:test'
import zlib from 'node:zlib'
import fc from 'fast-check'
import { isMirrorError } from '../../src/base/errors.ts'
import { cidOf, RAW } from '../../src/block/cid.ts'
import { decodeWindowed } from '../../src/block/encoding.ts'
import type { IndexedBlock } from '../../src/dag/block-index.ts'
import type { DeltaParts } from '../../src/delta/apply-delta.ts'
import { applyDelta } from '../../src/delta/apply-delta.ts'
import { MAX_DELTA_BLOCKS } from '../../src/delta/delta.ts'

const indexed = (bytes: Uint8Array): IndexedBlock => ({ cid: cidOf(RAW, bytes), lengthBytes: bytes.length })
const compress = (bytes: Uint8Array, window: Uint8Array): Uint8Array =>
  zlib.zstdCompressSync(bytes, { dictionary: window, pledgedSrcSize: bytes.length })

/** Bytes that hardly compress by themselves. */
function noise(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = seed * 2654435761 + 1
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

interface Made {
  readonly parts: DeltaParts
  readonly old: readonly Uint8Array[]
  readonly fresh: readonly Uint8Array[]
}

/** Two blocks of the base, and three targets that resemble them. */
function made(scale = 1): Made {
  const old = [noise(9000 * scale, 1), noise(5000 * scale, 2)]
  const changed = old.map((bytes) => bytes.map((byte, i) => (i % 1000 === 0 ? byte ^ 1 : byte)))
  const fresh = [changed[0]!.slice(0, 4000), changed[0]!.slice(4000), changed[1]!]
  const parts = {
    frame: compress(Buffer.concat(fresh), Buffer.concat(old)),
    targets: fresh.map(indexed),
    base: old.map(indexed),
  }
  return { parts, old, fresh }
}

const corrupt = (error: unknown): boolean => isMirrorError(error, 'corrupt')

test('a delta gives its targets, in this thread and in another', async () => {
  for (const scale of [1, 20]) {
    const { parts, old, fresh } = made(scale)
    assert.ok(parts.frame.length < Buffer.concat(fresh).length / 10)
    const blocks = await applyDelta(parts, async () => old)
    assert.deepEqual(
      blocks?.map(({ bytes }) => Buffer.from(bytes)),
      fresh.map((bytes) => Buffer.from(bytes)),
    )
  }
})

test('a base block that is gone gives nothing, and is no fault', async () => {
  const { parts, old } = made()
  assert.equal(await applyDelta(parts, async () => [old[0], undefined]), undefined)
})

test('what is not what the plan says is refused before or after decoding, and gives no block', async () => {
  const { parts, old, fresh } = made()
  const other = noise(4000, 9)
  const magic = Uint8Array.of(0x37, 0xa4, 0x30, 0xec, ...noise(9000, 3))
  const wrong: Record<string, [DeltaParts, readonly Uint8Array[]]> = {
    'another base': [parts, [old[0]!, noise(5000, 7)]],
    'base blocks in another order': [{ ...parts, base: parts.base.toReversed() }, old.toReversed()],
    'a base block of another length': [parts, [old[0]!, old[1]!.slice(1)]],
    'targets in another order': [{ ...parts, targets: parts.targets.toReversed() }, old],
    'one target too few': [{ ...parts, targets: parts.targets.slice(0, 2) }, old],
    'one target too many': [{ ...parts, targets: [...parts.targets, indexed(other)] }, old],
    'another target of the same length': [
      { ...parts, targets: [indexed(other), ...parts.targets.slice(1)] },
      old,
    ],
    'no targets': [{ ...parts, targets: [] }, old],
    'no base': [{ ...parts, base: [] }, []],
    'too many targets': [
      { ...parts, targets: Array.from({ length: MAX_DELTA_BLOCKS + 1 }, () => parts.targets[0]!) },
      old,
    ],
    'targets that are too long together': [
      { ...parts, targets: [{ ...parts.targets[0]!, lengthBytes: 4 * 1024 * 1024 + 1 }] },
      old,
    ],
    'an empty frame': [{ ...parts, frame: new Uint8Array() }, old],
    'a frame that is cut short': [{ ...parts, frame: parts.frame.slice(0, -1) }, old],
    'a frame with bytes behind it': [
      { ...parts, frame: Buffer.concat([parts.frame, Uint8Array.of(0)]) },
      old,
    ],
    'two frames': [{ ...parts, frame: Buffer.concat([parts.frame, parts.frame]) }, old],
    'a window in the form of a dictionary': [
      {
        frame: compress(fresh[0]!, new Uint8Array(8)),
        targets: [indexed(fresh[0]!)],
        base: [indexed(magic)],
      },
      [magic],
    ],
  }
  for (const [what, [bad, base]] of Object.entries(wrong))
    await assert.rejects(
      applyDelta(bad, async () => base),
      corrupt,
      what,
    )
})

test('a frame that expands without bound is given up', async () => {
  const zeros = new Uint8Array(512 * 1024 * 1024)
  const window = noise(1000, 1)
  const target = new Uint8Array(10_000)
  for (const bomb of [
    zlib.zstdCompressSync(zeros, { dictionary: window }),
    // Says nothing of its length.
    zlib.zstdCompressSync(zeros, {
      dictionary: window,
      params: { [zlib.constants.ZSTD_c_contentSizeFlag]: 0, [zlib.constants.ZSTD_c_windowLog]: 20 },
    }),
  ]) {
    const parts = { frame: new Uint8Array(bomb), targets: [indexed(target)], base: [indexed(window)] }
    const before = process.memoryUsage().rss
    await assert.rejects(
      applyDelta(parts, async () => [window]),
      corrupt,
    )
    assert.ok(process.memoryUsage().rss - before < 100 * 1024 * 1024)
  }
})

test('whatever is done to a frame, what comes out has the length asked for or is refused', () => {
  const { parts, old, fresh } = made()
  const window = Buffer.concat(old)
  const lengthBytes = Buffer.concat(fresh).length
  let refused = 0
  fc.assert(
    fc.property(fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 6 }), fc.boolean(), (at, bytes, isCut) => {
      const frame = parts.frame.slice()
      const place = at % frame.length
      if (isCut) frame.copyWithin(place, place + bytes.length)
      else frame.set(bytes.subarray(0, frame.length - place), place)
      try {
        assert.equal(decodeWindowed({ bytes: frame, window, lengthBytes }).length, lengthBytes)
      } catch (error) {
        assert.ok(corrupt(error), String(error))
        refused++
      }
    }),
    { numRuns: 2000 },
  )
  assert.ok(refused > 500, `${refused} refused`)
})
