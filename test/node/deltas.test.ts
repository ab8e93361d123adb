/** Deltas between real processes: an origin, sites in two regions, kills in the middle. */
import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { DiffBytesAnswer, TreeDocument } from '../../node/api/answers.ts'
import type { PublishAnswer, VerifyAnswer } from '../../node/api/jobs/job-answers.ts'
import { noise } from '../replica/simple-deltas.ts'
import { foundMesh, joinMesh } from './founded-mesh.ts'
import { type Daemon, freePort, startDaemon, succeed, succeedJson, until } from './program.ts'
import { tempDir } from './temp-dir.ts'

const FILES = 6
const FILE_BYTES = 1_250_000

interface Site {
  readonly name: string
  readonly home: string
  readonly checkout: string
  daemon: Daemon
}

/** Noise that no compression helps with, changed every 60,000 bytes from one version to the next. */
async function writeVersion(folder: string, version: number): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (let i = 0; i < FILES; i++) {
    const bytes = noise(FILE_BYTES, i + 1)
    for (let at = 0; at < bytes.length; at += 60_000) bytes[at + i] = version
    await writeFile(join(folder, `large-${i}`), bytes)
  }
  await writeFile(join(folder, 'fresh'), noise(300_000, 1000 + version))
}

async function setUp(t: TestContext) {
  const dir = await tempDir(t)
  const source = join(dir, 'source')
  await writeVersion(source, 1)
  const home = join(dir, 'hq')
  await foundMesh(home, { listen: `127.0.0.1:${await freePort()}` })
  const hq: Site = { name: 'hq', home, checkout: '', daemon: await startDaemon(t, home) }
  /** One that takes the tree: now, or when `pin` is called. */
  const addSite = async (
    name: string,
    region: string,
    isPinned = true,
  ): Promise<Site & { readonly pin: () => Promise<string> }> => {
    const own = join(dir, name)
    await joinMesh(own, home, { site: name, region })
    const daemon = await startDaemon(t, own)
    const checkout = join(dir, `${name}-out`)
    const pin = () => succeed(['pin', 'add', 'build', '--site', name, '--checkout', checkout, '--home', home])
    if (isPinned) await pin()
    return { name, home: own, checkout, daemon, pin }
  }
  const publish = (...more: string[]): Promise<PublishAnswer> =>
    succeedJson<PublishAnswer>(['publish', source, '--tree', 'build', '--home', home, ...more])
  await publish()
  return { source, hq, addSite, publish }
}

async function checkSame(source: string, { name, checkout }: Site): Promise<void> {
  await until(`the check-out of ${name}`, async () => {
    const names = await readdir(checkout).catch(() => [])
    if (names.length !== FILES + 1) return undefined
    const isSame = await Promise.all(
      names.map(async (file) =>
        (await readFile(join(checkout, file))).equals(await readFile(join(source, file))),
      ),
    )
    return !isSame.includes(false)
  })
}

async function bytesSent({ daemon }: Site): Promise<number> {
  const { peers } = (await daemon.status()).traffic
  return peers.reduce((sum, peer) => sum + peer.bytesSent, 0)
}

/** Counted by the log, which has one line for each fetch that ended. */
function made({ daemon }: Site): { blocksMade: number; fetchedBytes: number } {
  const last = daemon
    .stderr()
    .split('\n')
    .findLast((line) => line.includes('fetch.complete'))
  const fields = JSON.parse(last ?? '{}') as { deltas?: { blocksMade: number }; fetchedBytes: number }
  return { blocksMade: fields.deltas?.blocksMade ?? 0, fetchedBytes: fields.fetchedBytes }
}

test('an update leaves the origin as deltas, once, and arrives whole, kills or not', {
  timeout: 600_000,
}, async (t) => {
  const { source, hq, addSite, publish } = await setUp(t)
  const sites = [await addSite('lab-a', 'eu'), await addSite('lab-b', 'eu'), await addSite('lab-c', 'us')]
  for (const site of sites) await checkSame(source, site)

  await t.test('with --deltas along, and one line that says what they are', async () => {
    await writeVersion(source, 2)
    const before = await bytesSent(hq)
    const { deltas, newBytes } = await publish('--wait', 'all')
    assert.ok(deltas !== undefined && deltas.baseSequence === 1 && deltas.endedBy === undefined)
    assert.ok(deltas.deltas >= FILES && deltas.targetBytes > newBytes * 0.8)
    const sent = (await bytesSent(hq)) - before
    const least = deltas.deltaBytes + (deltas.newBytes - deltas.targetBytes)
    const figures = `${sent} bytes left hq; deltas ${deltas.deltaBytes} for ${deltas.targetBytes} of ${deltas.newBytes}`
    t.diagnostic(figures)
    // The index and the sets, which every site takes, come to a few kilobytes for each.
    assert.ok(sent <= 1.12 * least + 60_000, figures)
    assert.ok(sent < newBytes / 4, figures)
    const bytes = await succeedJson<DiffBytesAnswer>([
      'diff',
      'build@1',
      'build@2',
      '--bytes',
      '--home',
      sites[0]!.home,
    ])
    assert.equal(bytes.newBytes, deltas.newBytes)
    assert.deepEqual(bytes.deltas?.bytes, deltas.deltaBytes)
    // Noise does not compress.
    assert.ok(bytes.zstdBytes > bytes.newBytes * 0.95 && bytes.newBlocks > 100)
    const text = await succeed(['diff', 'build@1', 'build@2', '--bytes', '--home', hq.home])
    assert.match(
      text,
      /^build@1 to build@2: \d+ new blocks, .*\nas blocks .*\nas deltas .* for .*\nand index /,
    )
    // A digest for each new block at least, which has none that it resembles.
    assert.ok(bytes.indexBytes > 32 * bytes.newBlocks && bytes.indexBytes < 60 * bytes.newBlocks + 1000)
    const regions = new Set<string>()
    for (const site of sites) {
      await checkSame(source, site)
      const { deltas: taken } = (await site.daemon.status()).traffic
      t.diagnostic(`${site.name}: ${JSON.stringify(made(site))}`)
      // Of two neighbours one may have made everything before the other one begins.
      if (taken === undefined || taken.bytesReceived === 0 || taken.bytesMade === 0) continue
      assert.ok(taken.bytesMade > taken.bytesReceived)
      regions.add(site === sites[2] ? 'us' : 'eu')
    }
    assert.deepEqual([...regions].toSorted(), ['eu', 'us'])
    assert.ok(sites.some((site) => made(site).blocksMade > 50))
  })

  await t.test('with --deltas before, the sites never wait', async () => {
    await writeVersion(source, 3)
    const before = await bytesSent(hq)
    const { deltas, newBytes } = await publish('--deltas', 'before', '--wait', 'all')
    assert.ok(deltas !== undefined)
    assert.ok((await bytesSent(hq)) - before < newBytes / 4)
    for (const site of sites) await checkSame(source, site)
  })

  await t.test('with --deltas off, as it is', async () => {
    await writeVersion(source, 4)
    const before = await bytesSent(hq)
    const { deltas, newBytes } = await publish('--deltas', 'off', '--wait', 'all')
    assert.equal(deltas, undefined)
    assert.ok((await bytesSent(hq)) - before > newBytes * 0.9)
    for (const site of sites) await checkSame(source, site)
    assert.deepEqual(
      sites.map((site) => made(site).blocksMade),
      [0, 0, 0],
    )
  })

  await t.test('a late site without the base takes it as it is', async () => {
    const late = await addSite('late', 'eu')
    await checkSame(source, late)
    assert.equal(made(late).blocksMade, 0)
  })

  const fresh = await addSite('fresh', 'us', false)
  await t.test('a site without the base takes from a neighbour what that makes of them', async () => {
    await writeVersion(source, 5)
    const before = await bytesSent(hq)
    const publishing = publish()
    await until('the head is signed', async () => hq.daemon.stderr().includes('"sequence":5'))
    await fresh.pin()
    const { deltas, newBytes } = await publishing
    for (const site of [...sites, fresh]) await checkSame(source, site)
    const sent = (await bytesSent(hq)) - before
    const least = deltas!.deltaBytes + (deltas!.newBytes - deltas!.targetBytes)
    const isLeft = fresh.daemon.stderr().includes('fetch.left-to-neighbours')
    t.diagnostic(`${sent} bytes left hq, of ${newBytes}; left to a neighbour: ${isLeft}`)
    // A neighbour may be through before it begins, which comes to the same.
    assert.ok(sent < 1.12 * least + 200_000, `${sent} bytes left hq, ${least} for deltas and the rest`)
    assert.equal(made(fresh).blocksMade, 0)
  })

  const site = sites[0]!
  await t.test(
    'a publisher that is killed while it makes them goes on when it is started again',
    async () => {
      await writeVersion(source, 6)
      const publishing = publish().catch(() => undefined)
      await until('the head is signed', async () => hq.daemon.stderr().includes('"sequence":6'))
      await hq.daemon.kill()
      await publishing
      hq.daemon = await startDaemon(t, hq.home, { MIRRORMESH_DELTA_BASES: '2' })
      await checkSame(source, site)
      await until('the deltas are made, or were', async () => {
        const { encodings } = await succeedJson<TreeDocument>(['tree', 'show', 'build', '--home', hq.home])
        return encodings.some(({ sequence, isComplete }) => sequence === 6 && isComplete)
      })
    },
  )

  await t.test(
    'a site that is killed while it makes blocks of them goes on when it is started again',
    async () => {
      await writeVersion(source, 7)
      const publishing = publish('--deltas', 'before')
      const fetches = (): number => site.daemon.stderr().split('replica.fetch-started').length
      const before = fetches()
      await until('the site begins', async () => fetches() > before)
      await site.daemon.kill()
      await publishing
      site.daemon = await startDaemon(t, site.home)
      await checkSame(source, site)
      const verified = await succeedJson<VerifyAnswer>(['verify', 'build', '--home', site.home])
      assert.ok(verified.isGood)
    },
  )

  await t.test('a site that missed a snapshot finds deltas against the one that it has', async () => {
    const away = sites[2]!
    await checkSame(source, away)
    // Its neighbour would give it everything as it is.
    for (const { daemon } of [away, fresh]) await daemon.kill()
    let newBytes = 0
    for (const version of [8, 9]) {
      await writeVersion(source, version)
      newBytes = (await publish('--deltas', 'before')).newBytes
    }
    await until('there are deltas against what it has', async () => {
      const { encodings } = await succeedJson<TreeDocument>(['tree', 'show', 'build', '--home', hq.home])
      return encodings.some((each) => each.sequence === 9 && each.baseSequence === 7 && each.isComplete)
    })
    away.daemon = await startDaemon(t, away.home)
    await checkSame(source, away)
    const { blocksMade, fetchedBytes } = made(away)
    assert.ok(
      blocksMade > 50 && fetchedBytes < newBytes / 4,
      `${blocksMade} made, ${fetchedBytes} came plain`,
    )
  })
})
