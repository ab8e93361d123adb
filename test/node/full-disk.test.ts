/** Disks that fill up under real daemons: what the user sees, what stays whole, and that it goes on by itself. */
import assert from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { VerifyAnswer } from '../../node/api/jobs/job-answers.ts'
import { foundMesh, joinMesh } from './founded-mesh.ts'
import { type Daemon, freePort, mirrormesh, startDaemon, succeed, succeedJson, until } from './program.ts'
import { tempDir } from './temp-dir.ts'
import { tinyDisk } from './tiny-disk.ts'

const TREE = 'builds/large'
const MIB = 1024 * 1024

async function fill(folder: string, files: number, fileBytes: number): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (let i = 0; i < files; i++)
    await writeFile(join(folder, `file-${i}`), randomFillSync(Buffer.allocUnsafe(fileBytes)))
}

async function replicaOf(daemon: Daemon, site: string) {
  const { trees } = await daemon.status()
  return trees.find((each) => each.tree === TREE)?.sites.find((each) => each.site === site)
}

async function packBytes(home: string): Promise<number> {
  const dir = join(home, 'store/packs')
  let sum = 0
  for (const name of await readdir(dir)) sum += (await stat(join(dir, name))).size
  return sum
}

test('a lab whose disk is too small says so, stays up, and completes once there is room', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const lab = await tinyDisk(t, 160)
  if (lab === undefined) return
  const [hqHome, labHome, source] = [join(dir, 'hq'), join(lab, 'home'), join(dir, 'source')]
  await fill(source, 10, 6 * MIB)
  await foundMesh(hqHome, { listen: `127.0.0.1:${await freePort()}` })
  const hq = await startDaemon(t, hqHome)
  await joinMesh(labHome, hqHome)
  await succeed(['publish', source, '--home', hqHome, '--tree', TREE])
  await writeFile(join(lab, 'ballast'), Buffer.alloc(64 * MIB))
  const daemon = await startDaemon(t, labHome)
  await succeed(['pin', 'add', TREE, '--home', hqHome, '--site', 'lab'])

  const stuck = await until('the status says why', async () => {
    const replica = await replicaOf(daemon, 'lab')
    return replica?.reason !== undefined && /B free/.test(replica.reason) && replica
  })
  assert.notEqual(stuck.state, 'complete')
  assert.match(stuck.reason ?? '', /home\/store\/packs has [\d.]+ [kM]?B free, and [\d.]+ MB are kept free/)
  const { alarms } = await daemon.status()
  assert.ok(alarms.some(({ kind, subject }) => kind === 'replica-no-space' && subject === TREE))
  assert.match(daemon.stderr(), /"event":"replica\.failed"/)
  await until('hq hears of it', async () => /B free/.test((await replicaOf(hq, 'lab'))?.reason ?? ''))
  assert.match(await succeed(['status', '--home', labHome]), /B free/)

  await rm(join(lab, 'ballast'))
  await until('it is complete', async () => (await replicaOf(daemon, 'lab'))?.state === 'complete', 90_000)
  assert.ok((await succeedJson<VerifyAnswer>(['verify', TREE, '--home', labHome])).isGood)
  assert.equal(await daemon.stop(), 0)
})

test('a publish that does not fit fails with a reason, gives back what it wrote, and works once there is room', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const disk = await tinyDisk(t, 160)
  if (disk === undefined) return
  const [home, source] = [join(disk, 'home'), join(dir, 'source')]
  await fill(source, 1, 2 * MIB)
  await foundMesh(home)
  const daemon = await startDaemon(t, home)
  await succeed(['publish', source, '--home', home, '--tree', TREE])
  await writeFile(join(disk, 'ballast'), Buffer.alloc(48 * MIB))
  await fill(source, 10, 7 * MIB)
  const before = await packBytes(home)

  const failed = await mirrormesh(['publish', source, '--home', home, '--tree', TREE])
  assert.equal(failed.status, 9, failed.stderr)
  assert.match(failed.stderr, /home\/store\/packs has [\d.]+ [kM]?B free, and [\d.]+ MB are kept free/)
  assert.match(failed.stderr, /Free some space/)
  assert.equal(await packBytes(home), before, 'what was written in vain is given back')
  assert.match(await succeed(['tree', 'show', TREE, '--home', home]), /^head +@1 /m)
  // The mesh is still steered from here: the records have room of their own.
  await succeed(['tag', `${TREE}@1`, 'good', '--home', home])

  await rm(join(disk, 'ballast'))
  assert.match(await succeed(['publish', source, '--home', home, '--tree', TREE]), /@2 /)
  assert.match(await succeed(['verify', '--home', home]), /every block is here and right/)
  assert.equal(await daemon.stop(), 0)
})

test('a check-out that does not fit leaves the old one as it was, and moves once there is room', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const disk = await tinyDisk(t, 40)
  if (disk === undefined) return
  const [home, source, dest] = [join(dir, 'home'), join(dir, 'source'), join(disk, 'tree')]
  await fill(source, 1, 4 * MIB)
  await foundMesh(home)
  const daemon = await startDaemon(t, home)
  await succeed(['publish', source, '--home', home, '--tree', TREE])
  await succeed(['pin', 'add', TREE, '--home', home, '--site', 'hq', '--checkout', dest])
  const checkedOut = async () => (await replicaOf(daemon, 'hq'))?.checkouts[0]?.sequence
  await until('the first is checked out', async () => (await checkedOut()) === 1)
  await writeFile(join(disk, 'ballast'), Buffer.alloc(16 * MIB))
  await fill(source, 6, 4 * MIB)
  await succeed(['publish', source, '--home', home, '--tree', TREE])

  const stuck = await until('the status says why', async () => {
    const replica = await replicaOf(daemon, 'hq')
    return replica?.reason !== undefined && replica
  })
  assert.match(
    stuck.reason ?? '',
    /mirrormesh-disk-[^/]*\/tree needs more than the [\d.]+ [kM]?B that are free/,
  )
  assert.equal(stuck.checkouts[0]?.sequence, 1)
  assert.deepEqual(await readdir(dest), ['file-0'])
  const asked = await mirrormesh(['checkout', TREE, join(disk, 'other'), '--home', home])
  assert.equal(asked.status, 9, asked.stderr)
  assert.match(asked.stderr, /mirrormesh-disk-[^/]*\/other needs [\d.]+ MB, [\d.]+ [kM]?B are free/)
  // Each try removes what it wrote.
  const holds = (...names: string[]) =>
    until(`the disk holds ${names.join(', ')}`, async () => {
      const found = await readdir(disk)
      const shown = found.filter((name) => !name.startsWith('.tree.mirrormesh.files-')).sort()
      return found.length === names.length + 1 && shown.join() === names.join()
    })
  await holds('.tree.mirrormesh.json', 'ballast', 'tree')

  await rm(join(disk, 'ballast'))
  await until('it has moved', async () => (await checkedOut()) === 2, 90_000)
  assert.equal((await readdir(dest)).length, 6)
  await holds('.tree.mirrormesh.json', 'tree')
  assert.equal(await daemon.stop(), 0)
})
