import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeWindowed } from '../../src/block/encoding.ts'
import { DEFAULT_EFFORTS, type EncodeJob } from '../../src/delta/encode-delta.ts'
import { startEncodePool } from '../../src/delta/encode-pool.ts'
import { createZstdEncoder } from '../../src/posix/zstd-encoder.ts'
import { edited, noise } from './snapshots.ts'

const KIB = 1024

function jobOf(window: Uint8Array, targets: Uint8Array): EncodeJob {
  const lengths: number[] = []
  for (let at = 0; at < targets.length; at += 40 * KIB) lengths.push(Math.min(40 * KIB, targets.length - at))
  return { targets, lengths, window, efforts: DEFAULT_EFFORTS }
}

const text = (words: number, seed: number): Uint8Array =>
  Buffer.from(Array.from({ length: words }, (_, i) => `word${(i * 7919 + seed) % 4001}`).join(' '))

test('frames are right with zstd itself and with zlib alone, many at a time, and of one size', async () => {
  const pools = { native: startEncodePool(2), zlib: startEncodePool(2, () => undefined) }
  const sizes: Record<string, number[]> = {}
  for (const [name, pool] of Object.entries(pools)) {
    const jobs = [
      ...[1, 2, 3].map((seed) => jobOf(noise(seed, 300 * KIB), edited(noise(seed, 300 * KIB), seed))),
      ...[1, 2, 3].map((seed) => jobOf(text(50_000, seed), text(50_000, seed + 1))),
    ]
    sizes[name] = await Promise.all(
      jobs.map(async (job) => {
        const { frame, zstdBytes } = await pool.encode(job)
        const plain = decodeWindowed({ bytes: frame!, window: job.window, lengthBytes: job.targets.length })
        assert.equal(Buffer.compare(plain, job.targets), 0)
        assert.ok(frame!.length < zstdBytes / 2, `${frame!.length} of ${zstdBytes}`)
        return frame!.length
      }),
    )
    await pool.close()
  }
  for (const [i, bytes] of sizes.native!.entries()) {
    const other = sizes.zlib![i]!
    assert.ok(Math.abs(bytes - other) < 200 + other / 5, `${bytes} and ${other}`)
  }
})

test('what saves too little has no frame', async () => {
  for (const create of [createZstdEncoder, () => undefined]) {
    const pool = startEncodePool(1, create)
    for (const [window, targets] of [
      [noise(1, 100 * KIB), noise(2, 100 * KIB)],
      [noise(1, 100 * KIB), noise(1, 200)],
      [Uint8Array.of(0x37, 0xa4, 0x30, 0xec, ...noise(1, 50 * KIB)), noise(1, 50 * KIB)],
    ] as const)
      assert.equal((await pool.encode(jobOf(window, targets))).frame, undefined)
    await pool.close()
  }
})

test('a pool that is closed waits for what is being made, and makes nothing more', async () => {
  const pool = startEncodePool(1)
  const jobs = [1, 2, 3].map((seed) => jobOf(noise(seed, 900 * KIB), edited(noise(seed, 900 * KIB), seed)))
  const works = jobs.map((job) => pool.encode(job))
  const ended = Promise.allSettled(works)
  await pool.close()
  for (const { status, ...rest } of await ended)
    if (status === 'rejected') assert.equal((rest as { reason: { code: string } }).reason.code, 'aborted')
  await assert.rejects(pool.encode(jobs[0]!), { code: 'aborted' })
})

test('an encoder says when there is no room, and goes on', async () => {
  const encoder = createZstdEncoder()
  assert.ok(encoder !== undefined, 'Node exports its zstd')
  const bytes = noise(1, 50 * KIB)
  assert.equal(await encoder.encode(bytes, new Uint8Array(100), new Map()), undefined)
  // No such parameter.
  assert.equal(await encoder.encode(bytes, new Uint8Array(60 * KIB), new Map([[99_999, 1]])), undefined)
  const into = new Uint8Array(1000)
  const length = await encoder.encode(bytes, into, new Map(), bytes.slice())
  assert.ok(length !== undefined && length < 100, `${length}`)
  const plain = decodeWindowed({ bytes: into.slice(0, length), window: bytes, lengthBytes: bytes.length })
  assert.equal(Buffer.compare(plain, bytes), 0)
  encoder.close()
  encoder.close()
  await assert.rejects(encoder.encode(bytes, into, new Map()))
})
