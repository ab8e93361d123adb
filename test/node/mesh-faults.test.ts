/**
 * Sites that die, stand still, stay away and come back while a tree is on its way to them, as real processes: one mesh of
 * an origin and two labs that share, through one fault after the other. The origin's pipe is narrow, so that every fetch
 * lasts long enough to be hit in the middle. Cut and healed links are in `npm run faults`, which needs emulated ones.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { PublishAnswer } from '../../node/api/jobs/job-answers.ts'
import type { ReplicaStatus, StatusDocument } from '../../src/replica/status/status.ts'
import { type Daemon, startDaemon, succeedJson, until } from './program.ts'
import { signMesh } from './signed-mesh.ts'
import { tempDir } from './temp-dir.ts'

const TREE = 'builds/nightly'
const FILES = 16
const FILE_BYTES = 512 * 1024
const TREE_BYTES = FILES * FILE_BYTES
/** 2 %, and what is on its way to one site, and not yet passed on, when it dies: no less than 1 MiB, however small the tree. */
const MOST_TWICE = 0.02 + (2 * 1024 * 1024) / TREE_BYTES
const SLOW = { MIRRORMESH_WAN_UP_BYTES_PER_SECOND: '4000000' }

async function write(folder: string, from: number, to: number): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (let i = from; i < to; i++)
    await writeFile(join(folder, `file-${i}`), randomFillSync(Buffer.allocUnsafe(FILE_BYTES)))
}

function replicaOf(status: StatusDocument, site: string): ReplicaStatus | undefined {
  return status.trees.find(({ tree }) => tree === TREE)?.sites.find((each) => each.site === site)
}

/** Blocks of trees that came from a site, since the daemon's start. */
function receivedFrom({ traffic }: StatusDocument, site: string): { blocks: number; bytes: number } {
  const peer = traffic.peers.find((each) => each.site === site)
  return { blocks: peer?.blocksReceived ?? 0, bytes: peer?.bytesReceived ?? 0 }
}

test('faults of sites in mid-fetch', { timeout: 400_000 }, async (t) => {
  const dir = await tempDir(t)
  const source = join(dir, 'source')
  const mesh = await signMesh(dir, {
    regions: { hq: 'us', 'lab-a': 'eu', 'lab-b': 'eu' },
    tree: TREE,
    pinned: ['lab-a', 'lab-b'],
  })
  const start = (site: string, env: Readonly<Record<string, string>> = {}): Promise<Daemon> =>
    startDaemon(t, mesh.site(site).home, site === 'hq' ? { ...SLOW, ...env } : env)
  const publish = (): Promise<PublishAnswer> =>
    // Back as soon as the head is out; what comes as deltas has tests of its own.
    succeedJson<PublishAnswer>(['publish', source, '--home', hq.home, '--tree', TREE, '--deltas', 'off'])
  const holds = (daemon: Daemon, site: string, sequence: number): Promise<true> =>
    until(`${site} holds @${sequence} and has checked it out`, async () => {
      const replica = replicaOf(await daemon.status(), site)
      const isThere = replica?.state === 'complete' && replica.sequence === sequence
      return isThere && replica.checkouts[0]?.sequence === sequence
    })
  const sameFiles = async (site: string): Promise<void> => {
    for (let i = 0; i < FILES; i++) {
      const name = `file-${i}`
      const copy = await readFile(join(mesh.site(site).checkout, name))
      assert.ok(copy.equals(await readFile(join(source, name))), `${name} at ${site}`)
    }
  }
  /** Waits until a site has a part of the head: so much of the tree is missing. */
  const inMidFetch = (daemon: Daemon, site: string, [least, most]: [number, number]): Promise<number> =>
    until(`${site} is in mid-fetch`, async () => {
      const missing = replicaOf(await daemon.status(), site)?.missingBytes ?? 0
      return missing >= least * TREE_BYTES && missing <= most * TREE_BYTES && missing
    })
  let [hq, labA, labB] = await Promise.all([start('hq'), start('lab-a'), start('lab-b')])
  const areConnected = async (): Promise<void> => {
    for (const daemon of [hq, labA, labB])
      await until('all are connected', async () =>
        (await daemon.status()).sites.every(({ state }) => state === 'self' || state === 'up'),
      )
  }
  await areConnected()

  await t.test(
    'the owner of segments is killed: its neighbour completes, and little leaves the origin twice',
    async () => {
      await write(source, 0, FILES)
      const { blocks } = await publish()
      const missing = await inMidFetch(labB, 'lab-b', [0.2, 0.7])
      await labB.kill()
      await holds(labA, 'lab-a', 1)
      await sameFiles('lab-a')
      const { traffic } = await hq.status()
      const twice = traffic.blocksSent - blocks
      // Where the machine is slow the owner passes on what it has later: what died with it has to leave the origin again.
      const given = traffic.peers.find(({ site }) => site === 'lab-b')?.blocksSent ?? 0
      const lost = given - receivedFrom(await labA.status(), 'lab-b').blocks
      assert.ok(
        twice <= Math.max(MOST_TWICE * blocks, lost + 0.02 * blocks),
        `${twice} of ${blocks} blocks left hq twice; ${lost} died with lab-b`,
      )

      // It comes back: what it had stored does not come again.
      labB = await start('lab-b')
      await holds(labB, 'lab-b', 1)
      await sameFiles('lab-b')
      const again = await labB.status()
      const { bytes } = receivedFrom(again, 'lab-a')
      assert.ok(receivedFrom(again, 'hq').blocks <= 0.02 * blocks, 'its neighbour has it all')
      assert.ok(bytes <= missing + 0.01 * TREE_BYTES, `${bytes} bytes for ${missing} that were missing`)
    },
  )

  await t.test('the origin is killed as soon as one copy is out: the labs complete each other', async () => {
    // Slow among themselves, so that each still lacks much of what the other has.
    for (const daemon of [labA, labB]) await daemon.stop()
    const slow = { MIRRORMESH_REGION_UP_BYTES_PER_SECOND: '1000000' }
    ;[labA, labB] = await Promise.all([start('lab-a', slow), start('lab-b', slow)])
    await write(source, 0, FILES)
    const before = await hq.status()
    const { blocks } = await publish()
    await until('one copy is out', async () => {
      const [a, b, { traffic }] = await Promise.all([labA.status(), labB.status(), hq.status()])
      const twice = traffic.blocksSentMoreThanOnce - before.traffic.blocksSentMoreThanOnce
      return receivedFrom(a, 'hq').blocks + receivedFrom(b, 'hq').blocks - twice >= blocks
    })
    await hq.kill()
    const left = (await Promise.all([labA.status(), labB.status()])).map(
      (status) => replicaOf(status, status.self.site)?.missingBytes ?? 0,
    )
    assert.ok(Math.max(...left) > 0.05 * TREE_BYTES, `${left} bytes were missing when the origin died`)
    await Promise.all([holds(labA, 'lab-a', 2), holds(labB, 'lab-b', 2)])
    await Promise.all([sameFiles('lab-a'), sameFiles('lab-b')])
    for (const daemon of [labA, labB]) await daemon.stop()
    ;[hq, labA, labB] = await Promise.all([start('hq'), start('lab-a'), start('lab-b')])
    await areConnected()
  })

  await t.test('a site that stands still holds nobody up, and goes on when it can', async () => {
    await write(source, 0, FILES)
    const before = await hq.status()
    const { blocks } = await publish()
    await inMidFetch(labB, 'lab-b', [0.3, 0.9])
    process.kill(labB.pid, 'SIGSTOP')
    try {
      await holds(labA, 'lab-a', 3)
    } finally {
      process.kill(labB.pid, 'SIGCONT')
    }
    await holds(labB, 'lab-b', 3)
    await Promise.all([sameFiles('lab-a'), sameFiles('lab-b')])
    const twice = (await hq.status()).traffic.blocksSent - before.traffic.blocksSent - blocks
    const fromHq = [await labA.status(), await labB.status()].map(
      (status) => receivedFrom(status, 'hq').blocks,
    )
    assert.ok(
      twice <= MOST_TWICE * blocks,
      `${twice} of ${blocks} blocks left hq twice; the labs took ${fromHq} there`,
    )
  })

  await t.test('a head that moves in mid-fetch keeps the progress of what both snapshots share', async () => {
    await write(source, 0, FILES)
    const before = await hq.status()
    const first = await publish()
    await inMidFetch(labA, 'lab-a', [0.3, 0.7])
    await write(source, FILES - 2, FILES)
    const second = await publish()
    assert.ok(second.newBlocks < 0.25 * first.newBlocks, 'two of sixteen files, and what lists them')
    await Promise.all([holds(labA, 'lab-a', 5), holds(labB, 'lab-b', 5)])
    await Promise.all([sameFiles('lab-a'), sameFiles('lab-b')])
    const { traffic } = await hq.status()
    const sent = traffic.blocksSent - before.traffic.blocksSent
    const wanted = first.newBlocks + second.newBlocks
    assert.ok(sent <= (1 + MOST_TWICE) * wanted, `${sent} blocks left hq for ${wanted} of both snapshots`)
  })

  await t.test(
    'a site that was away for many snapshots takes the newest, and no more of the others',
    async () => {
      await labB.stop()
      for (let sequence = 6; sequence <= 9; sequence++) {
        await write(source, 0, 2)
        await publish()
      }
      await holds(labA, 'lab-a', 9)
      labB = await start('lab-b')
      await holds(labB, 'lab-b', 9)
      await sameFiles('lab-b')
      const status = await labB.status()
      const bytes = receivedFrom(status, 'lab-a').bytes + receivedFrom(status, 'hq').bytes
      assert.ok(bytes < 2.2 * FILE_BYTES, `${bytes} bytes for two files of ${FILE_BYTES}`)
    },
  )

  await t.test('a renamed folder and a few edits move what is new, and hardly anything else', async () => {
    const folder = join(source, 'many')
    await mkdir(folder)
    for (let i = 0; i < 1200; i++) await writeFile(join(folder, `small-${i}`), `${i} `.repeat(40))
    await publish()
    await Promise.all([holds(labA, 'lab-a', 10), holds(labB, 'lab-b', 10)])
    const sentBytes = async (): Promise<number> => (await hq.status()).traffic.classes.wan.bytesSent

    const beforeRename = await sentBytes()
    await rename(folder, join(source, 'renamed'))
    const renamed = await publish()
    await Promise.all([holds(labA, 'lab-a', 11), holds(labB, 'lab-b', 11)])
    const moved = (await sentBytes()) - beforeRename
    // 10 GB of the default chunks are 150,000 blocks: 6 bytes for each are 0.9 MB, and the pages at both ends of the folder.
    assert.ok(moved < 30_000 + 6 * renamed.blocks, `${moved} bytes for a folder of ${renamed.blocks} blocks`)

    const beforeEdits = await sentBytes()
    for (let i = 0; i < 24; i++) await writeFile(join(source, 'renamed', `small-${i * 50}`), `edited ${i}`)
    const edited = await publish()
    await Promise.all([holds(labA, 'lab-a', 12), holds(labB, 'lab-b', 12)])
    const spent = (await sentBytes()) - beforeEdits
    assert.ok(
      spent < 1.5 * edited.newBytes + 30_000,
      `${spent} bytes for ${edited.newBytes} in ${edited.newBlocks} new blocks`,
    )
    const verify = ['verify', TREE, '--home', labB.home]
    assert.ok((await succeedJson<{ isGood: boolean }>(verify)).isGood)
    execFileSync('diff', ['-r', source, mesh.site('lab-b').checkout])
  })
})
