/** Readers of one file share its decoded nodes. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { type Cid, RAW } from '../../src/block/cid.ts'
import type { FileEntry } from '../../src/dag/entry.ts'
import { createSharedNodes } from '../../src/tree/shared-nodes.ts'
import { bench, noise } from './trees.ts'

test('readers that begin together load a node once; when the one that loads it goes, the next one does', async (t) => {
  const b = await bench(t)
  fs.writeFileSync(b.at('file'), noise(1_000_000))
  const { content, sizeBytes } = (await b.import(b.at('file'))).snapshot.root as FileEntry
  assert.ok(content !== undefined && content.code !== RAW)
  const ref = { cid: content, sizeBytes }
  let loads = 0
  let gate = Promise.withResolvers<void>()
  const source = {
    async get(cid: Cid, signal?: AbortSignal) {
      loads++
      await Promise.race([gate.promise, ...(signal === undefined ? [] : [fired(signal)])])
      return b.store.blocks.get(cid)
    },
  }
  const load = createSharedNodes()
  const leaving = new AbortController()
  const first = load(source, ref, leaving.signal)
  const others = Array.from({ length: 100 }, () => load(source, ref, new AbortController().signal))
  const impatient = new AbortController()
  const gone = load(source, ref, impatient.signal)
  impatient.abort(new Error('went away'))
  await assert.rejects(gone, /went away/)
  leaving.abort(new Error('left'))
  await assert.rejects(first, /left/)
  gate.resolve()
  const nodes = await Promise.all(others)
  assert.equal(loads, 2)
  assert.equal(new Set(nodes.map(({ node }) => node)).size, 1)
  assert.equal(nodes[0]!.node.sizeBytes, sizeBytes)
  gate = Promise.withResolvers()
  assert.equal((await load(source, ref, undefined)).node, nodes[0]!.node)
  // What its parent says otherwise of is another node, and no node at all.
  const wrong = load({ get: (cid) => b.store.blocks.get(cid) }, { cid: content, sizeBytes: 1 }, undefined)
  await assert.rejects(wrong, { code: 'corrupt' })
})

function fired(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}
