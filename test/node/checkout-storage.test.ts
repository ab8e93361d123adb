/** A site that holds a tree and its check-out takes the space of one; what it retains outlives the check-out's moves. */
import assert from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { VerifyAnswer } from '../../node/api/jobs/job-answers.ts'
import { foundMesh, joinMesh } from './founded-mesh.ts'
import { freePort, mirrormesh, startDaemon, succeed, succeedJson, until } from './program.ts'
import { tempDir } from './temp-dir.ts'

const TREE = 'builds/nightly'
const FILES = 12
const FILE_BYTES = 768 * 1024

async function write(folder: string, from: number): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (let i = from; i < FILES; i++)
    await writeFile(join(folder, `file-${i}`), randomFillSync(Buffer.allocUnsafe(FILE_BYTES)))
}

async function diskBytes(folder: string): Promise<number> {
  let sum = 0
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) sum += (await stat(join(entry.parentPath, entry.name))).blocks * 512
  }
  return sum
}

test('a lab holds a tree and its check-out in the space of one, and keeps three snapshots through ten moves', {
  timeout: 400_000,
}, async (t) => {
  const dir = await tempDir(t)
  const [hqHome, home, source, dest] = [
    join(dir, 'hq'),
    join(dir, 'lab'),
    join(dir, 'source'),
    join(dir, 'out'),
  ]
  await foundMesh(hqHome, { listen: `127.0.0.1:${await freePort()}` })
  await startDaemon(t, hqHome)
  await joinMesh(home, hqHome, { region: 'us' })
  const lab = await startDaemon(t, home)
  await write(source, 0)
  await succeed(['publish', source, '--home', hqHome, '--tree', TREE])
  await succeed(['pin', 'add', TREE, '--home', hqHome, '--site', 'lab', '--checkout', dest])
  const checkedOut = (sequence: number) =>
    until(`the check-out is at ${sequence}`, async () => {
      const { trees } = await lab.status()
      const replica = trees.find(({ tree }) => tree === TREE)?.sites.find(({ site }) => site === 'lab')
      return replica?.checkouts[0]?.sequence === sequence
    })
  await checkedOut(1)
  await succeed(['gc', '--home', home])
  const ratio = (await diskBytes(join(home, 'store/packs'))) / (await diskBytes(dest))
  assert.ok(ratio < 0.05, `packs take ${(ratio * 100).toFixed(1)} % of the check-out`)
  assert.ok((await succeedJson<VerifyAnswer>(['verify', TREE, '--home', home])).isGood)

  // A few files change each time: what older snapshots need of the old tree goes into packs before that is removed.
  for (let sequence = 2; sequence <= 11; sequence++) {
    await write(source, FILES - 2)
    await succeed(['publish', source, '--home', hqHome, '--tree', TREE])
    await checkedOut(sequence)
  }
  await succeed(['gc', '--home', home])
  // What stayed the same is in the check-out alone: packs hold two files of each of two older snapshots, and some garbage.
  const packed = (await diskBytes(join(home, 'store/packs'))) / FILE_BYTES
  assert.ok(packed < 4 * 1.5, `packs take the space of ${packed.toFixed(1)} files`)
  for (const sequence of [9, 10, 11]) {
    const old = join(dir, `old-${sequence}`)
    await succeed(['checkout', `${TREE}@${sequence}`, old, '--home', home])
    assert.equal((await readdir(old)).length, FILES)
    if (sequence === 11) {
      const name = `file-${FILES - 1}`
      assert.deepEqual(await readFile(join(old, name)), await readFile(join(source, name)))
    }
    await rm(old, { recursive: true })
  }
  assert.ok((await succeedJson<VerifyAnswer>(['verify', TREE, '--home', home])).isGood)

  // By hand over that of the pin: what lay in the old tree alone is kept.
  await succeed(['checkout', `${TREE}@10`, dest, '--home', home, '--replace'])
  assert.ok((await succeedJson<VerifyAnswer>(['verify', TREE, '--home', home])).isGood)
  await write(source, FILES - 2)
  await succeed(['publish', source, '--home', hqHome, '--tree', TREE])
  await checkedOut(12)

  // Changed behind the store's back: missing, found by verify, fetched again, and never served wrong.
  await writeFile(join(dest, 'file-0'), Buffer.alloc(FILE_BYTES, 7))
  const damaged = await mirrormesh(['verify', TREE, '--home', home, '--json'])
  assert.notEqual(damaged.status, 0, damaged.stdout)
  await until(
    'it is whole again',
    async () => (await mirrormesh(['verify', TREE, '--home', home])).status === 0,
  )

  // Removed as a whole: all that lay there alone is fetched at once, not block by block with a failure for each.
  await rm(dest, { recursive: true })
  await write(source, FILES - 2)
  await succeed(['publish', source, '--home', hqHome, '--tree', TREE])
  await checkedOut(13)
  for (const name of await readdir(source))
    assert.deepEqual(await readFile(join(dest, name)), await readFile(join(source, name)))
  assert.ok((await succeedJson<VerifyAnswer>(['verify', TREE, '--home', home])).isGood)
})
