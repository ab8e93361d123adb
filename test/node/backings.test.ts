/** Files outside of the store that serve as blocks: publishing in place, adopting a mirror, and letting go of both. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { BackingDocument } from '../../node/api/answers.ts'
import type { AdoptAnswer, PublishAnswer, VerifyAnswer } from '../../node/api/jobs/job-answers.ts'
import type { StatusDocument } from '../../src/replica/status/status.ts'
import { type Daemon, freePort, mirrormesh, startDaemon, succeed, succeedJson, until } from './program.ts'
import { tempDir } from './temp-dir.ts'

const TREE = 'builds/nightly'
const SIZE = 8_000_000

async function storeBytes(home: string): Promise<number> {
  const dir = join(home, 'store/packs')
  const sizes = await Promise.all(
    (await readdir(dir)).map(async (name) => (await stat(join(dir, name))).size),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}

const treeOf = (status: StatusDocument) => status.trees.find(({ tree }) => tree === TREE)

async function isComplete(daemon: Daemon, site: string): Promise<boolean> {
  return (
    treeOf(await daemon.status())?.sites.some((each) => each.site === site && each.state === 'complete') ===
    true
  )
}

const backingsOf = async (home: string): Promise<readonly BackingDocument[]> =>
  (await succeedJson<{ backings: BackingDocument[] }>(['store', 'backings', '--home', home])).backings

test('a tree is published in place and first synced onto a mirror: nearly nothing is copied or moved', {
  timeout: 300_000,
}, async (t) => {
  const dir = await tempDir(t)
  const [hqHome, labHome, source, mirror] = ['hq', 'lab', 'source', 'mirror'].map((name) =>
    join(dir, name),
  ) as [string, string, string, string]
  await mkdir(join(source, 'sub'), { recursive: true })
  await writeFile(join(source, 'image'), randomFillSync(Buffer.allocUnsafe(SIZE - 1_000_000)))
  await writeFile(join(source, 'sub/changes'), randomFillSync(Buffer.allocUnsafe(1_000_000)))
  await writeFile(join(source, 'sub/readme'), 'a small one\n')
  execFileSync('cp', ['-a', source, mirror])
  const place = ['--mesh', 'm', '--site', 'hq', '--region', 'us', '--http', 'off']
  await succeed(['init', '--home', hqHome, ...place, '--listen', `127.0.0.1:${await freePort()}`])
  const hq = await startDaemon(t, hqHome)
  const token = (await succeed(['invite', '--home', hqHome, '--site', 'lab', '--region', 'eu'])).trim()
  await succeed(['join', '--home', labHome, token, '--listen', '127.0.0.1:0', '--http', 'off'])
  const lab = await startDaemon(t, labHome)

  await t.test('publish --in-place copies nearly nothing and says what that means', async () => {
    const outcome = await mirrormesh([
      'publish',
      source,
      '--home',
      hqHome,
      '--tree',
      TREE,
      '--in-place',
      '--json',
    ])
    assert.equal(outcome.status, 0, outcome.stderr)
    assert.ok((JSON.parse(outcome.stdout) as PublishAnswer).newBytes > SIZE)
    assert.match(
      outcome.stderr,
      /rests on the files in .*\/source: it is at risk until another site is complete/,
    )
    assert.ok((await storeBytes(hqHome)) < SIZE * 0.02)
    const [backing, ...more] = await backingsOf(hqHome)
    assert.deepEqual(more, [])
    assert.deepEqual([backing?.purpose, backing?.tree, backing?.path], ['in-place', TREE, source])
    assert.equal(backing?.bytes, SIZE)
    assert.deepEqual(treeOf(await hq.status())?.inPlace, {
      path: source,
      completeElsewhere: 0,
      isAtRisk: true,
    })
    assert.match(await succeed(['tree', 'show', TREE, '--home', hqHome]), /AT RISK: rests on the files in/)
    assert.equal((await mirrormesh(['status', '--check', '--home', hqHome])).status, 4)
    assert.match(await succeed(['store', 'backings', '--home', hqHome]), /in-place +builds\/nightly/)
  })

  await t.test(
    'a mirror that is adopted before its tree is pinned makes the first sync move almost nothing',
    async () => {
      const adopted = await succeedJson<AdoptAnswer>(['adopt', mirror, '--home', labHome, '--tree', TREE])
      assert.deepEqual([adopted.files, adopted.path], [3, mirror])
      assert.ok(adopted.newBytes > SIZE)
      assert.ok((await storeBytes(labHome)) < SIZE * 0.02)
      await succeed(['pin', 'add', TREE, '--home', hqHome, '--site', 'lab'])
      await until('the lab is complete', () => isComplete(lab, 'lab'))
      const received = (await lab.status()).traffic.peers.reduce((sum, peer) => sum + peer.bytesReceived, 0)
      assert.ok(received < SIZE * 0.01, `${received} bytes came over the link`)
      assert.match(await succeed(['verify', TREE, '--home', labHome]), /every block is here and right/)
      await until('hq knows', async () => treeOf(await hq.status())?.inPlace?.isAtRisk === false)
    },
  )

  await t.test(
    'verify names a file that was changed behind our back, and its blocks are fetched',
    async () => {
      await writeFile(join(source, 'sub/changes'), 'something else entirely')
      const outcome = await mirrormesh(['verify', TREE, '--home', hqHome, '--json'])
      assert.equal(outcome.status, 1, outcome.stderr)
      const { backings } = JSON.parse(outcome.stdout) as VerifyAnswer
      assert.deepEqual(
        backings?.map(({ path, changed }) => [path, changed]),
        [[source, { count: 1, first: ['sub/changes'] }]],
      )
      await until(
        'it is healed',
        async () => (await mirrormesh(['verify', TREE, '--home', hqHome])).status === 0,
      )
    },
  )

  await t.test('what is all stored is not adopted, and no empty backing stays', async () => {
    const copy = join(dir, 'copy')
    await mkdir(copy)
    await writeFile(join(copy, 'image'), randomFillSync(Buffer.allocUnsafe(300_000)))
    await succeed(['publish', copy, '--home', hqHome, '--tree', 'copied'])
    const before = await backingsOf(hqHome)
    const adopted = await succeedJson<AdoptAnswer>(['adopt', copy, '--home', hqHome, '--tree', 'copied'])
    assert.deepEqual([adopted.backing, adopted.files], [null, 1])
    assert.match(
      await succeed(['adopt', copy, '--home', hqHome, '--tree', 'copied']),
      /stored here already: nothing was adopted/,
    )
    assert.deepEqual(await backingsOf(hqHome), before)
  })

  await t.test(
    'a publish --in-place that fails says which tree it leaves, and rests on nothing',
    async () => {
      const before = await backingsOf(hqHome)
      const outcome = await mirrormesh([
        ...['publish', source, '--home', hqHome, '--tree', 'new/one', '--in-place', '--as', 'v1'],
      ])
      assert.notEqual(outcome.status, 0)
      assert.match(
        outcome.stderr,
        /new\/one was created for this and has no snapshot yet: .*tree delete new\/one/,
      )
      assert.deepEqual(await backingsOf(hqHome), before)
      assert.equal((await hq.status()).trees.find(({ tree }) => tree === 'new/one')?.inPlace, undefined)
      await succeed(['tree', 'delete', 'new/one', '--home', hqHome, '--yes'])
    },
  )

  await t.test('of a folder that is not there nothing is adopted, and nothing stays of the try', async () => {
    const list = async () => (await succeed(['store', 'backings', '--home', labHome])).split('\n').length
    const before = await list()
    const outcome = await mirrormesh(['adopt', join(dir, 'gone'), '--tree', TREE, '--home', labHome])
    assert.equal(outcome.status, 5, outcome.stderr)
    assert.match(outcome.stderr, /there is no \S+gone\. Name a directory/)
    assert.equal(await list(), before)
  })

  await t.test('letting go of a backing is asked for, and may copy its blocks first', async () => {
    const [backing] = await backingsOf(hqHome)
    const id = String(backing?.id)
    const refused = await mirrormesh(['store', 'drop-backing', id, '--home', hqHome])
    assert.equal(refused.status, 6, refused.stderr)
    assert.match(refused.stderr, /missing here from then on.*--yes/s)
    assert.equal((await mirrormesh(['store', 'drop-backing', '77', '--home', hqHome, '--yes'])).status, 5)
    const dropped = await succeed(['store', 'drop-backing', id, '--home', hqHome, '--copy', '--yes'])
    assert.match(dropped, /is dropped: \d+ blocks?, .* copied/)
    await rm(source, { recursive: true })
    assert.match(await succeed(['verify', TREE, '--home', hqHome]), /every block is here and right/)
    assert.equal(treeOf(await hq.status())?.inPlace, undefined)
    assert.equal(await succeed(['store', 'backings', '--home', hqHome]), 'every block lies in the store\n')
  })

  await t.test('without its mirror the lab fetches what it needs', async () => {
    const [backing] = await backingsOf(labHome)
    await succeed(['store', 'drop-backing', String(backing?.id), '--home', labHome, '--yes'])
    await until(
      'it is fetched',
      async () => (await mirrormesh(['verify', TREE, '--home', labHome])).status === 0,
    )
    assert.ok((await storeBytes(labHome)) > SIZE)
  })
})
