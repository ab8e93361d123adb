/** `gc` and `scrub` on running nodes: what stays and why, space that comes back, damage that heals. */
import assert from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import { mkdir, open, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { CollectAnswer, ScrubAnswer } from '../../node/api/jobs/job-answers.ts'
import { foundMesh, joinMesh } from './founded-mesh.ts'
import { type Daemon, freePort, mirrormesh, startDaemon, succeed, succeedJson, until } from './program.ts'
import { tempDir } from './temp-dir.ts'

const TREE = 'builds/nightly'

async function packs(home: string): Promise<{ path: string; size: number }[]> {
  const dir = join(home, 'store/packs')
  const found = await Promise.all(
    (await readdir(dir)).map(async (name) => ({
      path: join(dir, name),
      size: (await stat(join(dir, name))).size,
    })),
  )
  return found.toSorted((a, b) => b.size - a.size)
}

async function packBytes(home: string): Promise<number> {
  return (await packs(home)).reduce((sum, { size }) => sum + size, 0)
}

async function stateAt(daemon: Daemon, site: string): Promise<string | undefined> {
  const tree = (await daemon.status()).trees.find((each) => each.tree === TREE)
  return tree?.sites.find((each) => each.site === site)?.state
}

test('gc says why each snapshot stays, gives the space of the others back, and leaves every kept one whole', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const [home, source] = [join(dir, 'hq'), join(dir, 'source')]
  await mkdir(source)
  await foundMesh(home)
  await writeFile(join(source, 'common'), randomFillSync(Buffer.allocUnsafe(1_000_000)))
  const daemon = await startDaemon(t, home)
  for (let build = 1; build <= 6; build++) {
    await writeFile(join(source, 'image'), randomFillSync(Buffer.allocUnsafe(3_000_000)))
    await succeed(['publish', source, '--home', home, '--tree', TREE])
    if (build === 2) await succeed(['tag', TREE, 'release', '--home', home])
  }
  const before = await packBytes(home)
  const planned = await succeedJson<CollectAnswer>(['gc', '--dry-run', '--home', home])
  const shares = planned.dropped.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0)
  assert.ok(
    planned.dropped.every(({ bytes }) => bytes !== null && bytes > 0),
    JSON.stringify(planned.dropped),
  )
  assert.ok(shares <= planned.deadBytes * 1.05 && shares >= planned.deadBytes * 0.8, `${shares} bytes`)
  assert.deepEqual(
    planned.kept.map(({ sequence, reasons }) => [sequence, reasons]),
    [
      [6, ['the newest head', 'the newest that is complete here']],
      [5, ['one of the newest 3 that are complete here']],
      [4, ['one of the newest 3 that are complete here']],
      [2, ['tagged release']],
    ],
  )
  assert.deepEqual(
    planned.dropped.map(({ sequence, reason }) => [sequence, reason]),
    [
      [3, '3 newer ones are complete here'],
      [1, '3 newer ones are complete here'],
    ],
  )
  assert.equal(await packBytes(home), before)
  assert.match(await succeed(['verify', `${TREE}@1`, '--home', home]), /every block is here and right/)

  const done = await succeedJson<CollectAnswer>(['gc', '--home', home])
  assert.equal(done.deadBlocks, planned.deadBlocks)
  assert.ok(before - (await packBytes(home)) > 5_900_000, 'two images of 3 MB went')
  for (const sequence of [2, 4, 5, 6]) {
    assert.match(
      await succeed(['verify', `${TREE}@${sequence}`, '--home', home]),
      /every block is here and right/,
    )
  }
  const refused = await mirrormesh(['verify', `${TREE}@3`, '--home', home])
  assert.equal(refused.status, 4)
  assert.match(refused.stderr, /not complete at this site/)
  assert.match(await succeed(['gc', '--home', home]), /^0 blocks \(0 B\) went/m)
  // After a restart too: what was dropped stays dropped.
  await daemon.kill()
  await startDaemon(t, home)
  assert.equal((await mirrormesh(['verify', `${TREE}@1`, '--home', home])).status, 4)
  assert.match(await succeed(['verify', '--home', home]), /every block is here and right/)
})

test('a tree that is no longer pinned here goes after its time, and not before', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const [hqHome, labHome, source] = [join(dir, 'hq'), join(dir, 'lab'), join(dir, 'source')]
  await mkdir(source)
  await writeFile(join(source, 'image'), randomFillSync(Buffer.allocUnsafe(2_000_000)))
  await foundMesh(hqHome, { listen: `127.0.0.1:${await freePort()}` })
  await startDaemon(t, hqHome)
  await joinMesh(labHome, hqHome)
  await succeed(['publish', source, '--home', hqHome, '--tree', TREE])
  await succeed(['pin', 'add', TREE, '--home', hqHome, '--site', 'lab'])
  let lab = await startDaemon(t, labHome)
  await until('it is complete', async () => (await stateAt(lab, 'lab')) === 'complete')
  await succeed(['pin', 'remove', TREE, '--home', hqHome, '--site', 'lab'])
  const kept = await until('the tree is not asked for', async () => {
    const answer = await succeedJson<CollectAnswer>(['gc', '--home', labHome])
    return answer.kept.some(({ reasons }) => reasons[0]?.startsWith('no longer asked for') === true) && answer
  })
  assert.match(kept.kept[0]!.reasons[0]!, /^no longer asked for here, goes after \d{4}-/)
  assert.ok((await packBytes(labHome)) > 2_000_000)
  await lab.stop()
  lab = await startDaemon(t, labHome, { MIRRORMESH_KEEP_UNPINNED_DAYS: '0' })
  const gone = await succeedJson<CollectAnswer>(['gc', '--home', labHome])
  assert.deepEqual(
    gone.dropped.map(({ reason }) => reason),
    ['no longer asked for here'],
  )
  assert.ok((await packBytes(labHome)) < 100_000, String(await packBytes(labHome)))
})

test('scrub finds a flipped bit, says so, and the block is fetched again from another site', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const [hqHome, labHome, source] = [join(dir, 'hq'), join(dir, 'lab'), join(dir, 'source')]
  await mkdir(source)
  await writeFile(join(source, 'image'), randomFillSync(Buffer.allocUnsafe(4_000_000)))
  await foundMesh(hqHome, { listen: `127.0.0.1:${await freePort()}` })
  await startDaemon(t, hqHome)
  await joinMesh(labHome, hqHome)
  await succeed(['publish', source, '--home', hqHome, '--tree', TREE])
  await succeed(['pin', 'add', TREE, '--home', hqHome, '--site', 'lab'])
  const lab = await startDaemon(t, labHome)
  await until('it is complete', async () => (await stateAt(lab, 'lab')) === 'complete')
  assert.match(await succeed(['scrub', '--home', labHome, '--rate', '1G']), /every one is right/)

  const [{ path, size }] = (await packs(labHome)) as [{ path: string; size: number }]
  const file = await open(path, 'r+')
  const one = Buffer.alloc(1)
  await file.read(one, 0, 1, Math.floor(size / 2))
  await file.write(Buffer.of(one[0]! ^ 8), 0, 1, Math.floor(size / 2))
  await file.close()
  const found = await mirrormesh(['scrub', '--home', labHome, '--rate', '1G', '--json'])
  assert.equal(found.status, 1)
  assert.equal((JSON.parse(found.stdout) as ScrubAnswer).damagedBlocks, 1)
  assert.match(lab.stderr(), /"event":"store\.block-damaged"/)
  await until('it is healed', async () => {
    const healed = await mirrormesh(['verify', TREE, '--home', labHome])
    return healed.status === 0
  })
  assert.match(await succeed(['scrub', '--home', labHome, '--rate', '1G']), /every one is right/)
  await rm(source, { recursive: true })
})
