/** Bytes that rot on the disk of a running node: never served, no longer called complete, and fetched again. */
import assert from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import { mkdir, open, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { foundMesh, joinMesh } from './founded-mesh.ts'
import { type Daemon, freePort, mirrormesh, startDaemon, succeed, until } from './program.ts'
import { tempDir } from './temp-dir.ts'

const TREE = 'builds/nightly'

async function stateAt(daemon: Daemon, site: string): Promise<string | undefined> {
  const tree = (await daemon.status()).trees.find((each) => each.tree === TREE)
  return tree?.sites.find((each) => each.site === site)?.state
}

/** Flips bytes in the middle of the largest pack: in the middle of a block of data. */
async function damageLargestPack(home: string): Promise<void> {
  const dir = join(home, 'store/packs')
  const packs = await Promise.all(
    (await readdir(dir)).map(async (name) => ({
      path: join(dir, name),
      size: (await stat(join(dir, name))).size,
    })),
  )
  const { path, size } = packs.toSorted((a, b) => b.size - a.size)[0]!
  const file = await open(path, 'r+')
  try {
    await file.write(Buffer.alloc(64, 0xa5), 0, 64, Math.floor(size / 2))
    await file.sync()
  } finally {
    await file.close()
  }
}

test('a damaged block is found by verify, ends "complete", and is fetched again from another site', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const [hqHome, labHome, source] = [join(dir, 'hq'), join(dir, 'lab'), join(dir, 'source')]
  await mkdir(source)
  await writeFile(join(source, 'image'), randomFillSync(Buffer.allocUnsafe(4_000_000)))
  await foundMesh(hqHome, { listen: `127.0.0.1:${await freePort()}` })
  let hq = await startDaemon(t, hqHome)
  await joinMesh(labHome, hqHome)
  await succeed(['publish', source, '--home', hqHome, '--tree', TREE])
  await succeed(['pin', 'add', TREE, '--home', hqHome, '--site', 'lab'])
  const lab = await startDaemon(t, labHome)
  await until('it is complete', async () => (await stateAt(lab, 'lab')) === 'complete')

  // Nobody to heal it from: the damage stays visible.
  assert.equal(await hq.stop(), 0)
  await damageLargestPack(labHome)
  assert.equal((await mirrormesh(['verify', TREE, '--home', labHome])).status, 1)
  await until('it is not called complete', async () => (await stateAt(lab, 'lab')) !== 'complete')
  const refused = await mirrormesh(['checkout', TREE, join(dir, 'out'), '--home', labHome])
  assert.notEqual(refused.status, 0)
  assert.match(refused.stderr, /not complete at this site/)
  assert.match(lab.stderr(), /"event":"replica\.damaged"/)

  hq = await startDaemon(t, hqHome)
  await until('it is healed', async () => (await stateAt(lab, 'lab')) === 'complete', 90_000)
  assert.match(await succeed(['verify', TREE, '--home', labHome]), /every block is here and right/)

  // The publisher too: its copy comes back from a site that took it.
  await damageLargestPack(hqHome)
  assert.equal((await mirrormesh(['verify', TREE, '--home', hqHome])).status, 1)
  await until('the publisher is healed', async () => {
    const outcome = await mirrormesh(['verify', TREE, '--home', hqHome])
    return outcome.status === 0
  })
})
