import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { checkOut, diff, importTree, lookUp, openStore, systemClock } from '../src/index.ts'

test('an embedding program imports a folder, finds a file, compares two snapshots and checks one out', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'mirrormesh-embed-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const source = mkdtempSync(join(folder, 'source-'))
  writeFileSync(join(source, 'a.txt'), 'one')
  const store = await openStore({ dir: join(folder, 'store'), clock: systemClock })
  t.after(() => store.close())
  const collaborators = { blocks: store.blocks, tempDir: folder, clock: systemClock }

  const first = await importTree(collaborators, { path: source, tree: 'demo' })
  writeFileSync(join(source, 'b.txt'), 'two')
  const second = await importTree(collaborators, { path: source, tree: 'demo', parent: first.snapshotCid })

  const found = await lookUp(store.blocks, second.snapshot.root, [Buffer.from('b.txt')])
  assert.equal(found?.type, 'file')
  const changes = await Array.fromAsync(diff(store.blocks, first.snapshot.root, second.snapshot.root))
  assert.deepEqual(
    changes.filter(({ change }) => change === 'added').map(({ path }) => Buffer.concat(path).toString()),
    ['b.txt'],
  )
  await checkOut(collaborators, { root: second.snapshot.root, dest: join(folder, 'out') })
  assert.equal(readFileSync(join(folder, 'out', 'b.txt'), 'utf8'), 'two')
})
