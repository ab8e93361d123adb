/** A site's versions of a tree: by its tags, its time of grace and its number, also without a move. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { Semaphore } from '../../src/base/semaphore.ts'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { foldRecords } from '../../src/record/mesh-state-builder.ts'
import type { VerifiedRecord } from '../../src/record/record.ts'
import { createCheckoutKeeper } from '../../src/replica/site-agent/checkouts.ts'
import { bench } from '../tree/trees.ts'
import { createTestLogger, createTestMesh, testKey } from './test-mesh.ts'

test('versions go when fewer are to stay, when a tag is gone, and by a keeper that was restarted', async (t) => {
  const b = await bench(t)
  const clock = new VirtualClock()
  const { signal } = new AbortController()
  const mesh = createTestMesh()
  const publisher = testKey(9)
  const records: VerifiedRecord[] = [mesh.genesis, ...mesh.tree('t', publisher)]
  const heads: VerifiedRecord[] = []
  const tag = (sequence: number, version: number, removed: boolean): void => {
    const { snapshot } = bodyOf(heads[sequence - 1]!)
    records.push(mesh.sign(mesh.admin, 'tag', { tree: 't', tag: 'ga', snapshot, sequence, version, removed }))
  }
  const make = () =>
    createCheckoutKeeper(
      {
        blocks: b.store.blocks,
        isPublishedHere: () => false,
        state: () => foldRecords(records, mesh.mesh),
        checkoutSlots: new Semaphore(1),
        clock,
        logger: createTestLogger(),
      },
      { keepOldSeconds: 600 },
    )
  const path = b.at('out')
  const shown = (): string[] =>
    fs
      .readdirSync(path)
      .filter((name) => !name.startsWith('.'))
      .sort()
  const look = (versions: number): Promise<void> =>
    make().removeOldTrees([{ tree: 't', path, versions }], signal)

  for (let sequence = 1; sequence <= 4; sequence++) {
    fs.mkdirSync(b.at('source'), { recursive: true })
    fs.writeFileSync(b.at('source', 'file'), `version ${sequence}`)
    const imported = await b.import(b.at('source'), { tree: 't' })
    const { files, directories, symlinks, bytes, blocks, blockBytes } = imported.snapshot.counts
    const snapshot = imported.snapshotCid
    const head = mesh.sign(publisher, 'head', {
      tree: 't',
      epoch: 1,
      sequence,
      previous: heads.at(-1)?.id ?? null,
      snapshot,
      counts: { files, directories, symlinks, bytes, blocks, blockBytes },
    })
    heads.push(head)
    records.push(head)
    if (sequence === 1) tag(1, 1, false)
    await make().move({ tree: 't', snapshot, path, versions: 3, signal })
    assert.equal(make().checkedOut('t', path, 3), snapshot.toString())
  }
  assert.deepEqual(shown(), ['1', '2', '3', '4', 'latest'])
  await look(2)
  clock.advanceTo(clock.nowMs() + 599_000)
  await look(2)
  assert.deepEqual(shown(), ['1', '2', '3', '4', 'latest'])
  clock.advanceTo(clock.nowMs() + 1_000)
  await look(2)
  assert.deepEqual(shown(), ['1', '3', '4', 'latest'])
  tag(1, 2, true)
  await look(2)
  clock.advanceTo(clock.nowMs() + 600_000)
  await look(2)
  assert.deepEqual(shown(), ['3', '4', 'latest'])
  // A link that somebody else made is no check-out, and nothing goes for it.
  fs.rmSync(`${path}/latest`)
  fs.symlinkSync('3', `${path}/latest`)
  assert.equal(make().checkedOut('t', path, 1), undefined)
  await look(1)
  clock.advanceTo(clock.nowMs() + 600_000)
  await look(1)
  assert.deepEqual(shown(), ['3', '4', 'latest'])
})

function bodyOf({ content }: VerifiedRecord) {
  assert.ok(content?.kind === 'head')
  return content.body
}
