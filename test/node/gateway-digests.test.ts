/** The digests of files that a gateway is asked for: each read once, for as long as somebody waits. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { createDigests } from '../../node/gateway/digests.ts'
import type { ReadFile } from '../../node/gateway/file-response.ts'
import { utf8 } from '../../src/base/bytes.ts'
import { cidOf, RAW } from '../../src/block/cid.ts'
import type { FileEntry } from '../../src/dag/entry.ts'

const content = utf8('the metadata')
const sha256 = createHash('sha256').update(content).digest()

test('askers for one digest share one reading, which ends with the last of them', async () => {
  const entry: FileEntry = {
    type: 'file',
    name: utf8('f'),
    sizeBytes: content.length,
    content: cidOf(RAW, content),
    mode: 0o644,
    mtimeSec: 0,
    mtimeNsec: 0,
    uid: 0,
    gid: 0,
  }
  let readings = 0
  let release = Promise.withResolvers<void>()
  const signals: AbortSignal[] = []
  const digests = createDigests()
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
  assert.deepEqual(Buffer.from(await again), sha256)
  assert.equal(readings, 2)
  release = Promise.withResolvers()
  assert.deepEqual(Buffer.from(digests.known(entry)!), sha256)
})

test('too many digests at once are refused, and room comes back', async () => {
  const release = Promise.withResolvers<void>()
  const digests = createDigests()
  const readFile: ReadFile = async function* () {
    await release.promise
    yield content
  }
  const entry = (i: number): FileEntry => ({
    type: 'file',
    name: utf8('f'),
    sizeBytes: 1,
    content: cidOf(RAW, Uint8Array.of(i)),
    mode: 0o644,
    mtimeSec: 0,
    mtimeNsec: 0,
    uid: 0,
    gid: 0,
  })
  const { signal } = new AbortController()
  const waiting = Array.from({ length: 34 }, (_, i) => digests.sha256(entry(i), readFile, signal))
  await assert.rejects(digests.sha256(entry(99), readFile, signal), /too many files/)
  release.resolve()
  await Promise.all(waiting)
  await digests.sha256(entry(99), readFile, signal)
})
