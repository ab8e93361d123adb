/** Grafts beside the import of the same folders in one go: what comes out has to be the same tree. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { utf8 } from '../../src/base/bytes.ts'
import { systemClock } from '../../src/base/clock.ts'
import type { Snapshot } from '../../src/dag/snapshot.ts'
import { graft } from '../../src/tree/import/graft.ts'
import { type Bench, bench, noise } from './trees.ts'

/** Two names of one inode, a file of several chunks, a link and an empty folder, each its own in every version. */
function writeVersion(b: Bench, name: string, seed: number): string {
  const dir = b.at('versions', name)
  fs.mkdirSync(`${dir}/bin/empty`, { recursive: true })
  fs.writeFileSync(`${dir}/bin/tool`, noise(300_000, seed))
  fs.writeFileSync(`${dir}/README`, `version ${name}`)
  fs.linkSync(`${dir}/README`, `${dir}/bin/README`)
  fs.symlinkSync('bin/tool', `${dir}/tool`)
  return dir
}

function seen({ root, index, counts, uncaptured }: Snapshot): unknown {
  assert.equal(root.type, 'directory')
  return {
    directory: root.type === 'directory' && root.directory.toString(),
    index: index.toString(),
    counts,
    uncaptured,
  }
}

test('versions grafted one by one are the tree that is imported at once', async (t) => {
  const b = await bench(t)
  const components = { blocks: b.store.blocks, tempDir: b.at('tmp'), clock: systemClock }
  let base: { snapshot: Snapshot; cid: Awaited<ReturnType<typeof graft>>['snapshotCid'] } | undefined
  for (const [i, name] of ['13.1', '13.2', '9'].entries()) {
    const imported = await b.import(writeVersion(b, name, i + 1), { below: utf8(name) })
    const add = { name: utf8(name), snapshot: imported.snapshot }
    const result = await graft(components, { ...(base === undefined ? {} : { base }), add })
    base = { snapshot: result.snapshot, cid: result.snapshotCid }
    const { snapshot } = await b.import(b.at('versions'))
    assert.deepEqual(seen(result.snapshot), seen(snapshot))
  }
  assert.equal(base?.snapshot.parent === undefined, false)

  const { snapshot: less, snapshotCid } = await graft(components, {
    base: base!,
    remove: [utf8('13.1'), utf8('9')],
  })
  fs.rmSync(b.at('versions', '13.1'), { recursive: true })
  fs.rmSync(b.at('versions', '9'), { recursive: true })
  assert.deepEqual(seen(less), seen((await b.import(b.at('versions'))).snapshot))

  // In place of what has the name, and what is not there cannot go.
  fs.rmSync(b.at('versions', '13.2'), { recursive: true })
  const again = await b.import(writeVersion(b, '13.2', 7), { below: utf8('13.2') })
  const replaced = await graft(components, {
    base: { snapshot: less, cid: snapshotCid },
    add: { name: utf8('13.2'), snapshot: again.snapshot },
  })
  assert.deepEqual(seen(replaced.snapshot), seen((await b.import(b.at('versions'))).snapshot))
  await assert.rejects(graft(components, { base: base!, remove: [utf8('12')] }), /there is no 12 at the root/)
})

test('only a folder is a version', async (t) => {
  const b = await bench(t)
  fs.writeFileSync(b.at('file'), 'content')
  const { snapshot } = await b.import(b.at('file'))
  const components = { blocks: b.store.blocks, tempDir: b.at('tmp'), clock: systemClock }
  await assert.rejects(graft(components, { add: { name: utf8('1'), snapshot } }), /this is no folder/)
})
