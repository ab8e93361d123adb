/** SHA-256 of files: made in a thread, shared by those who ask, and kept over restarts. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { createDigests } from '../../node/gateway/digests.ts'
import type { ReadFile } from '../../node/gateway/file-response.ts'
import { createKeptDigests } from '../../node/gateway/kept-digests.ts'
import { createSha256Thread } from '../../node/gateway/sha256-thread.ts'
import { utf8 } from '../../src/base/bytes.ts'
import { systemClock } from '../../src/base/clock.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { type Cid, cidOf, RAW } from '../../src/block/cid.ts'
import type { FileEntry } from '../../src/dag/entry.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { askGateway } from './gateway-client.ts'
import { createTestMesh } from './gateway-mesh.ts'

const content = utf8('the metadata')

function setUp(t: TestContext) {
  const thread = createSha256Thread({ clock: systemClock })
  t.after(() => thread.close())
  return { thread, digests: createDigests({ kept: createKeptDigests(), thread }) }
}

function sha256Of(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(createHash('sha256').update(bytes).digest())
}

function fileOf(bytes: Uint8Array): FileEntry {
  return {
    ...{ type: 'file', name: utf8('f'), sizeBytes: bytes.length, content: cidOf(RAW, bytes) },
    ...{ mode: 0o644, mtimeSec: 0, mtimeNsec: 0, uid: 0, gid: 0 },
  }
}

/** One buffer for all pieces, as a lender gives them. */
async function* lent(bytes: Uint8Array, pieceBytes: number): AsyncGenerator<Uint8Array> {
  const slab = new Uint8Array(pieceBytes)
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const piece = bytes.subarray(at, at + pieceBytes)
    slab.set(piece)
    yield slab.subarray(0, piece.length)
  }
}

test('files of any size, read in pieces of any size, several at a time, have the digest that they have', async (t) => {
  const { thread } = setUp(t)
  const cases = [0, 1, 100_000, 131_073, 262_144, 524_288, 1_000_003].flatMap((sizeBytes) =>
    [70_000, 262_144, 600_001].map((pieceBytes) => ({ bytes: randomBytes(sizeBytes), pieceBytes })),
  )
  await Promise.all(
    cases.map(async ({ bytes, pieceBytes }) =>
      assert.deepEqual(await thread.hash(lent(bytes, pieceBytes), bytes.length), sha256Of(bytes)),
    ),
  )
})

test('a reading that fails fails its digest alone, and one that is under way when the thread ends is told', async (t) => {
  const { thread } = setUp(t)
  const bytes = randomBytes(900_000)
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield* lent(bytes.subarray(0, 600_000), 100_000)
    throw new Error('a block is missing')
  }
  const [failed, whole] = await Promise.allSettled([
    thread.hash(broken(), bytes.length),
    thread.hash(lent(bytes, 50_000), bytes.length),
  ])
  assert.match(String(failed.status === 'rejected' && failed.reason), /a block is missing/)
  assert.deepEqual(whole.status === 'fulfilled' && whole.value, sha256Of(bytes))
  const begun = Promise.withResolvers<void>()
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (;;) {
      yield bytes
      begun.resolve()
    }
  }
  const ended = assert.rejects(thread.hash(endless(), Number.MAX_SAFE_INTEGER), /no longer made/)
  await begun.promise
  await thread.close()
  await ended
  assert.deepEqual(await thread.hash(lent(bytes, 50_000), bytes.length), sha256Of(bytes), 'and begun anew')
})

test('the thread ends when nobody has asked for a while', async (t) => {
  const clock = new VirtualClock()
  const thread = createSha256Thread({ clock })
  t.after(() => thread.close())
  const bytes = randomBytes(300_000)
  for (let i = 0; i < 2; i++) {
    assert.deepEqual(await thread.hash(lent(bytes, 100_000), bytes.length), sha256Of(bytes))
    clock.advanceTo(clock.nowMs() + 30_000)
  }
})

test('what was made is there after a restart, and what memory forgets the disk does', async () => {
  const values = createMemoryStore().values('digests')
  const cid = (i: number): Cid => cidOf(RAW, Uint8Array.of(i))
  const digest = (i: number): Uint8Array => new Uint8Array(32).fill(i)
  const keys = async (): Promise<number> => (await Array.fromAsync(values.entries())).length
  const first = createKeptDigests({ values }, { maxKept: 3 })
  await first.load()
  for (let i = 0; i < 5; i++) first.set(cid(i), digest(i))
  await first.flush()
  assert.equal(await keys(), 3)
  await values.put(cid(9).toString(), new Uint8Array(31))
  const second = createKeptDigests({ values }, { maxKept: 3 })
  const before = second.revision()
  await second.load()
  assert.ok(second.revision() > before)
  assert.deepEqual(
    [0, 1, 2, 3, 4, 9].map((i) => second.get(cid(i))),
    [undefined, undefined, digest(2), digest(3), digest(4), undefined],
  )
  await second.flush()
  assert.equal(await keys(), 3, 'what is no digest is gone')
  // A version that keeps fewer takes over.
  const third = createKeptDigests({ values }, { maxKept: 2 })
  await third.load()
  await third.flush()
  assert.equal(await keys(), 2)
})

test('a gateway that starts again reads no file for a digest that it had', async (t) => {
  const mesh = await createTestMesh()
  const bytes = randomBytes(200_000)
  await mesh.publish('t', [['f', bytes]])
  const digestValues = createMemoryStore().values('digests')
  const digest = `SHA-256=${Buffer.from(sha256Of(bytes)).toString('base64')}`
  const head = { method: 'HEAD', headers: { 'want-repr-digest': 'sha-256=1' } }
  const first = await mesh.start({}, { digestValues })
  t.after(() => first.stop(0))
  assert.equal((await askGateway(first, '/t/f', head)).headers.digest, digest)
  const readsOnce = mesh.reads()
  assert.ok(readsOnce > 100)
  await first.stop(0)
  const second = await mesh.start({}, { digestValues })
  t.after(() => second.stop(0))
  assert.equal((await askGateway(second, '/t/f', head)).headers.digest, digest)
  assert.ok(mesh.reads() < readsOnce + 100)
})

test('askers for one digest share one reading, which ends with the last of them', async (t) => {
  const entry = fileOf(content)
  let readings = 0
  let release = Promise.withResolvers<void>()
  const signals: AbortSignal[] = []
  const { digests } = setUp(t)
  const readFile: ReadFile = async function* (_entry, _range, signal) {
    readings++
    signals.push(signal)
    await release.promise
    signal.throwIfAborted()
    yield content
  }
  const [first, second] = [new AbortController(), new AbortController()]
  const asked = [
    digests.sha256(entry, readFile, first.signal),
    digests.sha256(entry, readFile, second.signal),
  ]
  first.abort(new Error('gone'))
  await assert.rejects(asked[0]!, /gone/)
  assert.equal(signals[0]?.aborted, false)
  second.abort(new Error('gone too'))
  await assert.rejects(asked[1]!, /gone too/)
  assert.equal(signals[0]?.aborted, true)
  assert.equal(digests.known(entry), undefined)
  const again = digests.sha256(entry, readFile, new AbortController().signal)
  release.resolve()
  assert.deepEqual(await again, sha256Of(content))
  assert.equal(readings, 2)
  release = Promise.withResolvers()
  assert.deepEqual(digests.known(entry), sha256Of(content))
})

test('too many digests at once are refused, and room comes back', async (t) => {
  const release = Promise.withResolvers<void>()
  const { digests } = setUp(t)
  const readFile: ReadFile = async function* () {
    await release.promise
    yield content
  }
  const entry = (i: number): FileEntry => fileOf(Uint8Array.of(i))
  const { signal } = new AbortController()
  const waiting = Array.from({ length: 34 }, (_, i) => digests.sha256(entry(i), readFile, signal))
  await assert.rejects(digests.sha256(entry(99), readFile, signal), /too many files/)
  release.resolve()
  await Promise.all(waiting)
  await digests.sha256(entry(99), readFile, signal)
})
