import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { isMirrorError } from '../../src/base/errors.ts'
import { runInCodecThread } from '../../src/block/codec-thread.ts'
import { decodeBlock, decodeBlockLater, tryZstd, tryZstdLater } from '../../src/block/encoding.ts'
import { pseudoRandomBytes } from './pseudo-random.ts'

function textOf(number: number, sizeBytes: number): Uint8Array {
  return new Uint8Array(Buffer.alloc(sizeBytes, `line ${number} of a text that repeats itself\n`))
}

test('many blocks at once each come back as their own', async () => {
  const texts = Array.from({ length: 100 }, (_, i) => textOf(i, 16 * 1024 + 977 * i))
  const frames = await Promise.all(texts.map((text) => tryZstdLater(text, 3)))
  frames.forEach((frame, i) => {
    assert.deepEqual(frame, tryZstd(texts[i]!, 3))
  })
  const plain = await Promise.all(
    frames.map((frame, i) =>
      decodeBlockLater({ encoding: 'zstd', bytes: frame!, lengthBytes: texts[i]!.length }),
    ),
  )
  plain.forEach((bytes, i) => {
    assert.deepEqual(bytes, texts[i])
  })
})

test('what is given stays the callers, a part of a larger buffer too, and nothing around it is read', async () => {
  const text = textOf(1, 40_000)
  const large = pseudoRandomBytes(1, 100_000)
  large.set(text, 30_000)
  const before = large.slice()
  const frame = (await tryZstdLater(large.subarray(30_000, 70_000), 1))!
  assert.deepEqual(large, before)
  assert.deepEqual(decodeBlock({ encoding: 'zstd', bytes: frame, lengthBytes: 40_000 }), text)
  const around = new Uint8Array(frame.length + 2000)
  around.set(frame, 1000)
  const part = around.subarray(1000, 1000 + frame.length)
  assert.deepEqual(await decodeBlockLater({ encoding: 'zstd', bytes: part, lengthBytes: 40_000 }), text)
  assert.deepEqual(part, frame)
})

test('a frame that does not decode fails alone; those that travel with it do not', async () => {
  const text = new Uint8Array(Buffer.from(Array.from({ length: 9000 }, (_, i) => i * i).join(' ')))
  const frame = tryZstd(text, 3)!
  const broken = frame.slice()
  broken.fill(0xff, frame.length / 4, frame.length / 2)
  const settled = await Promise.allSettled(
    [frame, broken, frame, broken, frame].map((bytes) =>
      decodeBlockLater({ encoding: 'zstd', bytes, lengthBytes: text.length }),
    ),
  )
  settled.forEach((result, i) => {
    if (i % 2 === 0) assert.deepEqual(result, { status: 'fulfilled', value: text })
    else assert.ok(result.status === 'rejected' && isMirrorError(result.reason, 'corrupt'))
  })
})

test('a job that the thread cannot do fails, and the thread goes on', async () => {
  await assert.rejects(
    runInCodecThread({ kind: 'compress', bytes: textOf(3, 20_000), level: 'three' as unknown as number }),
    (error) => isMirrorError(error, 'internal'),
  )
  assert.ok((await tryZstdLater(textOf(3, 20_000), 3))!.length < 20_000)
})

test('the threads keep a process alive while somebody waits for them, and no longer', async () => {
  const module = new URL('../../src/block/encoding.ts', import.meta.url)
  const script = `import('${module}').then(async ({ tryZstdLater }) => {
    const frame = await tryZstdLater(new Uint8Array(Buffer.alloc(100_000, 'text ')), 3)
    console.log(frame.length < 1000)
  })`
  const { stdout } = await promisify(execFile)(process.execPath, ['--eval', script], { timeout: 20_000 })
  assert.equal(stdout, 'true\n')
})
